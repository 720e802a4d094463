#include "chat/template/functions.h"

#include <algorithm>
#include <array>

#include "chat/template/print.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

constexpr std::array<std::string_view, 5> kFunctions{"range", "namespace", "dict", "raise_exception",
                                                     "strftime_now"};
constexpr int64_t kRangeMax = 100'000;  // of Jinja's sandbox
constexpr size_t kTimeBytesMax = 256;

Value range(const Arguments& arguments, Heap& heap) {
  bind("range", {}, {});
  const size_t count = arguments.positional.size();
  if (!arguments.named.empty() || count < 1 || count > 3) fail("'range' takes one to three integers");
  const auto at = [&](size_t i) { return integer("range", arguments.positional[i], 0); };
  const int64_t begin = count > 1 ? at(0) : 0;
  const int64_t end = count > 1 ? at(1) : at(0);
  const int64_t step = count > 2 ? at(2) : 1;
  if (step == 0) fail("the step of a range is 0");
  std::vector<Value> items;
  int64_t value = begin;
  while (step > 0 ? value < end : value > end) {
    if (std::ssize(items) == kRangeMax) fail("a range has more than {} items", kRangeMax);
    heap.step();
    items.push_back(integer_value(value));
    if (__builtin_add_overflow(value, step, &value)) break;
  }
  return heap.list(std::move(items), List::Kind::kRange);
}

Value dict(const Arguments& arguments, Heap& heap) {
  std::vector<std::pair<Value, Value>> items;
  if (arguments.positional.size() > 1) fail("a dict is made of one dict and named values");
  bool of_user = false;
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (!from.is(Kind::kDict)) fail("a dict is made of a dict, found '{}'", type_name(from));
    items = from.dict->items;
    of_user = from.of_user;
  }
  for (const auto& [name, value] : arguments.named) {
    const std::string_view wanted = name;
    const auto known = std::ranges::find_if(items, [&](const auto& one) {
      return one.first.is(Kind::kText) && one.first.text->bytes() == wanted;
    });
    if (known != items.end()) {
      known->second = value;
    } else {
      items.emplace_back(heap.text(name, true), value);
    }
  }
  return heap.dict(std::move(items), of_user);
}

Value strftime_now(const Arguments& arguments, std::time_t now, Heap& heap) {
  const auto bound = bind("strftime_now", arguments, {"format"});
  if (!bound[0]) fail("'strftime_now' needs a format");
  const std::string& format = text("strftime_now", *bound[0]).bytes();
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, kTimeBytesMax> buffer{};
  // An empty result and one that does not fit look the same to strftime; a space tells them apart.
  const size_t size = std::strftime(buffer.data(), buffer.size(), (format + " ").c_str(), &local);
  if (size == 0) fail("the time takes more than {} bytes", kTimeBytesMax);
  const bool from_template =
      bound[0]->text->empty() || bound[0]->text->runs() == std::vector{Text::Run{format.size(), true}};
  return heap.text(std::string_view(buffer.data(), size - 1), from_template);
}

}  // namespace

bool is_function(std::string_view name) {
  return std::ranges::find(kFunctions, name) != kFunctions.end();
}

Value call_function(std::string_view name, const Arguments& arguments, std::time_t now, Heap& heap) {
  if (name == "range") return range(arguments, heap);
  if (name == "dict") return dict(arguments, heap);
  if (name == "strftime_now") return strftime_now(arguments, now, heap);
  if (name == "namespace") {
    Value value = dict(arguments, heap);
    value = heap.dict(value.dict->items, value.of_user);  // a copy: it will be changed
    value.kind = Kind::kNamespace;
    return value;
  }
  const auto bound = bind(name, arguments, {"message"});
  throw Failed{bound[0] ? str_of(*bound[0], heap).bytes() : "the template raised an exception"};
}

}  // namespace minimax::chat::jinja
