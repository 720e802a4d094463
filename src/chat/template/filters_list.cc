// Filters over lists and dicts.

#include <algorithm>
#include <charconv>

#include "chat/template/access.h"
#include "chat/template/arithmetic.h"
#include "chat/template/filters.h"
#include "chat/template/methods.h"
#include "chat/template/print.h"
#include "chat/template/python_text.h"
#include "chat/template/tests.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

Value default_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("default", arguments, {"default_value", "boolean"});
  const bool missing = input.is(Kind::kUndefined) || (flag(bound[1], false) && !truth(input));
  if (!missing) return input;
  return bound[0] ? *bound[0] : heap.text(Text());
}

Value length_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("length", arguments, {});
  heap.step();
  size_t count = 0;
  if (input.is(Kind::kText)) {
    count = count_chars(input.text->bytes());
  } else if (input.is(Kind::kDict)) {
    count = input.dict->items.size();
  } else if (input.is(Kind::kList) && input.list->kind != List::Kind::kGenerator) {
    count = input.list->items.size();
  } else if (!input.is(Kind::kUndefined)) {
    fail("'{}' has no length", type_name(input));
  }
  return integer_value(static_cast<int64_t>(count));
}

Value list_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("list", arguments, {});
  return heap.list(items_of(input, heap), List::Kind::kList, input.of_user);
}

Value items_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("items", arguments, {});
  if (!input.is(Kind::kUndefined) && !input.is(Kind::kDict))
    fail("'items' needs a dict, found '{}'", type_name(input));
  std::vector<Value> items;
  if (input.is(Kind::kDict)) {
    for (const auto& [key, value] : input.dict->items) {
      items.push_back(heap.list({key, value}, List::Kind::kTuple, input.of_user));
    }
  }
  heap.step(items.size());
  return heap.list(std::move(items), List::Kind::kGenerator);
}

Value first_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("first", arguments, {});
  if (input.is(Kind::kList) && input.list->kind == List::Kind::kGenerator) {
    List& list = *input.list;
    return list.next < list.items.size() ? list.items[list.next++] : heap.undefined("there is no first item");
  }
  if (input.is(Kind::kText)) {
    const size_t end = byte_of_char(input.text->bytes(), 1);
    return end == 0 ? heap.undefined("there is no first item") : heap.text(input.text->slice(0, end));
  }
  const std::vector<Value> items = items_of(input, heap);
  return items.empty() ? heap.undefined("there is no first item") : items.front();
}

Value last_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("last", arguments, {});
  if (input.is(Kind::kList) && input.list->kind == List::Kind::kGenerator)
    fail("'last' cannot reverse a generator");
  const std::vector<Value> items = items_of(input, heap);
  return items.empty() ? heap.undefined("there is no last item") : items.back();
}

Value reverse_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("reverse", arguments, {});
  std::vector<Value> items = items_of(input, heap);
  std::ranges::reverse(items);
  if (input.is(Kind::kText)) {
    Text out;
    for (const Value& one : items) out.append(*one.text);
    return heap.text(std::move(out));
  }
  const bool generator = input.is(Kind::kList) && input.list->kind == List::Kind::kGenerator;
  return heap.list(std::move(items), generator ? List::Kind::kList : List::Kind::kGenerator);
}

