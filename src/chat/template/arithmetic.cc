#include "chat/template/arithmetic.h"

#include <cmath>

#include "chat/template/access.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

std::string_view sign_of(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSubtract:
      return "-";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kFloorDivide:
      return "//";
    case Op::kModulo:
      return "%";
    default:
      return "**";
  }
}

[[noreturn]] void overflow() {
  fail("an integer is beyond 64 bits");
}

int64_t floor_divided(int64_t a, int64_t b) {
  if (a == INT64_MIN && b == -1) overflow();
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t raised(int64_t base, int64_t exponent) {
  int64_t out = 1;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(out, base, &out)) overflow();
  }
  return out;
}

Value of_integers(Op op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool over = false;
  switch (op) {
    case Op::kAdd:
      over = __builtin_add_overflow(a, b, &out);
      break;
    case Op::kSubtract:
      over = __builtin_sub_overflow(a, b, &out);
      break;
    case Op::kMultiply:
      over = __builtin_mul_overflow(a, b, &out);
      break;
    case Op::kDivide:
      if (b == 0) fail("division by zero");
      return real_value(static_cast<double>(a) / static_cast<double>(b));
    case Op::kFloorDivide:
    case Op::kModulo:
      if (b == 0) fail("division by zero");
      if (op == Op::kModulo && b == -1) return integer_value(0);
      out = floor_divided(a, b);
      if (op == Op::kModulo) out = a - out * b;
      break;
    default:
      if (b < 0) {
        if (a == 0) fail("division by zero");
        return real_value(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      out = raised(a, b);
  }
  if (over) overflow();
  return integer_value(out);
}

Value of_reals(Op op, double a, double b) {
  switch (op) {
    case Op::kAdd:
      return real_value(a + b);
    case Op::kSubtract:
      return real_value(a - b);
    case Op::kMultiply:
      return real_value(a * b);
    case Op::kDivide:
      if (b == 0) fail("division by zero");
      return real_value(a / b);
    case Op::kFloorDivide:
    case Op::kModulo: {
      if (b == 0) fail("division by zero");
      double rest = std::fmod(a, b);
      if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
      if (op == Op::kModulo) return real_value(rest == 0 ? std::copysign(0.0, b) : rest);
      const double quotient = (a - rest) / b;
      return real_value(quotient == 0 ? std::copysign(0.0, a / b) : std::floor(quotient + 0.5));
    }
    default:
      if (a == 0 && b < 0) fail("division by zero");
      if (a < 0 && b != std::floor(b)) fail("a negative number has no real power of a fraction");
      return real_value(std::pow(a, b));
  }
}

std::optional<Value> repeated(const Value& what, const Value& times, Heap& heap) {
  if (!times.is_integral()) return {};
  const int64_t count = std::max<int64_t>(times.as_integer(), 0);
  if (what.is(Kind::kText)) {
    const size_t size = what.text->size();
    if (size > 0 && static_cast<size_t>(count) > heap.limits().heap_bytes_max / size) {
      heap.spend(heap.limits().heap_bytes_max + 1);
    }
    heap.step(static_cast<size_t>(size > 0 ? count : 0));
    Text out;
    for (int64_t i = 0; size > 0 && i < count; ++i) out.append(*what.text);
    return heap.text(std::move(out));
  }
  if (what.is(Kind::kList) &&
      (what.list->kind == List::Kind::kList || what.list->kind == List::Kind::kTuple)) {
    std::vector<Value> out;
    const std::vector<Value>& items = what.list->items;
    for (int64_t i = 0; !items.empty() && i < count; ++i) {
      heap.step(items.size());
      heap.spend(items.size() * sizeof(Value));
      out.insert(out.end(), items.begin(), items.end());
    }
    return heap.list(std::move(out), what.list->kind, what.of_user);
  }
  return {};
}

std::optional<Value> of_sequences(Op op, const Value& left, const Value& right, Heap& heap) {
  if (op == Op::kMultiply) {
    if (const std::optional<Value> out = repeated(left, right, heap)) return out;
    return repeated(right, left, heap);
  }
  if (op != Op::kAdd) return {};
  if (left.is(Kind::kText) && right.is(Kind::kText)) {
    Text out = *left.text;
    out.append(*right.text);
    return heap.text(std::move(out));
  }
  const bool lists = left.is(Kind::kList) && right.is(Kind::kList) && left.list->kind == right.list->kind &&
                     (left.list->kind == List::Kind::kList || left.list->kind == List::Kind::kTuple);
  if (!lists) return {};
  std::vector<Value> out = left.list->items;
  out.insert(out.end(), right.list->items.begin(), right.list->items.end());
  heap.step(out.size());
  return heap.list(std::move(out), left.list->kind, left.of_user || right.of_user);
}

}  // namespace

Value calculate(Op op, const Value& left, const Value& right, Heap& heap) {
  if (left.is(Kind::kUndefined)) fail_undefined(left);
  if (right.is(Kind::kUndefined)) fail_undefined(right);
  const bool of_user = left.of_user || right.of_user;
  if (left.is_integral() && right.is_integral()) {
    return of_user_if(of_integers(op, left.as_integer(), right.as_integer()), of_user);
  }
  if (left.is_number() && right.is_number()) {
    return of_user_if(of_reals(op, left.as_real(), right.as_real()), of_user);
  }
  if (const std::optional<Value> out = of_sequences(op, left, right, heap)) return *out;
  fail("'{}' is not known between '{}' and '{}'", sign_of(op), type_name(left), type_name(right));
}

Value negate(const Value& value) {
  if (value.is(Kind::kUndefined)) fail_undefined(value);
  if (value.is(Kind::kFloat)) return of_user_if(real_value(-value.real), value.of_user);
  if (!value.is_integral()) fail("'-' needs a number, found '{}'", type_name(value));
  if (value.as_integer() == INT64_MIN) overflow();
  return of_user_if(integer_value(-value.as_integer()), value.of_user);
}

bool compare(Op op, const Value& left, const Value& right, Heap& heap) {
  const auto ordered = [&] {
    if (left.is(Kind::kUndefined)) fail_undefined(left);
    if (right.is(Kind::kUndefined)) fail_undefined(right);
  };
  switch (op) {
    case Op::kEqual:
      return equal(left, right, heap);
    case Op::kUnequal:
      return !equal(left, right, heap);
    case Op::kLess:
      ordered();
      return less(left, right, heap);
    case Op::kGreater:
      ordered();
      return less(right, left, heap);
    case Op::kLessEqual:
      ordered();
      return less(left, right, heap) || equal(left, right, heap);
    case Op::kGreaterEqual:
      ordered();
      return less(right, left, heap) || equal(left, right, heap);
    case Op::kIn:
      return contains(right, left, heap);
    default:
      return !contains(right, left, heap);
  }
}

}  // namespace minimax::chat::jinja
