#include "chat/template/value.h"

namespace minimax::chat::jinja {

using Kind = Value::Kind;

void Heap::step(size_t count) {
  steps_ += static_cast<int64_t>(count);
  if (steps_ > limits_.steps_max) {
    throw Failed{fmt::format("it takes more than {} steps (steps_max)", limits_.steps_max), true};
  }
}

void Heap::spend(size_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits_.heap_bytes_max) {
    throw Failed{fmt::format("its values take more than {} bytes (heap_bytes_max)", limits_.heap_bytes_max),
                 true};
  }
}

Value Heap::text(Text text) {
  spend(sizeof(Text) + text.size() + text.runs().size() * sizeof(Text::Run));
  Value value;
  value.kind = Kind::kText;
  value.text = &texts_.emplace_back(std::move(text));
  return value;
}

Value Heap::list(std::vector<Value> items, List::Kind kind, bool of_user) {
  spend(sizeof(List) + items.size() * sizeof(Value));
  Value value;
  value.kind = Kind::kList;
  value.of_user = of_user;
  value.list = &lists_.emplace_back(List{kind, std::move(items), 0});
  return value;
}

Value Heap::dict(std::vector<std::pair<Value, Value>> items, bool of_user) {
  spend(sizeof(Dict) + items.size() * 2 * sizeof(Value));
  Value value;
  value.kind = Kind::kDict;
  value.of_user = of_user;
  value.dict = &dicts_.emplace_back(Dict{std::move(items)});
  return value;
}

Value Heap::undefined(std::string_view name) {
  spend(sizeof(std::string) + name.size());
  Value value;
  value.name = &names_.emplace_back(name);
  return value;
}

Value Heap::method(Value object, std::string_view name) {
  spend(sizeof(Method));
  Value value;
  value.kind = Kind::kMethod;
  value.method = &methods_.emplace_back(Method{object, name});
  return value;
}

Value Heap::macro(const Node* node, Scope* scope) {
  spend(sizeof(Macro));
  Value value;
  value.kind = Kind::kMacro;
  value.macro = &macros_.emplace_back(Macro{node, scope});
  return value;
}

Value Heap::loop(const std::vector<Value>* items) {
  spend(sizeof(Loop));
  Value value;
  value.kind = Kind::kLoop;
  value.loop = &loops_.emplace_back();
  value.loop->items = items;
  return value;
}

Scope* Heap::scope(Scope* parent) {
  spend(sizeof(Scope) + 4 * sizeof(Value));
  scopes_.emplace_back().parent = parent;
  return &scopes_.back();
}

Value Heap::of_json(const Json& json, bool from_template) {
  const bool of_user = !from_template;
  if (json.is_string()) return text(json.as_string(), from_template);
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json.as_array()) items.push_back(of_json(item, from_template));
    return list(std::move(items), List::Kind::kList, of_user);
  }
  if (json.is_object()) {
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [name, member] : json.as_object()) {
      items.emplace_back(text(name, from_template), of_json(member, from_template));
    }
    return dict(std::move(items), of_user);
  }
  Value value = none_value();
  if (json.is_bool()) {
    value = bool_value(json.as_bool());
  } else if (json.is_int64()) {
    value = integer_value(json.as_int64());
  } else if (json.is_double()) {
    value = real_value(json.as_double());
  } else if (json.is_big_integer()) {
    value = text(json.as_big_integer().digits, from_template);
    value.kind = Kind::kBigInteger;
  }
  value.of_user = of_user;
  return value;
}

}  // namespace minimax::chat::jinja