// "a.b.0" of an item, as attribute= means it; what is missing is undefined.
Value dotted(const Value& item_value, const Value& path, Heap& heap) {
  if (path.is_integral()) return item(item_value, path, heap);
  std::string_view rest = text("attribute", path).bytes();
  if (rest.find(',') != std::string_view::npos) fail("several attributes at once are not known");
  Value value = item_value;
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    int64_t index = 0;
    const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index =
        !part.empty() && part[0] != '-' && code == std::errc() && end == part.data() + part.size();
    value = item(value, is_index ? integer_value(index) : heap.text(part, true), heap);
    if (dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

Value folded(const Value& value, Heap& heap) {
  return value.is(Kind::kText) ? heap.text(lower(*value.text)) : value;
}

// What sort, min, max and unique compare: an attribute, strings without case unless asked.
struct Key {
  std::optional<Value> attribute;
  bool case_sensitive = false;
  Value operator()(const Value& value, Heap& heap) const {
    const bool whole = !attribute || attribute->is(Kind::kNone);
    const Value key = whole ? value : dotted(value, *attribute, heap);
    return case_sensitive ? key : folded(key, heap);
  }
};

std::vector<std::pair<Value, Value>> keyed(const Value& input, const Key& key, Heap& heap) {
  std::vector<std::pair<Value, Value>> out;
  for (const Value& one : items_of(input, heap)) out.emplace_back(key(one, heap), one);
  return out;
}

Value sort_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  auto items = keyed(input, {bound[2], flag(bound[1], false)}, heap);
  const bool reverse = flag(bound[0], false);
  std::ranges::stable_sort(items, [&](const auto& a, const auto& b) {
    return reverse ? less(b.first, a.first, heap) : less(a.first, b.first, heap);
  });
  std::vector<Value> out;
  for (const auto& pair : items) out.push_back(pair.second);
  return heap.list(std::move(out), List::Kind::kList, input.of_user);
}

Value unique_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("unique", arguments, {"case_sensitive", "attribute"});
  std::vector<Value> seen, out;
  for (const auto& [key, one] : keyed(input, {bound[1], flag(bound[0], false)}, heap)) {
    const auto& wanted = key;
    if (std::ranges::any_of(seen, [&](const Value& known) { return equal(known, wanted, heap); })) continue;
    seen.push_back(key);
    out.push_back(one);
  }
  return heap.list(std::move(out), List::Kind::kGenerator);
}

Value extreme(std::string_view name, const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind(name, arguments, {"case_sensitive", "attribute"});
  const auto items = keyed(input, {bound[1], flag(bound[0], false)}, heap);
  if (items.empty()) return heap.undefined("there is no item");
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    const Value& a = items[i].first;
    const Value& b = items[best].first;
    if (name == "min" ? less(a, b, heap) : less(b, a, heap)) best = i;
  }
  return items[best].second;
}
Value min_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return extreme("min", input, arguments, heap);
}
Value max_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return extreme("max", input, arguments, heap);
}

Value sum_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("sum", arguments, {"attribute", "start"});
  Value total = bound[1].value_or(integer_value(0));
  const bool whole = !bound[0] || bound[0]->is(Kind::kNone);
  for (const Value& one : items_of(input, heap)) {
    total = calculate(Op::kAdd, total, whole ? one : dotted(one, *bound[0], heap), heap);
  }
  return total;
}

Value join_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("join", arguments, {"d", "attribute"});
  const Text between = bound[0] ? str_of(*bound[0], heap) : Text();
  const bool whole = !bound[1] || bound[1]->is(Kind::kNone);
  Text out;
  bool first = true;
  for (const Value& one : items_of(input, heap)) {
    if (!first) out.append(between);
    first = false;
    out.append(str_of(whole ? one : dotted(one, *bound[1], heap), heap));
    if (out.size() > heap.limits().heap_bytes_max) heap.spend(out.size());
  }
  return heap.text(std::move(out));
}

Value dictsort_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (!input.is(Kind::kDict)) fail("'dictsort' needs a dict, found '{}'", type_name(input));
  const std::string by = bound[1] ? str_of(*bound[1], heap).bytes() : "key";
  if (by != "key" && by != "value") fail("'dictsort' sorts by key or value");
  const bool case_sensitive = flag(bound[0], false);
  const bool reverse = flag(bound[2], false);
  std::vector<std::pair<Value, Value>> items;  // what is compared, and the pair
  for (const auto& [key, value] : input.dict->items) {
    const Value& compared = by == "key" ? key : value;
    items.emplace_back(case_sensitive ? compared : folded(compared, heap),
                       heap.list({key, value}, List::Kind::kTuple, input.of_user));
  }
  std::ranges::stable_sort(items, [&](const auto& a, const auto& b) {
    return reverse ? less(b.first, a.first, heap) : less(a.first, b.first, heap);
  });
  std::vector<Value> out;
  for (const auto& pair : items) out.push_back(pair.second);
  return heap.list(std::move(out), List::Kind::kList, input.of_user);
}

