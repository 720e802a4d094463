#include "chat/template/tests.h"

#include <array>
#include <utility>

#include "base/utf8.h"
#include "chat/template/arithmetic.h"
#include "chat/template/methods.h"
#include "chat/template/print.h"
#include "chat/template/python_text.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

template <bool (*Fits)(const Value&)>
bool kind_test(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("test", arguments, {});
  heap.step();
  return Fits(input);
}

bool is_defined(const Value& v) {
  return !v.is(Kind::kUndefined);
}
bool is_undefined(const Value& v) {
  return v.is(Kind::kUndefined);
}
bool is_none(const Value& v) {
  return v.is(Kind::kNone);
}
bool is_string(const Value& v) {
  return v.is(Kind::kText);
}
bool is_mapping(const Value& v) {
  return v.is(Kind::kDict);
}
bool is_boolean(const Value& v) {
  return v.is(Kind::kBool);
}
bool is_true(const Value& v) {
  return v.is(Kind::kBool) && v.boolean;
}
bool is_false(const Value& v) {
  return v.is(Kind::kBool) && !v.boolean;
}
bool is_integer(const Value& v) {
  return v.is(Kind::kInteger) || v.is(Kind::kBigInteger);
}
bool is_float(const Value& v) {
  return v.is(Kind::kFloat);
}
bool is_number(const Value& v) {
  return v.is_number() || v.is(Kind::kBigInteger);
}
// Undefined values have __call__, which raises.
bool is_callable(const Value& v) {
  return v.is(Kind::kUndefined) || v.is(Kind::kMacro) || v.is(Kind::kFunction) || v.is(Kind::kMethod);
}
// An undefined value can be iterated over and has a length: both are 0.
bool is_iterable(const Value& v) {
  return v.is(Kind::kUndefined) || v.is(Kind::kText) || v.is(Kind::kList) || v.is(Kind::kDict) ||
         v.is(Kind::kLoop);
}
bool is_sequence(const Value& v) {
  if (v.is(Kind::kList)) return v.list->kind != List::Kind::kView && v.list->kind != List::Kind::kGenerator;
  return v.is(Kind::kUndefined) || v.is(Kind::kText) || v.is(Kind::kDict);
}

bool has_remainder(const Value& input, int64_t divisor, int64_t wanted, Heap& heap) {
  return equal(calculate(Op::kModulo, input, integer_value(divisor), heap), integer_value(wanted), heap);
}
bool odd_test(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("odd", arguments, {});
  return has_remainder(input, 2, 1, heap);
}
bool even_test(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("even", arguments, {});
  return has_remainder(input, 2, 0, heap);
}
bool divisible_test(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("divisibleby", arguments, {"num"});
  if (!bound[0]) fail("'divisibleby' needs a number");
  return has_remainder(input, integer("divisibleby", bound[0], 1), 0, heap);
}

template <Op kOp>
bool compare_test(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("comparison", arguments, {"other"});
  if (!bound[0]) fail("a comparison needs another value");
  return compare(kOp, input, *bound[0], heap);
}

bool same_test(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("sameas", arguments, {"other"});
  if (!bound[0]) fail("'sameas' needs another value");
  const bool plain = input.is(Kind::kBool) || input.is(Kind::kNone);
  if (!plain) fail("'sameas' knows true, false and none only");
  return input.kind == bound[0]->kind && equal(input, *bound[0], heap);
}

// Some letter has case, and none the other one.
bool case_test(const Value& input, Heap& heap, bool (*wanted)(char32_t), bool (*other)(char32_t)) {
  const Text text = str_of(input, heap);
  bool any = false;
  std::string_view rest = text.bytes();
  while (!rest.empty()) {
    const utf8::Decoded d = utf8::decode(rest);
    if (other(d.code_point)) return false;
    any = any || wanted(d.code_point);
    rest.remove_prefix(static_cast<size_t>(d.bytes));
  }
  return any;
}
bool upper_test(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("upper", arguments, {});
  return case_test(input, heap, is_upper, is_lower);
}
bool lower_test(const Value& input, const Arguments& arguments, Heap& heap) {
  bind("lower", arguments, {});
  return case_test(input, heap, is_lower, is_upper);
}

constexpr std::array<std::pair<std::string_view, Test>, 36> kTests{{
    {"defined", kind_test<is_defined>},
    {"undefined", kind_test<is_undefined>},
    {"none", kind_test<is_none>},
    {"string", kind_test<is_string>},
    {"mapping", kind_test<is_mapping>},
    {"iterable", kind_test<is_iterable>},
    {"sequence", kind_test<is_sequence>},
    {"boolean", kind_test<is_boolean>},
    {"true", kind_test<is_true>},
    {"false", kind_test<is_false>},
    {"integer", kind_test<is_integer>},
    {"float", kind_test<is_float>},
    {"number", kind_test<is_number>},
    {"callable", kind_test<is_callable>},
    {"odd", odd_test},
    {"even", even_test},
    {"divisibleby", divisible_test},
    {"sameas", same_test},
    {"upper", upper_test},
    {"lower", lower_test},
    {"in", compare_test<Op::kIn>},
    {"eq", compare_test<Op::kEqual>},
    {"equalto", compare_test<Op::kEqual>},
    {"==", compare_test<Op::kEqual>},
    {"ne", compare_test<Op::kUnequal>},
    {"!=", compare_test<Op::kUnequal>},
    {"lt", compare_test<Op::kLess>},
    {"lessthan", compare_test<Op::kLess>},
    {"<", compare_test<Op::kLess>},
    {"le", compare_test<Op::kLessEqual>},
    {"<=", compare_test<Op::kLessEqual>},
    {"gt", compare_test<Op::kGreater>},
    {"greaterthan", compare_test<Op::kGreater>},
    {">", compare_test<Op::kGreater>},
    {"ge", compare_test<Op::kGreaterEqual>},
    {">=", compare_test<Op::kGreaterEqual>},
}};

}  // namespace

Test find_test(std::string_view name) {
  for (const auto& [known, test] : kTests) {
    if (known == name) return test;
  }
  return nullptr;
}

}  // namespace minimax::chat::jinja
