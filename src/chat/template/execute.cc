#include <algorithm>

#include "chat/template/evaluator.h"
#include "chat/template/print.h"

namespace minimax::chat::jinja {

using Kind = Value::Kind;

Text Evaluator::run(const Node& root) {
  Text out;
  out_ = &out;
  execute(root);
  return out;
}

void Evaluator::write(const Text& text) {
  out_->append(text);
  heap_.step(text.size() / 64);
  if (out_->size() > heap_.limits().output_bytes_max) {
    throw Failed{
        fmt::format("its text takes more than {} bytes (output_bytes_max)", heap_.limits().output_bytes_max),
        true};
  }
}

Evaluator::Flow Evaluator::execute_all(const std::vector<Node>& nodes) {
  for (const Node& node : nodes) {
    if (const Flow flow = execute(node); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Evaluator::Flow Evaluator::execute(const Node& node) {
  const Depth depth(depth_, heap_.limits());
  heap_.step();
  line_ = node.line;
  Flow flow = Flow::kOn;
  switch (node.kind) {
    case NodeKind::kAbsent:
      break;
    case NodeKind::kBody:
      return execute_all(node.children);
    case NodeKind::kData:
      write(Text(node.value.as_string(), true));
      break;
    case NodeKind::kOutput:
      write(str_of(evaluate(node.children[0]), heap_));
      break;
    case NodeKind::kIf:
      return execute_if(node);
    case NodeKind::kFor:
      return execute_for(node);
    case NodeKind::kSet:
      assign(node.children[0], evaluate(node.children[1]));
      break;
    case NodeKind::kSetBlock: {
      Value value = heap_.text(captured(node.children[2], heap_.scope(scope_)));
      if (node.children[1].kind == NodeKind::kFilter) value = filtered(node.children[1], value);
      assign(node.children[0], value);
      break;
    }
    case NodeKind::kMacro:
      scope_->set(node.name, heap_.macro(&node, scope_));
      break;
    case NodeKind::kCallBlock: {
      const Value caller = heap_.macro(&node.children[1], scope_);
      write(str_of(call(node.children[0], &caller), heap_));
      break;
    }
    case NodeKind::kFilterBlock: {
      const Value text = heap_.text(captured(node.children[1], heap_.scope(scope_)));
      write(str_of(filtered(node.children[0], text), heap_));
      break;
    }
    case NodeKind::kWith:
      execute_with(node, flow);
      return flow;
    case NodeKind::kBreak:
      return Flow::kBreak;
    case NodeKind::kContinue:
      return Flow::kContinue;
    default:
      evaluate(node);
  }
  return flow;
}

// A chain of filters without an input of its own: a block's text goes into the first.
Value Evaluator::filtered(const Node& node, const Value& text) {
  const Node& input = node.children[0];
  return filter(node, input.kind == NodeKind::kFilter ? filtered(input, text) : text);
}

Evaluator::Flow Evaluator::execute_if(const Node& node) {
  size_t i = 0;
  for (; i + 1 < node.children.size(); i += 2) {
    if (truth(evaluate(node.children[i]))) return execute(node.children[i + 1]);
  }
  return i < node.children.size() ? execute(node.children[i]) : Flow::kOn;
}

Evaluator::Flow Evaluator::execute_for(const Node& node) {
  const Node& target = node.children[0];
  const Node& condition = node.children[2];
  std::vector<Value> items = items_of(evaluate(node.children[1]), heap_);
  Scope* const outer = scope_;
  if (condition.kind != NodeKind::kAbsent) {
    std::vector<Value> kept;
    for (const Value& one : items) {
      scope_ = heap_.scope(outer);
      assign(target, one);
      if (truth(evaluate(condition))) kept.push_back(one);
    }
    items = std::move(kept);
  }
  scope_ = outer;
  // Kept by the heap: a macro defined in the loop may look at it later.
  const Value all = heap_.list(std::move(items));
  const Value loop = heap_.loop(&all.list->items);
  bool any_whole = false;  // some round came to the end of the body
  for (size_t i = 0; i < all.list->items.size(); ++i) {
    loop.loop->idx = i;
    scope_ = heap_.scope(outer);
    scope_->set("loop", loop);
    assign(target, all.list->items[i]);
    const Flow flow = execute(node.children[3]);
    any_whole = any_whole || flow == Flow::kOn;
    if (flow == Flow::kBreak) break;
  }
  // As in Jinja, else also follows a loop whose every round was cut short.
  Flow flow = Flow::kOn;
  if (!any_whole) {
    scope_ = heap_.scope(outer);
    flow = execute(node.children[4]);
  }
  scope_ = outer;
  return flow;
}

void Evaluator::execute_with(const Node& node, Flow& flow) {
  std::vector<Value> values;
  const size_t last = node.children.size() - 1;
  for (size_t i = 0; i < last; i += 2) values.push_back(evaluate(node.children[i + 1]));
  Scope* const outer = scope_;
  scope_ = heap_.scope(outer);
  for (size_t i = 0; i < last; i += 2) assign(node.children[i], values[i / 2]);
  flow = execute(node.children[last]);
  scope_ = outer;
}

void Evaluator::assign(const Node& target, const Value& value) {
  if (target.kind == NodeKind::kName) return scope_->set(target.name, value);
  if (target.kind == NodeKind::kTuple) {
    const std::vector<Value> parts = items_of(value, heap_);
    if (parts.size() != target.children.size()) {
      fail("{} values cannot be unpacked into {} names", parts.size(), target.children.size());
    }
    for (size_t i = 0; i < parts.size(); ++i) assign(target.children[i], parts[i]);
    return;
  }
  const Value object = evaluate(target.children[0]);
  if (!object.is(Kind::kNamespace))
    fail("only a namespace's attributes can be set, not those of '{}'", type_name(object));
  std::vector<std::pair<Value, Value>>& items = object.dict->items;
  const auto known = std::ranges::find_if(items, [&](const auto& one) {
    return one.first.is(Kind::kText) && one.first.text->bytes() == target.name;
  });
  if (known != items.end()) {
    known->second = value;
  } else {
    items.emplace_back(heap_.text(target.name, true), value);
  }
}

Text Evaluator::captured(const Node& body, Scope* scope) {
  Text text;
  Text* const outer_out = std::exchange(out_, &text);
  Scope* const outer_scope = std::exchange(scope_, scope);
  execute(body);
  scope_ = outer_scope;
  out_ = outer_out;
  return text;
}

Value Evaluator::call_macro(const Macro& macro, const Arguments& given, const Value* caller) {
  const Node& node = *macro.node;
  const size_t count = node.children.size() - 1;
  if (given.positional.size() > count) {
    fail("the macro '{}' takes {} arguments, not {}", node.name, count, given.positional.size());
  }
  std::vector<const Value*> values(count, nullptr);
  for (size_t i = 0; i < given.positional.size(); ++i) values[i] = &given.positional[i];
  for (const auto& [name, value] : given.named) {
    size_t i = 0;
    while (i < count && node.children[i].name != name) ++i;
    if (i == count || values[i] != nullptr) fail("the macro '{}' has no free argument '{}'", node.name, name);
    values[i] = &value;
  }
  Scope* const scope = heap_.scope(macro.scope);
  // Defaults are worked out inside the macro and see the arguments before them.
  Scope* const outer = std::exchange(scope_, scope);
  if (caller != nullptr) scope->set("caller", *caller);
  for (size_t i = 0; i < count; ++i) {
    const Node& parameter = node.children[i];
    const Node& otherwise = parameter.children[0];
    Value value;
    if (values[i] != nullptr) {
      value = *values[i];
    } else if (otherwise.kind != NodeKind::kAbsent) {
      value = evaluate(otherwise);
    } else {
      value = heap_.undefined(fmt::format("the argument '{}' was not given", parameter.name));
    }
    scope->set(parameter.name, value);
  }
  scope_ = outer;
  return heap_.text(captured(node.children[count], scope));
}

}  // namespace minimax::chat::jinja
