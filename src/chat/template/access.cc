#include "chat/template/access.h"

#include <algorithm>
#include <optional>

#include "chat/template/methods.h"
#include "chat/template/python_text.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

std::optional<Value> loop_attribute(const Loop& loop, std::string_view name, Heap& heap) {
  const auto count = static_cast<int64_t>(loop.items->size());
  const auto idx = static_cast<int64_t>(loop.idx);
  if (name == "index0") return integer_value(idx);
  if (name == "index") return integer_value(idx + 1);
  if (name == "first") return bool_value(idx == 0);
  if (name == "last") return bool_value(idx + 1 == count);
  if (name == "length") return integer_value(count);
  if (name == "revindex") return integer_value(count - idx);
  if (name == "revindex0") return integer_value(count - idx - 1);
  if (name == "depth") return integer_value(1);
  if (name == "depth0") return integer_value(0);
  if (name == "previtem")
    return idx == 0 ? heap.undefined("there is no previous item") : (*loop.items)[loop.idx - 1];
  if (name == "nextitem") {
    return idx + 1 == count ? heap.undefined("there is no next item") : (*loop.items)[loop.idx + 1];
  }
  return {};
}

// Index of Python to a place, or nothing if it lies outside.
std::optional<size_t> place(int64_t index, size_t count) {
  if (index < 0) index += static_cast<int64_t>(count);
  if (index < 0 || index >= static_cast<int64_t>(count)) return {};
  return static_cast<size_t>(index);
}

std::optional<Value> member(const Value& object, const Value& key, Heap& heap) {
  if (object.is(Kind::kDict)) {
    const Value* found = find(*object.dict, key, heap);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  if (!key.is_integral()) return {};
  if (object.is(Kind::kList) && object.list->kind != List::Kind::kGenerator &&
      object.list->kind != List::Kind::kView) {
    const std::optional<size_t> at = place(key.as_integer(), object.list->items.size());
    return at ? std::optional(object.list->items[*at]) : std::nullopt;
  }
  if (object.is(Kind::kText)) {
    const std::vector<size_t> offsets = char_offsets(object.text->bytes());
    heap.step(offsets.size() / 64);
    const std::optional<size_t> at = place(key.as_integer(), offsets.size() - 1);
    if (at) return heap.text(object.text->slice(offsets[*at], offsets[*at + 1]));
  }
  return {};
}

// What Python finds by a dot.
std::optional<Value> own_attribute(const Value& object, std::string_view name, Heap& heap) {
  if (object.is(Kind::kLoop)) {
    if (const std::optional<Value> found = loop_attribute(*object.loop, name, heap)) return found;
  }
  if (object.is(Kind::kNamespace)) {
    const Value* found = find(*object.dict, name, heap);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  if (has_method(object, name)) return heap.method(object, name);
  return {};
}

Value missing(const Value& object, std::string_view name, Heap& heap) {
  return heap.undefined(fmt::format("'{}' has no '{}'", type_name(object), name));
}

}  // namespace

void fail_undefined(const Value& value) {
  if (value.name == nullptr) fail("a value is undefined");
  fail("{}", *value.name);
}

Value attribute(const Value& object, std::string_view name, Heap& heap) {
  if (object.is(Kind::kUndefined)) fail_undefined(object);
  if (const std::optional<Value> found = own_attribute(object, name, heap)) return *found;
  // The sandbox hides methods that change a dict, and with them its members of that name.
  const bool hidden = name == "pop" || name == "popitem" || name == "update" || name == "clear" ||
                      name == "setdefault" || name == "fromkeys";
  if (object.is(Kind::kDict) && !hidden) {
    if (const Value* found = find(*object.dict, name, heap)) return *found;
  }
  return missing(object, name, heap);
}

Value item(const Value& object, const Value& key, Heap& heap) {
  if (object.is(Kind::kUndefined)) fail_undefined(object);
  if (const std::optional<Value> found = member(object, key, heap)) return *found;
  if (!key.is(Kind::kText)) return missing(object, type_name(key), heap);
  if (const std::optional<Value> found = own_attribute(object, key.text->bytes(), heap)) return *found;
  return missing(object, key.text->bytes(), heap);
}

Value slice(const Value& object, const Value& begin, const Value& end, const Value& step, Heap& heap) {
  if (object.is(Kind::kUndefined)) fail_undefined(object);
  const bool is_list = object.is(Kind::kList) &&
                       (object.list->kind == List::Kind::kList || object.list->kind == List::Kind::kTuple);
  for (const Value& bound : {begin, end, step}) {
    if (!bound.is(Kind::kNone) && !bound.is_integral())
      fail("a slice needs integers, found '{}'", type_name(bound));
  }
  if (!is_list && !object.is(Kind::kText)) fail("'{}' cannot be sliced", type_name(object));

  std::vector<size_t> offsets;
  if (!is_list) offsets = char_offsets(object.text->bytes());
  const auto count = static_cast<int64_t>(is_list ? object.list->items.size() : offsets.size() - 1);
  const int64_t by = step.is(Kind::kNone) ? 1 : step.as_integer();
  if (by == 0) fail("a slice's step is 0");
  const int64_t low = by > 0 ? 0 : -1;
  const int64_t high = by > 0 ? count : count - 1;
  const auto resolve = [&](const Value& bound, int64_t otherwise) {
    if (bound.is(Kind::kNone)) return otherwise;
    const int64_t at = bound.as_integer();
    return std::clamp(at < 0 ? at + count : at, low, high);
  };
  const int64_t from = resolve(begin, by > 0 ? low : high);
  const int64_t to = resolve(end, by > 0 ? high : low);
  heap.step(static_cast<size_t>(count) / 16);
  if (!is_list && by == 1) {
    if (from >= to) return heap.text(Text());
    return heap.text(
        object.text->slice(offsets[static_cast<size_t>(from)], offsets[static_cast<size_t>(to)]));
  }
  std::vector<Value> items;
  Text text;
  for (int64_t at = from; by > 0 ? at < to : at > to;) {
    const auto i = static_cast<size_t>(at);
    if (is_list) {
      items.push_back(object.list->items[i]);
    } else {
      text.append(*object.text, offsets[i], offsets[i + 1]);
    }
    if (__builtin_add_overflow(at, by, &at)) break;
  }
  if (!is_list) return heap.text(std::move(text));
  return heap.list(std::move(items), object.list->kind, object.of_user);
}

}  // namespace minimax::chat::jinja
