#include "chat/template/methods.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/utf8.h"
#include "chat/template/print.h"
#include "chat/template/python_text.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

constexpr std::array<std::string_view, 26> kText{
    "split",     "rsplit",     "strip",        "lstrip",       "rstrip",     "startswith", "endswith",
    "replace",   "upper",      "lower",        "title",        "capitalize", "find",       "rfind",
    "count",     "join",       "splitlines",   "isdigit",      "isspace",    "isalpha",    "isalnum",
    "partition", "rpartition", "removeprefix", "removesuffix", "index"};
constexpr std::array<std::string_view, 5> kDict{"items", "keys", "values", "get", "copy"};
constexpr std::array<std::string_view, 2> kList{"index", "count"};
constexpr std::array<std::string_view, 2> kLoop{"cycle", "changed"};

bool among(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// --- strings

// Splits at runs of whitespace; what is left when count_max is used up keeps the space at its far end.
std::vector<Value> split_space(const Text& text, int64_t count_max, bool from_right, Heap& heap) {
  std::vector<Value> parts;
  const std::string_view bytes = text.bytes();
  std::vector<Range> words;
  size_t begin = std::string_view::npos;
  for (size_t at = 0; at < bytes.size();) {
    const utf8::Decoded d = utf8::decode(bytes.substr(at));
    const bool space = is_space(d.code_point);
    if (!space && begin == std::string_view::npos) begin = at;
    if (space && begin != std::string_view::npos)
      words.push_back({std::exchange(begin, std::string_view::npos), at});
    at += static_cast<size_t>(d.bytes);
  }
  if (begin != std::string_view::npos) words.push_back({begin, bytes.size()});
  heap.step(words.size());
  const size_t count = words.size();
  const size_t cuts = count_max < 0 ? count : static_cast<size_t>(count_max);
  if (cuts < count) {  // the rest is one part
    if (from_right) {
      words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count - cuts - 1));
      words.front().begin = 0;
    } else {
      words.resize(cuts + 1);
      words.back().end = bytes.size();
    }
  }
  for (const Range& word : words) parts.push_back(heap.text(text.slice(word.begin, word.end)));
  return parts;
}

std::vector<Value> split_at(const Text& text, std::string_view separator, int64_t count_max, bool from_right,
                            Heap& heap) {
  if (separator.empty()) fail("the separator of a split is empty");
  std::vector<Value> parts;
  const std::string& bytes = text.bytes();
  heap.step(bytes.size() / 64);
  size_t begin = 0;
  size_t end = bytes.size();
  while (count_max-- != 0) {
    heap.step();
    if (from_right) {
      if (end < separator.size()) break;
      const size_t at = bytes.rfind(separator, end - separator.size());
      if (at == std::string::npos) break;
      parts.push_back(heap.text(text.slice(at + separator.size(), end)));
      end = at;
    } else {
      const size_t at = bytes.find(separator, begin);
      if (at == std::string::npos) break;
      parts.push_back(heap.text(text.slice(begin, at)));
      begin = at + separator.size();
    }
  }
  parts.push_back(heap.text(text.slice(begin, end)));
  if (from_right) std::ranges::reverse(parts);
  return parts;
}

Value split(const Text& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  const auto bound = bind(name, arguments, {"sep", "maxsplit"});
  const int64_t count_max = integer(name, bound[1], -1);
  const bool from_right = name == "rsplit";
  if (!bound[0] || bound[0]->is(Kind::kNone))
    return heap.list(split_space(self, count_max, from_right, heap));
  return heap.list(split_at(self, text(name, *bound[0]).bytes(), count_max, from_right, heap));
}

Value partition(const Text& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  const auto bound = bind(name, arguments, {"sep"});
  if (!bound[0]) fail("'{}' needs a separator", name);
  const std::string& separator = text(name, *bound[0]).bytes();
  if (separator.empty()) fail("the separator of a partition is empty");
  const bool from_right = name == "rpartition";
  const size_t at = from_right ? self.bytes().rfind(separator) : self.bytes().find(separator);
  const Value empty = heap.text(Text());
  const Value whole = heap.text(self);
  if (at == std::string::npos) {
    return heap.list(from_right ? std::vector{empty, empty, whole} : std::vector{whole, empty, empty},
                     List::Kind::kTuple);
  }
  return heap.list(
      {heap.text(self.slice(0, at)), *bound[0], heap.text(self.slice(at + separator.size(), self.size()))},
      List::Kind::kTuple);
}

