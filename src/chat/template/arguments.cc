#include "chat/template/arguments.h"

#include <algorithm>

namespace minimax::chat::jinja {

std::vector<std::optional<Value>> bind(std::string_view callee, const Arguments& arguments,
                                       std::initializer_list<std::string_view> parameters) {
  if (arguments.positional.size() > parameters.size()) {
    fail("'{}' takes {} arguments, not {}", callee, parameters.size(), arguments.positional.size());
  }
  std::vector<std::optional<Value>> bound(parameters.size());
  std::ranges::copy(arguments.positional, bound.begin());
  for (const auto& [name, value] : arguments.named) {
    const auto* const known = std::ranges::find(parameters, name);
    if (known == parameters.end()) fail("'{}' has no argument '{}'", callee, name);
    std::optional<Value>& place = bound[static_cast<size_t>(known - parameters.begin())];
    if (place) fail("'{}' got the argument '{}' twice", callee, name);
    place = value;
  }
  return bound;
}

bool flag(const std::optional<Value>& value, bool otherwise) {
  return value ? truth(*value) : otherwise;
}

int64_t integer(std::string_view callee, const std::optional<Value>& value, int64_t otherwise) {
  if (!value) return otherwise;
  if (!value->is_integral()) fail("'{}' needs an integer, found '{}'", callee, type_name(*value));
  return value->as_integer();
}

const Text& text(std::string_view callee, const Value& value) {
  if (!value.is(Value::Kind::kText)) fail("'{}' needs a string, found '{}'", callee, type_name(value));
  return *value.text;
}

}  // namespace minimax::chat::jinja
