#pragma once
// The filters of the subset, by name.

#include <string_view>

#include "chat/template/arguments.h"
#include "chat/template/value.h"

namespace minimax::chat::jinja {

using Filter = Value (*)(const Value& input, const Arguments& arguments, Heap& heap);
Filter find_filter(std::string_view name);  // nullptr: not known

// The two tables it looks into.
Filter find_text_filter(std::string_view name);  // strings and numbers
Filter find_list_filter(std::string_view name);  // lists and dicts

}  // namespace minimax::chat::jinja
