#pragma once
// The tests of the subset (`x is NAME`), by name.

#include <string_view>

#include "chat/template/arguments.h"
#include "chat/template/value.h"

namespace minimax::chat::jinja {

using Test = bool (*)(const Value& input, const Arguments& arguments, Heap& heap);
Test find_test(std::string_view name);  // nullptr: not known

}  // namespace minimax::chat::jinja
