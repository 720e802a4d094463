#pragma once
// The methods of strings, lists, dicts and the loop that templates may call.

#include <string_view>

#include "chat/template/arguments.h"
#include "chat/template/value.h"

namespace minimax::chat::jinja {

bool is_method(std::string_view name);                        // of any type
bool has_method(const Value& object, std::string_view name);  // of this value's type
Value call_method(const Method& method, const Arguments& arguments, Heap& heap);

// Shared with the filters of the same names.
Text upper(const Text& text);
Text lower(const Text& text);
Text capitalize(const Text& text);
Text strip(const Text& text, bool left, bool right, std::string_view chars);
Text replace(const Text& text, const Text& before, const Text& after, int64_t count_max, Heap& heap);
std::vector<Value> split_lines(const Text& text, bool keep_ends, Heap& heap);

}  // namespace minimax::chat::jinja
