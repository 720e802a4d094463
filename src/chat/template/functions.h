#pragma once
// The functions every template can call: range, namespace, dict, raise_exception, strftime_now.

#include <ctime>
#include <string_view>

#include "chat/template/arguments.h"
#include "chat/template/value.h"

namespace minimax::chat::jinja {

bool is_function(std::string_view name);
// now: for strftime_now, in local time.
Value call_function(std::string_view name, const Arguments& arguments, std::time_t now, Heap& heap);

}  // namespace minimax::chat::jinja
