#pragma once
// Failures as Anthropic's clients know them: {"type": "error", "error": {type, message}, "request_id"}.

#include <string>
#include <string_view>

#include "api/reply.h"
#include "base/json.h"

namespace minimax::api {

// Paths whose clients expect this shape, whoever in the server refuses.
bool speaks_anthropic(std::string_view path);

Json anthropic_error(int status, std::string_view message, std::string_view request_id);

// An error reply of any handler (errors.h) in this shape; replies that are no errors stay as they are.
Reply anthropic_reply(Reply reply, std::string_view request_id);

}  // namespace minimax::api
