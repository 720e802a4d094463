#pragma once
// The inside of a string literal to its value: Python's escapes.

#include <string>
#include <string_view>

namespace minimax::chat::jinja {

// Appends the value to `out`. False: an escape that is not supported (\N{...}) or is incomplete.
// Unknown escapes keep their backslash, as in Python.
bool unescape(std::string_view literal, std::string& out);

}  // namespace minimax::chat::jinja
