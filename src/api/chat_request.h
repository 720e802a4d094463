#pragma once
// POST /v1/chat/completions, the request: JSON to a prompt and what to do with the answer.

#include <string>

#include "api/sampling_params.h"
#include "chat/message.h"
#include "chat/session.h"

namespace minimax::api {

struct ChatRequest {
  GenerationParams params;
  chat::GenerationRequest generation;  // prompt, sampling, stops, parser
  std::string role = "assistant";      // of the answer
  bool include_reasoning = true;
  bool named_call = false;  // tool_choice names the function: its call ends with "stop", as in the peer
  bool logprobs = false;
  int32_t top_logprobs = 0;
  std::string echo;  // the end of the prompt to repeat before the answer; empty: nothing
  bool return_prompt_text = false;
  std::string prompt_text;  // if return_prompt_text

  // Tokens and log-probabilities would tell what include_reasoning false hides.
  bool hides_tokens() const { return !include_reasoning && generation.parser.has_value(); }
};

// What an API other than chat says differently of a request that was rewritten as one.
struct ChatReading {
  std::string_view id_prefix = "chatcmpl-";
  std::string_view endpoint = "/v1/chat/completions";
  // max_tokens is an upper bound: more than the context has room for is no failure.
  bool caps_max_tokens = false;
};

Result<ChatRequest> read_chat_request(const Json& body, const RequestContext& context,
                                      const ChatReading& reading = {});

// The prompt of a conversation, for /tokenize as well.
Result<std::vector<chat::Segment>> render_prompt(const chat::Conversation& conversation,
                                                 const ServiceOptions& options);

int64_t bytes_of(const std::vector<chat::Segment>& segments);

// Parses a body into an object, with the failure's sentence for the client.
Result<Json> parse_body(const std::string& body);

// Logs the members that nobody read, at debug level: they have no effect.
void log_unread(const Fields& fields, std::string_view endpoint);

}  // namespace minimax::api
