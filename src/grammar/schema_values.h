#pragma once
// The parts of a schema that stand for themselves: strings with a length, pattern or format; bounded numbers.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "grammar/dfa.h"

namespace minimax::grammar {

// Characters (JSON-encoded or plain) of the strings of a known format; nothing: unknown.
std::optional<std::string_view> format_pattern(std::string_view format);
std::string known_formats();  // for messages

struct NumberBounds {
  bool integer = false;
  std::optional<std::string> min, max;  // decimal numbers as JSON writes them
  bool min_excluded = false, max_excluded = false;
  std::optional<int> multiple_of;  // of an integer
};
// Plain decimals without exponent; fractions of as many digits as a double surely tells apart.
Dfa bounded_number(const NumberBounds& bounds, Budget& budget);

}  // namespace minimax::grammar