Value batch_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("batch", arguments, {"linecount", "fill_with"});
  const int64_t count = integer("batch", bound[0], 0);
  if (count <= 0 || count > 1'000'000) fail("'batch' needs a count from 1 to 1000000");
  std::vector<Value> out, row;
  const auto give = [&] { out.push_back(heap.list(std::exchange(row, {}))); };
  for (const Value& one : items_of(input, heap)) {
    if (std::ssize(row) == count) give();
    row.push_back(one);
  }
  if (!row.empty()) {
    const bool fills = bound[1] && !bound[1]->is(Kind::kNone);
    if (fills) heap.step(static_cast<size_t>(count));
    while (fills && std::ssize(row) < count) row.push_back(*bound[1]);
    give();
  }
  return heap.list(std::move(out), List::Kind::kGenerator);
}

// --- filters that apply others

Value map_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  std::vector<Value> out;
  if (arguments.positional.empty()) {
    const auto bound = bind("map", arguments, {"attribute", "default"});
    if (!bound[0]) fail("'map' needs a filter or an attribute");
    for (const Value& one : items_of(input, heap)) {
      const Value found = dotted(one, *bound[0], heap);
      out.push_back(found.is(Kind::kUndefined) && bound[1] ? *bound[1] : found);
    }
    return heap.list(std::move(out), List::Kind::kGenerator);
  }
  const std::string& name = text("map", arguments.positional[0]).bytes();
  const Filter filter = find_filter(name);
  if (filter == nullptr) fail("the filter '{}' is not known", name);
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  for (const Value& one : items_of(input, heap)) out.push_back(filter(one, rest, heap));
  return heap.list(std::move(out), List::Kind::kGenerator);
}

Value pick(std::string_view name, const Value& input, Arguments rest, Heap& heap) {
  const bool keeps = name.starts_with("select");
  std::optional<Value> path;
  const auto take = [&] {
    const Value taken = rest.positional.front();
    rest.positional.erase(rest.positional.begin());
    return taken;
  };
  if (name.ends_with("attr")) {
    if (rest.positional.empty()) fail("'{}' needs an attribute", name);
    path = take();
  }
  Test test = nullptr;
  if (!rest.positional.empty()) {
    const std::string& test_name = text(name, take()).bytes();
    test = find_test(test_name);
    if (test == nullptr) fail("the test '{}' is not known", test_name);
  }
  std::vector<Value> out;
  for (const Value& one : items_of(input, heap)) {
    const Value subject = path ? dotted(one, *path, heap) : one;
    const bool fits = test == nullptr ? truth(subject) : test(subject, rest, heap);
    if (fits == keeps) out.push_back(one);
  }
  return heap.list(std::move(out), List::Kind::kGenerator);
}
Value select_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return pick("select", input, arguments, heap);
}
Value reject_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return pick("reject", input, arguments, heap);
}
Value selectattr_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return pick("selectattr", input, arguments, heap);
}
Value rejectattr_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return pick("rejectattr", input, arguments, heap);
}

}  // namespace

Filter find_list_filter(std::string_view name) {
  if (name == "default" || name == "d") return default_filter;
  if (name == "length" || name == "count") return length_filter;
  if (name == "list") return list_filter;
  if (name == "items") return items_filter;
  if (name == "first") return first_filter;
  if (name == "last") return last_filter;
  if (name == "reverse") return reverse_filter;
  if (name == "sort") return sort_filter;
  if (name == "unique") return unique_filter;
  if (name == "min") return min_filter;
  if (name == "max") return max_filter;
  if (name == "sum") return sum_filter;
  if (name == "join") return join_filter;
  if (name == "dictsort") return dictsort_filter;
  if (name == "batch") return batch_filter;
  if (name == "map") return map_filter;
  if (name == "select") return select_filter;
  if (name == "reject") return reject_filter;
  if (name == "selectattr") return selectattr_filter;
  if (name == "rejectattr") return rejectattr_filter;
  return nullptr;
}

Filter find_filter(std::string_view name) {
  const Filter filter = find_text_filter(name);
  return filter != nullptr ? filter : find_list_filter(name);
}

}  // namespace minimax::chat::jinja
