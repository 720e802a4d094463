#pragma once
// The JSON a benchmark sends, as the peer's client writes it.

#include <string>

#include "bench/client/workload.h"

namespace minimax::bench {

struct BodyOptions {
  std::string model;
  bool chat = false;  // /v1/chat/completions instead of /v1/completions
  bool ignore_eos = false;
  int64_t logprobs = -1;  // -1: not asked for
  Json extra;             // object or null: members set over all others
};

// The first request of a script.
std::string request_body(const BodyOptions& options, const Script& script);

// A request of a script's conversation as it stands. REQUIRES: options.chat.
std::string chat_body(const BodyOptions& options, const Json& messages, const Json& tools,
                      int64_t output_tokens);

// The script's conversation at its start, and what an answer and the follow-up after it add to it. If the
// answer called tools, the text is the result of the first call (the others get an empty result).
Json first_messages(const Script& script);
void add_turn(Json& messages, const Outcome& answer, const FollowUp& next);

}  // namespace minimax::bench
