#include "chat/template/value.h"

#include <algorithm>

#include "chat/template/python_text.h"

namespace minimax::chat::jinja {

using Kind = Value::Kind;

Value none_value() {
  Value value;
  value.kind = Kind::kNone;
  return value;
}

Value bool_value(bool boolean) {
  Value value;
  value.kind = Kind::kBool;
  value.boolean = boolean;
  return value;
}

Value integer_value(int64_t integer) {
  Value value;
  value.kind = Kind::kInteger;
  value.integer = integer;
  return value;
}

Value real_value(double real) {
  Value value;
  value.kind = Kind::kFloat;
  value.real = real;
  return value;
}

Value* Scope::find(std::string_view name) {
  for (auto& [known, value] : names) {
    if (known == name) return &value;
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  if (Value* known = find(name)) {
    *known = value;
  } else {
    names.emplace_back(name, value);
  }
}

Depth::Depth(int& depth, const Limits& limits) : depth_(depth) {
  if (++depth_ > limits.depth_max) {
    --depth_;
    throw Failed{fmt::format("it nests deeper than {} (depth_max)", limits.depth_max), true};
  }
}

// --- comparisons

bool truth(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean;
    case Kind::kInteger:
      return value.integer != 0;
    case Kind::kFloat:
      return value.real != 0;
    case Kind::kText:
      return !value.text->empty();
    case Kind::kList:
      return value.list->kind == List::Kind::kGenerator || !value.list->items.empty();
    case Kind::kDict:
      return !value.dict->items.empty();
    default:
      return true;
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return "undefined";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return "bool";
    case Kind::kInteger:
    case Kind::kBigInteger:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kText:
      return "str";
    case Kind::kList:
      switch (value.list->kind) {
        case List::Kind::kList:
          return "list";
        case List::Kind::kTuple:
          return "tuple";
        case List::Kind::kView:
          return "view";
        case List::Kind::kRange:
          return "range";
        case List::Kind::kGenerator:
          return "generator";
      }
      return "list";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "namespace";
    case Kind::kLoop:
      return "loop";
    case Kind::kMacro:
      return "macro";
    default:
      return "function";
  }
}

namespace {

bool is_sequence(const Value& value) {
  return value.is(Kind::kList) && value.list->kind != List::Kind::kGenerator;
}

bool equal_dicts(const Dict& a, const Dict& b, Heap& heap, int depth) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, member] : a.items) {
    const Value* other = find(b, key, heap);
    if (other == nullptr || !equal(member, *other, heap, depth + 1)) return false;
  }
  return true;
}

void check_depth(int depth, const Heap& heap) {
  if (depth > heap.limits().depth_max) {
    throw Failed{fmt::format("values nest deeper than {} (depth_max)", heap.limits().depth_max), true};
  }
}

}  // namespace

bool equal(const Value& a, const Value& b, Heap& heap, int depth) {
  check_depth(depth, heap);
  heap.step();
  if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_real() == b.as_real();
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kBigInteger:
    case Kind::kText:
      return a.text->bytes() == b.text->bytes();
    case Kind::kList: {
      if (a.list == b.list) return true;
      if (!is_sequence(a) || !is_sequence(b) || a.list->kind != b.list->kind) return false;
      const std::vector<Value>& left = a.list->items;
      const std::vector<Value>& right = b.list->items;
      if (left.size() != right.size()) return false;
      for (size_t i = 0; i < left.size(); ++i) {
        if (!equal(left[i], right[i], heap, depth + 1)) return false;
      }
      return true;
    }
    case Kind::kDict:
      return a.dict == b.dict || equal_dicts(*a.dict, *b.dict, heap, depth);
    default:
      return a.list == b.list;
  }
}

bool less(const Value& a, const Value& b, Heap& heap, int depth) {
  check_depth(depth, heap);
  heap.step();
  if (a.is_integral() && b.is_integral()) return a.as_integer() < b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_real() < b.as_real();
  // UTF-8 sorts as its code points do.
  if (a.is(Kind::kText) && b.is(Kind::kText)) return a.text->bytes() < b.text->bytes();
  if (is_sequence(a) && is_sequence(b) && a.list->kind == b.list->kind &&
      (a.list->kind == List::Kind::kList || a.list->kind == List::Kind::kTuple)) {
    const std::vector<Value>& left = a.list->items;
    const std::vector<Value>& right = b.list->items;
    for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
      if (!equal(left[i], right[i], heap, depth + 1)) return less(left[i], right[i], heap, depth + 1);
    }
    return left.size() < right.size();
  }
  fail("'{}' and '{}' have no order", type_name(a), type_name(b));
}

bool contains(const Value& container, const Value& item, Heap& heap) {
  switch (container.kind) {
    case Kind::kUndefined:
      return false;
    case Kind::kText:
      if (!item.is(Kind::kText)) fail("'in' a string needs a string, found '{}'", type_name(item));
      heap.step(container.text->size() / 64);
      return container.text->bytes().find(item.text->bytes()) != std::string::npos;
    case Kind::kDict:
      if (item.is(Kind::kDict) || item.is(Kind::kList)) fail("a '{}' is no key of a dict", type_name(item));
      return find(*container.dict, item, heap) != nullptr;
    case Kind::kList: {
      const std::vector<Value> items = items_of(container, heap);
      return std::ranges::any_of(items, [&](const Value& one) { return equal(one, item, heap); });
    }
    default:
      fail("'in' needs a string, list or dict, found '{}'", type_name(container));
  }
}

std::vector<Value> items_of(const Value& value, Heap& heap) {
  std::vector<Value> items;
  switch (value.kind) {
    case Kind::kUndefined:
      break;
    case Kind::kText: {
      const std::vector<size_t> offsets = char_offsets(value.text->bytes());
      for (size_t i = 0; i + 1 < offsets.size(); ++i) {
        items.push_back(heap.text(value.text->slice(offsets[i], offsets[i + 1])));
      }
      break;
    }
    case Kind::kDict:
      for (const auto& member : value.dict->items) items.push_back(member.first);
      break;
    case Kind::kList:
      items.assign(value.list->items.begin() + static_cast<std::ptrdiff_t>(value.list->next),
                   value.list->items.end());
      if (value.list->kind == List::Kind::kGenerator) value.list->next = value.list->items.size();
      break;
    default:
      fail("'{}' cannot be iterated over", type_name(value));
  }
  heap.step(items.size());
  heap.spend(items.size() * sizeof(Value));
  return items;
}

const Value* find(const Dict& dict, const Value& key, Heap& heap) {
  if (key.is(Kind::kText)) return find(dict, key.text->bytes(), heap);
  for (const auto& [known, value] : dict.items) {
    if (equal(known, key, heap)) return &value;
  }
  return nullptr;
}

const Value* find(const Dict& dict, std::string_view key, Heap& heap) {
  heap.step(dict.items.size() / 8);
  for (const auto& [known, value] : dict.items) {
    if (known.is(Kind::kText) && known.text->bytes() == key) return &value;
  }
  return nullptr;
}

}  // namespace minimax::chat::jinja