Value begins_or_ends(const Text& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  const auto bound = bind(name, arguments, {"affix"});
  if (!bound[0]) fail("'{}' needs a string", name);
  const bool begins = name == "startswith";
  const auto fits = [&](const Value& affix) {
    const std::string& bytes = text(name, affix).bytes();
    return begins ? self.bytes().starts_with(bytes) : self.bytes().ends_with(bytes);
  };
  if (!bound[0]->is(Kind::kList)) return bool_value(fits(*bound[0]));
  return bool_value(std::ranges::any_of(items_of(*bound[0], heap), fits));
}

Value search(const Text& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  const auto bound = bind(name, arguments, {"sub", "start", "end"});
  if (!bound[0]) fail("'{}' needs a string", name);
  const std::string& sub = text(name, *bound[0]).bytes();
  const std::string_view bytes = self.bytes();
  const std::vector<size_t> offsets = char_offsets(bytes);
  heap.step(offsets.size() / 16);
  const auto count = static_cast<int64_t>(offsets.size()) - 1;
  const auto resolve = [&](const std::optional<Value>& bound_place, int64_t otherwise) {
    if (!bound_place || bound_place->is(Kind::kNone)) return otherwise;
    const int64_t at = integer(name, bound_place, 0);
    return std::max<int64_t>(at < 0 ? at + count : at, 0);
  };
  const int64_t first = resolve(bound[1], 0);
  const int64_t last = std::min(resolve(bound[2], count), count);
  const bool outside = first > last;
  const size_t begin = outside ? 0 : offsets[static_cast<size_t>(first)];
  const std::string_view window =
      outside ? std::string_view() : bytes.substr(begin, offsets[static_cast<size_t>(last)] - begin);
  if (name == "count") {
    if (outside) return integer_value(0);
    if (sub.empty()) return integer_value(last - first + 1);
    int64_t found = 0;
    for (size_t at = window.find(sub); at != std::string_view::npos; at = window.find(sub, at + sub.size()))
      ++found;
    return integer_value(found);
  }
  const size_t at = outside ? std::string_view::npos : name == "rfind" ? window.rfind(sub) : window.find(sub);
  if (at == std::string_view::npos) {
    if (name == "index") fail("'index' did not find its string");
    return integer_value(-1);
  }
  return integer_value(static_cast<int64_t>(count_chars(bytes.substr(0, begin + at))));
}

Value join(const Text& self, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("join", arguments, {"iterable"});
  if (!bound[0]) fail("'join' needs a list");
  Text out;
  bool first = true;
  for (const Value& item : items_of(*bound[0], heap)) {
    if (!first) out.append(self);
    first = false;
    out.append(text("join", item));
    if (out.size() > heap.limits().heap_bytes_max) heap.spend(out.size());
  }
  return heap.text(std::move(out));
}

// Every letter that follows no letter goes up.
Text title(const Text& self) {
  Text out;
  bool in_word = false;
  const std::vector<size_t> offsets = char_offsets(self.bytes());
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const Text one = self.slice(offsets[i], offsets[i + 1]);
    out.append(in_word ? lower(one) : upper(one));
    in_word = is_letter_cased(utf8::decode(one.bytes()).code_point);
  }
  return out;
}

bool all_chars(const Text& self, std::string_view name) {
  std::string_view rest = self.bytes();
  while (!rest.empty()) {
    const utf8::Decoded d = utf8::decode(rest);
    const char32_t c = d.code_point;
    const bool digit = c < 0x80 ? c >= '0' && c <= '9' : is_word(c) && !is_alphabetic(c);
    const bool fits = name == "isdigit"   ? digit
                      : name == "isspace" ? is_space(c)
                      : name == "isalpha" ? is_alphabetic(c)
                                          : digit || is_alphabetic(c);
    if (!fits) return false;
    rest.remove_prefix(static_cast<size_t>(d.bytes));
  }
  return !self.empty();
}

Value strip_method(const Text& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  const auto bound = bind(name, arguments, {"chars"});
  std::string_view chars;
  if (bound[0] && !bound[0]->is(Kind::kNone)) {
    chars = text(name, *bound[0]).bytes();
    if (chars.empty()) return heap.text(self);
  }
  return heap.text(strip(self, name != "rstrip", name != "lstrip", chars));
}

