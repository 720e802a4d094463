#pragma once
// POST /v1/responses, the request: to a chat request, and what to do with the response beside it.

#include <span>
#include <string>
#include <vector>

#include "api/translate.h"
#include "base/json.h"
#include "base/result.h"

namespace minimax::api {

// What a client wants to see beside the rest.
struct ResponseIncludes {
  bool logprobs = false;           // message.output_text.logprobs
  bool encrypted_content = false;  // reasoning.encrypted_content
};
Result<ResponseIncludes> read_includes(const std::vector<std::string>& names);

struct ResponsesRequest {
  Json chat;   // the chat request without its messages
  Json input;  // messages of this turn
  std::string instructions;
  bool stream = false;
  bool store = true;
  bool background = false;
  ResponseIncludes includes;
  bool truncates = false;   // truncation auto: the oldest turns go if the context has no room for them
  std::string previous_id;  // previous_response_id, empty if none
  // The members of the response object that repeat the request: instructions, tools, metadata, ...
  Json echo;
};

// `before`: the messages of the turn that it continues.
Result<ResponsesRequest> read_responses_request(const Json& body, const Json::Array& before = {});

// The chat request with its messages: instructions, then those of earlier turns, then this turn's input.
Json chat_of_response(const ResponsesRequest& request, const Json::Array& history);

// Names of chat members in the Responses API, for in_words_of.
std::span<const Renamed> responses_names();

}  // namespace minimax::api
