#pragma once
// POST /v1/messages and /v1/messages/count_tokens, the request: Anthropic's words to a chat request.

#include <span>

#include "api/translate.h"
#include "base/json.h"
#include "base/result.h"

namespace minimax::api {

// The same request as /v1/chat/completions would take it. `counts`: only the prompt matters, and max_tokens
// may be absent. What neither the model nor this server can do (images, server tools) is refused by name.
Result<Json> chat_of_messages(const Json& body, bool counts);

// Names of chat members in Anthropic's requests, for in_words_of.
std::span<const Renamed> anthropic_names();

}  // namespace minimax::api
