#include "chat/template/access.h"
#include "chat/template/arithmetic.h"
#include "chat/template/evaluator.h"
#include "chat/template/filters.h"
#include "chat/template/functions.h"
#include "chat/template/methods.h"
#include "chat/template/print.h"
#include "chat/template/tests.h"

namespace minimax::chat::jinja {

using Kind = Value::Kind;

Value Evaluator::evaluate(const Node& node) {
  const Depth depth(depth_, heap_.limits());
  heap_.step();
  line_ = node.line;
  switch (node.kind) {
    case NodeKind::kAbsent:
      return none_value();
    case NodeKind::kConst:
      return constant(node.value);
    case NodeKind::kName:
      return lookup(node);
    case NodeKind::kList:
      return heap_.list(evaluate_all(node.children));
    case NodeKind::kTuple:
      return heap_.list(evaluate_all(node.children), List::Kind::kTuple);
    case NodeKind::kDict:
      return dict(node);
    case NodeKind::kAttribute: {
      const Value object = evaluate(node.children[0]);
      line_ = node.line;
      return attribute(object, node.name, heap_);
    }
    case NodeKind::kItem:
      return item_of(node);
    case NodeKind::kCall:
      return call(node, nullptr);
    case NodeKind::kFilter:
      return filter(node, evaluate(node.children[0]));
    case NodeKind::kTest: {
      const Value input = evaluate(node.children[0]);
      const Arguments given = arguments(node);
      line_ = node.line;
      return bool_value(find_test(node.name)(input, given, heap_));
    }
    case NodeKind::kNegate:
      return negate(evaluate(node.children[0]));
    case NodeKind::kPlus: {
      const Value value = evaluate(node.children[0]);
      return calculate(Op::kAdd, integer_value(0), value, heap_);
    }
    case NodeKind::kNot:
      return bool_value(!truth(evaluate(node.children[0])));
    case NodeKind::kBinary: {
      const Value left = evaluate(node.children[0]);
      const Value right = evaluate(node.children[1]);
      line_ = node.line;
      return calculate(node.op, left, right, heap_);
    }
    case NodeKind::kCompare:
      return comparison(node);
    case NodeKind::kConcat:
      return concatenation(node);
    case NodeKind::kAnd: {
      const Value left = evaluate(node.children[0]);
      return truth(left) ? evaluate(node.children[1]) : left;
    }
    case NodeKind::kOr: {
      const Value left = evaluate(node.children[0]);
      return truth(left) ? left : evaluate(node.children[1]);
    }
    case NodeKind::kCondition:
      if (truth(evaluate(node.children[0]))) return evaluate(node.children[1]);
      if (node.children[2].kind == NodeKind::kAbsent) return heap_.undefined("an inline if had no else");
      return evaluate(node.children[2]);
    default:
      fail("a statement stands where an expression should");
  }
}

Value Evaluator::constant(const Json& value) {
  return heap_.of_json(value, true);
}

Value Evaluator::lookup(const Node& node) {
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    if (const Value* found = scope->find(node.name)) return *found;
  }
  Value value;
  if (is_function(node.name)) value.kind = Kind::kFunction;
  if (value.is(Kind::kUndefined)) return heap_.undefined(fmt::format("'{}' is undefined", node.name));
  value.name = &node.name;
  return value;
}

Value Evaluator::dict(const Node& node) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i < node.children.size(); i += 2) {
    const Value key = evaluate(node.children[i]);
    const Value value = evaluate(node.children[i + 1]);
    const bool changes = key.is(Kind::kDict) || (key.is(Kind::kList) && key.list->kind != List::Kind::kTuple);
    if (changes) fail("a key of a dict cannot be a '{}'", type_name(key));
    bool known = false;
    for (auto& [other, old] : items) {
      if (!equal(other, key, heap_)) continue;
      old = value;
      known = true;
    }
    if (!known) items.emplace_back(key, value);
  }
  return heap_.dict(std::move(items));
}

Value Evaluator::item_of(const Node& node) {
  const Value object = evaluate(node.children[0]);
  const Node& key = node.children[1];
  if (key.kind != NodeKind::kSlice) {
    const Value at = evaluate(key);
    line_ = node.line;
    return item(object, at, heap_);
  }
  const Value begin = evaluate(key.children[0]);
  const Value end = evaluate(key.children[1]);
  const Value step = evaluate(key.children[2]);
  line_ = node.line;
  return slice(object, begin, end, step, heap_);
}

Value Evaluator::call(const Node& node, const Value* caller) {
  const Value callee = evaluate(node.children[0]);
  const Arguments given = arguments(node);
  line_ = node.line;
  switch (callee.kind) {
    case Kind::kMacro: {
      const Value result = call_macro(*callee.macro, given, caller);
      line_ = node.line;
      return result;
    }
    case Kind::kFunction:
      return call_function(*callee.name, given, now_, heap_);
    case Kind::kMethod:
      return call_method(*callee.method, given, heap_);
    case Kind::kUndefined:
      fail_undefined(callee);
    default:
      fail("'{}' cannot be called", type_name(callee));
  }
}

Value Evaluator::filter(const Node& node, const Value& input) {
  const Arguments given = arguments(node);
  line_ = node.line;
  return find_filter(node.name)(input, given, heap_);
}

Value Evaluator::comparison(const Node& node) {
  Value left = evaluate(node.children[0]);
  for (size_t i = 0; i < node.ops.size(); ++i) {
    const Value right = evaluate(node.children[i + 1]);
    line_ = node.line;
    if (!compare(node.ops[i], left, right, heap_)) return bool_value(false);
    left = right;
  }
  return bool_value(true);
}

Value Evaluator::concatenation(const Node& node) {
  Text out;
  for (const Node& child : node.children) out.append(str_of(evaluate(child), heap_));
  return heap_.text(std::move(out));
}

Arguments Evaluator::arguments(const Node& node) {
  Arguments out;
  for (size_t i = 1; i < node.children.size(); ++i) {
    const Node& argument = node.children[i];
    const Value value = evaluate(argument.children[0]);
    if (argument.name.empty()) {
      out.positional.push_back(value);
    } else {
      out.named.emplace_back(argument.name, value);
    }
  }
  return out;
}

std::vector<Value> Evaluator::evaluate_all(const std::vector<Node>& nodes) {
  std::vector<Value> out;
  out.reserve(nodes.size());
  for (const Node& node : nodes) out.push_back(evaluate(node));
  return out;
}

}  // namespace minimax::chat::jinja
