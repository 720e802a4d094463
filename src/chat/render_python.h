#pragma once
// How Python writes values: the official template prints parts that are no text as Jinja does, which is
// Python's str().

#include <string>

#include "base/json.h"

namespace minimax::chat {

// str(value) of the value json.loads would yield: strings as they are, None, True, 1.0, {'a': [1, 2]}.
std::string python_str(const Json& value);

// bool(value): false for null, false, 0, "", [] and {}.
bool python_truth(const Json& value);

// text.strip(character), and its two halves.
std::string_view strip(std::string_view text, char character);
std::string_view strip_left(std::string_view text, char character);

}  // namespace minimax::chat
