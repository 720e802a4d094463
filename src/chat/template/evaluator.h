#pragma once
// Walks the nodes of a template: expressions to values (evaluate.cc), statements to text (execute.cc). One
// render, one evaluator.

#include <ctime>
#include <string_view>

#include "chat/template/arguments.h"
#include "chat/template/ast.h"
#include "chat/template/value.h"

namespace minimax::chat::jinja {

class Evaluator {
 public:
  Evaluator(Heap& heap, std::time_t now) : heap_(heap), now_(now), scope_(heap.scope(nullptr)) {}

  // A variable of the outermost scope.
  void define(std::string_view name, Value value) { scope_->set(name, value); }
  // The text of the whole template. Throws Failed; line() is where.
  Text run(const Node& root);
  int line() const { return line_; }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  // --- execute.cc
  Flow execute(const Node& node);
  Flow execute_all(const std::vector<Node>& nodes);
  Flow execute_if(const Node& node);
  Flow execute_for(const Node& node);
  void execute_with(const Node& node, Flow& flow);
  Value filtered(const Node& node, const Value& text);
  void assign(const Node& target, const Value& value);
  void write(const Text& text);
  // The text that statements write, in a scope of their own.
  Text captured(const Node& body, Scope* scope);
  Value call_macro(const Macro& macro, const Arguments& arguments, const Value* caller);

  // --- evaluate.cc
  Value evaluate(const Node& node);
  Value constant(const Json& value);
  Value lookup(const Node& node);
  Value dict(const Node& node);
  Value item_of(const Node& node);
  Value call(const Node& node, const Value* caller);
  Value filter(const Node& node, const Value& input);
  Value comparison(const Node& node);
  Value concatenation(const Node& node);
  Arguments arguments(const Node& node);  // the kArgument children
  std::vector<Value> evaluate_all(const std::vector<Node>& nodes);

  Heap& heap_;
  std::time_t now_;
  Scope* scope_;
  Text* out_ = nullptr;
  int depth_ = 0;
  int line_ = 0;
};

}  // namespace minimax::chat::jinja
