#pragma once
// The arguments of a call, bound to the names of its parameters.

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/template/value.h"

namespace minimax::chat::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

// One for each parameter; nothing where none was given. Fails on too many, unknown or repeated ones.
std::vector<std::optional<Value>> bind(std::string_view callee, const Arguments& arguments,
                                       std::initializer_list<std::string_view> parameters);

// What was bound, as the type that is needed; fails with the name of the callee.
bool flag(const std::optional<Value>& value, bool otherwise);
int64_t integer(std::string_view callee, const std::optional<Value>& value, int64_t otherwise);
const Text& text(std::string_view callee, const Value& value);

}  // namespace minimax::chat::jinja
