#pragma once
// The dotted form of a flag that takes a JSON object: `--compilation-config.cudagraph_mode PIECEWISE` stands
// for
// `--compilation-config '{"cudagraph_mode": "PIECEWISE"}'`, and several add up.

#include <optional>
#include <string>
#include <string_view>

namespace minimax::cli {

inline constexpr int kDottedKeysMax = 16;  // keys in one path

// Sets the value at `path` ("a.b", keys of nested objects) in the JSON text `before`, and returns the whole
// as JSON. A `before` that is missing or no JSON object is replaced, as a later flag replaces an earlier one.
// The value is what JSON makes of it (3, true, [1, 2]), or else a string. Throws UsageError naming `flag` if
// a key of the path is empty or there are too many.
std::string set_dotted(std::string_view flag, const std::optional<std::string>& before, std::string_view path,
                       std::string_view value);

}  // namespace minimax::cli
