#pragma once
// x.name, x[key], x[a:b], as Jinja's sandbox looks them up.

#include <string_view>

#include "chat/template/value.h"

namespace minimax::chat::jinja {

// Methods go before members, as in Jinja: {"items": 1}.items is the method. What is not there is undefined;
// asking an undefined value fails.
Value attribute(const Value& object, std::string_view name, Heap& heap);
// Members go before methods.
Value item(const Value& object, const Value& key, Heap& heap);
// Absent bounds are none. Fails for what has no slices.
Value slice(const Value& object, const Value& begin, const Value& end, const Value& step, Heap& heap);

// Fails with the sentence Python would say of an undefined value.
[[noreturn]] void fail_undefined(const Value& value);

}  // namespace minimax::chat::jinja