Value text_method(const Text& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  heap.step(self.size() / 64);
  if (name == "split" || name == "rsplit") return split(self, name, arguments, heap);
  if (name == "partition" || name == "rpartition") return partition(self, name, arguments, heap);
  if (name == "startswith" || name == "endswith") return begins_or_ends(self, name, arguments, heap);
  if (name == "find" || name == "rfind" || name == "count" || name == "index") {
    return search(self, name, arguments, heap);
  }
  if (name.ends_with("strip")) return strip_method(self, name, arguments, heap);
  if (name == "join") return join(self, arguments, heap);
  if (name == "replace") {
    const auto bound = bind(name, arguments, {"old", "new", "count"});
    if (!bound[0] || !bound[1]) fail("'replace' needs two strings");
    return heap.text(
        replace(self, text(name, *bound[0]), text(name, *bound[1]), integer(name, bound[2], -1), heap));
  }
  if (name == "splitlines") {
    const auto bound = bind(name, arguments, {"keepends"});
    return heap.list(split_lines(self, flag(bound[0], false), heap));
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const auto bound = bind(name, arguments, {"affix"});
    if (!bound[0]) fail("'{}' needs a string", name);
    const std::string& affix = text(name, *bound[0]).bytes();
    const bool prefix = name == "removeprefix";
    const bool there = prefix ? self.bytes().starts_with(affix) : self.bytes().ends_with(affix);
    const size_t cut = there ? affix.size() : 0;
    return heap.text(self.slice(prefix ? cut : 0, self.size() - (prefix ? 0 : cut)));
  }
  bind(name, arguments, {});
  if (name == "upper") return heap.text(upper(self));
  if (name == "lower") return heap.text(lower(self));
  if (name == "title") return heap.text(title(self));
  if (name == "capitalize") return heap.text(capitalize(self));
  return bool_value(all_chars(self, name));
}

// --- the others

Value dict_method(const Value& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  if (name == "get") {
    const auto bound = bind(name, arguments, {"key", "default"});
    if (!bound[0]) fail("'get' needs a key");
    const Value* found = find(*self.dict, *bound[0], heap);
    return found != nullptr ? *found : bound[1].value_or(none_value());
  }
  bind(name, arguments, {});
  if (name == "copy") return heap.dict(self.dict->items, self.of_user);
  std::vector<Value> items;
  heap.step(self.dict->items.size());
  for (const auto& [key, value] : self.dict->items) {
    items.push_back(name == "keys"     ? key
                    : name == "values" ? value
                                       : heap.list({key, value}, List::Kind::kTuple, self.of_user));
  }
  return heap.list(std::move(items), List::Kind::kView, self.of_user);
}

Value list_method(const Value& self, std::string_view name, const Arguments& arguments, Heap& heap) {
  const auto bound = bind(name, arguments, {"value"});
  if (!bound[0]) fail("'{}' needs a value", name);
  int64_t count = 0;
  for (size_t i = 0; i < self.list->items.size(); ++i) {
    if (!equal(self.list->items[i], *bound[0], heap)) continue;
    if (name == "index") return integer_value(static_cast<int64_t>(i));
    ++count;
  }
  if (name == "index") fail("'index' did not find its value");
  return integer_value(count);
}

Value loop_method(Loop& loop, std::string_view name, const Arguments& arguments, Heap& heap) {
  if (!arguments.named.empty()) fail("'{}' takes no named arguments", name);
  const std::vector<Value>& given = arguments.positional;
  if (name == "cycle") {
    if (given.empty()) fail("'cycle' needs values");
    return given[loop.idx % given.size()];
  }
  bool same = loop.changed_once && loop.last_changed.size() == given.size();
  for (size_t i = 0; same && i < given.size(); ++i) same = equal(given[i], loop.last_changed[i], heap);
  loop.changed_once = true;
  loop.last_changed = given;
  return bool_value(!same);
}

}  // namespace

bool is_method(std::string_view name) {
  return among(kText, name) || among(kDict, name) || among(kList, name) || among(kLoop, name);
}

bool has_method(const Value& object, std::string_view name) {
  switch (object.kind) {
    case Kind::kText:
      return among(kText, name);
    case Kind::kDict:
      return among(kDict, name);
    case Kind::kList:
      return among(kList, name) &&
             (object.list->kind == List::Kind::kList || object.list->kind == List::Kind::kTuple);
    case Kind::kLoop:
      return among(kLoop, name);
    default:
      return false;
  }
}

Value call_method(const Method& method, const Arguments& arguments, Heap& heap) {
  const Value& self = method.object;
  switch (self.kind) {
    case Kind::kText:
      return text_method(*self.text, method.name, arguments, heap);
    case Kind::kDict:
      return dict_method(self, method.name, arguments, heap);
    case Kind::kList:
      return list_method(self, method.name, arguments, heap);
    default:
      return loop_method(*self.loop, method.name, arguments, heap);
  }
}

}  // namespace minimax::chat::jinja
