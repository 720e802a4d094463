#pragma once
// The encrypted_content of thinking in the Responses API: what a client that keeps no text of it sends back,
// so that the next turn has its thinking. Nothing is secret here, since the same item shows the text; so it
// is Base64 behind a mark, and any server of this program can read it, after a restart too.

#include <optional>
#include <string>
#include <string_view>

namespace minimax::api {

std::string sealed_thinking(std::string_view text);
// Nothing if another server sealed it, or it was cut.
std::optional<std::string> opened_thinking(std::string_view sealed);

}  // namespace minimax::api
