#pragma once
// Operators of Python on values.

#include "chat/template/value.h"

namespace minimax::chat::jinja {

// + - * / // % **. Integers beyond 64 bits fail. What is made of the conversation's values is the
// conversation's.
Value calculate(Op op, const Value& left, const Value& right, Heap& heap);
Value negate(const Value& value);
bool compare(Op op, const Value& left, const Value& right, Heap& heap);

}  // namespace minimax::chat::jinja
