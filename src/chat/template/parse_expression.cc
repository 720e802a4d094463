#include <charconv>

#include <fmt/format.h>

#include "chat/template/filters.h"
#include "chat/template/methods.h"
#include "chat/template/parser.h"
#include "chat/template/tests.h"

// The order of binding is Jinja's, from loose to tight: if-else, or, and, not, comparisons, + -, ~, * / // %,
// **, signs, calls and subscripts, filters and tests.

namespace minimax::chat::jinja {

Node Parser::expression(bool with_condition) {
  const Nesting nesting(*this);
  return with_condition ? condition() : or_expression();
}

Node Parser::tuple(bool with_condition, bool parenthesised) {
  const Nesting nesting(*this);
  const int line = current().line;
  std::vector<Node> items;
  bool several = false;
  while (true) {
    const TokenKind kind = current().kind;
    if (kind == TokenKind::kVariableEnd || kind == TokenKind::kBlockEnd || is_operator(")")) break;
    // The one thing that may follow the tuple of {% for x in TUPLE %}.
    if (several && is_name("recursive")) break;
    items.push_back(expression(with_condition));
    if (!take_operator(",")) break;
    several = true;
  }
  if (!several && !items.empty()) return std::move(items[0]);
  if (!several && !parenthesised) fail_expected("an expression");
  return make(NodeKind::kTuple, line, std::move(items));
}

Node Parser::condition() {
  Node value = or_expression();
  while (is_name("if")) {
    const int line = next().line;
    Node test_node = or_expression();
    Node otherwise;
    if (take_name("else")) {
      const Nesting nesting(*this);
      otherwise = condition();
    }
    value = make(NodeKind::kCondition, line, {std::move(test_node), std::move(value), std::move(otherwise)});
  }
  return value;
}

Node Parser::or_expression() {
  Node left = and_expression();
  while (is_name("or")) {
    const int line = next().line;
    left = make(NodeKind::kOr, line, {std::move(left), and_expression()});
  }
  return left;
}

Node Parser::and_expression() {
  Node left = not_expression();
  while (is_name("and")) {
    const int line = next().line;
    left = make(NodeKind::kAnd, line, {std::move(left), not_expression()});
  }
  return left;
}

Node Parser::not_expression() {
  if (!is_name("not")) return comparison();
  const Nesting nesting(*this);
  const int line = next().line;
  return make(NodeKind::kNot, line, {not_expression()});
}

Node Parser::comparison() {
  const int line = current().line;
  std::vector<Node> operands;
  operands.push_back(sum());
  std::vector<Op> ops;
  while (true) {
    Op op = Op::kNone;
    if (is_operator("==")) op = Op::kEqual;
    if (is_operator("!=")) op = Op::kUnequal;
    if (is_operator("<")) op = Op::kLess;
    if (is_operator("<=")) op = Op::kLessEqual;
    if (is_operator(">")) op = Op::kGreater;
    if (is_operator(">=")) op = Op::kGreaterEqual;
    if (is_name("in")) op = Op::kIn;
    if (is_name("not") && following().kind == TokenKind::kName && following().text == "in") {
      next();
      op = Op::kNotIn;
    }
    if (op == Op::kNone) break;
    next();
    ops.push_back(op);
    operands.push_back(sum());
  }
  if (ops.empty()) return std::move(operands[0]);
  Node node = make(NodeKind::kCompare, line, std::move(operands));
  node.ops = std::move(ops);
  return node;
}

Node Parser::sum() {
  Node left = concatenation();
  while (is_operator("+") || is_operator("-")) {
    const Token token = next();
    left = make(NodeKind::kBinary, token.line, {std::move(left), concatenation()});
    left.op = token.text == "+" ? Op::kAdd : Op::kSubtract;
  }
  return left;
}

Node Parser::concatenation() {
  const int line = current().line;
  std::vector<Node> operands;
  operands.push_back(product());
  while (take_operator("~")) operands.push_back(product());
  if (operands.size() == 1) return std::move(operands[0]);
  return make(NodeKind::kConcat, line, std::move(operands));
}

Node Parser::product() {
  Node left = power();
  while (is_operator("*") || is_operator("/") || is_operator("//") || is_operator("%")) {
    const Token token = next();
    left = make(NodeKind::kBinary, token.line, {std::move(left), power()});
    left.op = token.text == "*"    ? Op::kMultiply
              : token.text == "/"  ? Op::kDivide
              : token.text == "//" ? Op::kFloorDivide
                                   : Op::kModulo;
  }
  return left;
}

Node Parser::power() {
  Node left = unary(true);
  while (is_operator("**")) {
    const int line = next().line;
    left = make(NodeKind::kBinary, line, {std::move(left), unary(true)});
    left.op = Op::kPower;
  }
  return left;
}

Node Parser::unary(bool with_filters) {
  const Nesting nesting(*this);
  Node node;
  if (is_operator("-") || is_operator("+")) {
    const Token token = next();
    node = make(token.text == "-" ? NodeKind::kNegate : NodeKind::kPlus, token.line, {unary(false)});
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
}

Node Parser::primary() {
  switch (current().kind) {
    case TokenKind::kName:
      return name_or_constant();
    case TokenKind::kString: {
      Node node = make(NodeKind::kConst, current().line);
      std::string text;
      while (current().kind == TokenKind::kString) text += next().text;
      node.value = Json(std::move(text));
      return node;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return number();
    default:
      break;
  }
  if (take_operator("(")) {
    Node inner = tuple(true, true);
    expect_operator(")");
    return inner;
  }
  if (is_operator("[")) return list();
  if (is_operator("{")) return dict();
  fail_expected("an expression");
}

Node Parser::name_or_constant() {
  const Token token = next();
  Node node = make(NodeKind::kConst, token.line);
  if (token.text == "true" || token.text == "True") {
    node.value = Json(true);
  } else if (token.text == "false" || token.text == "False") {
    node.value = Json(false);
  } else if (token.text != "none" && token.text != "None") {
    node.kind = NodeKind::kName;
    node.name = token.text;
  }
  return node;
}

Node Parser::number() {
  const Token token = current();
  Node node = make(NodeKind::kConst, token.line);
  const char* begin = token.text.data();
  const char* end = begin + token.text.size();
  if (token.kind == TokenKind::kFloat) {
    double value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc())
      fail("the number " + token.text + " is out of range");
    node.value = Json(value);
  } else {
    int base = 10;
    if (token.text.size() > 2 && token.text[0] == '0') {
      const char prefix = static_cast<char>(token.text[1] | 0x20);
      base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
      if (base != 10) begin += 2;
    }
    int64_t value = 0;
    const auto [stop, code] = std::from_chars(begin, end, value, base);
    if (code != std::errc() || stop != end) fail("the number " + token.text + " is no integer of 64 bits");
    node.value = Json(value);
  }
  next();
  return node;
}

Node Parser::list() {
  const int line = next().line;
  std::vector<Node> items;
  while (!is_operator("]")) {
    if (!items.empty()) expect_operator(",");
    if (is_operator("]")) break;
    items.push_back(expression());
  }
  expect_operator("]");
  return make(NodeKind::kList, line, std::move(items));
}

Node Parser::dict() {
  const int line = next().line;
  std::vector<Node> items;
  while (!is_operator("}")) {
    if (!items.empty()) expect_operator(",");
    if (is_operator("}")) break;
    items.push_back(expression());
    expect_operator(":");
    items.push_back(expression());
  }
  expect_operator("}");
  return make(NodeKind::kDict, line, std::move(items));
}

Node Parser::postfix(Node node) {
  while (true) {
    if (is_operator(".") || is_operator("[")) {
      node = subscript(std::move(node));
    } else if (is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

Node Parser::filters_and_tests(Node node) {
  while (true) {
    if (is_operator("|")) {
      node = filter(std::move(node));
    } else if (node.kind != NodeKind::kAbsent && is_name("is")) {
      node = test(std::move(node));
    } else if (node.kind != NodeKind::kAbsent && is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

Node Parser::subscript(Node object) {
  const Token token = next();
  if (token.text == ".") {
    if (current().kind == TokenKind::kName) {
      return make(NodeKind::kAttribute, token.line, {std::move(object)}, next().text);
    }
    if (current().kind != TokenKind::kInteger) fail_expected("a name or a number");
    return make(NodeKind::kItem, token.line, {std::move(object), number()});
  }
  std::vector<Node> keys;
  bool several = false;
  while (!is_operator("]")) {
    if (!keys.empty()) {
      expect_operator(",");
      several = true;
    }
    keys.push_back(subscribed());
  }
  expect_operator("]");
  if (keys.empty() || several) fail("a subscript has one key");
  return make(NodeKind::kItem, token.line, {std::move(object), std::move(keys[0])});
}

Node Parser::subscribed() {
  const int line = current().line;
  std::vector<Node> parts;
  if (is_operator(":")) {
    parts.emplace_back();
  } else {
    Node key = expression();
    if (!is_operator(":")) return key;
    parts.push_back(std::move(key));
  }
  while (parts.size() < 3 && take_operator(":")) {
    const bool empty = is_operator(":") || is_operator("]") || is_operator(",");
    parts.push_back(empty ? Node() : expression());
  }
  parts.resize(3);
  return make(NodeKind::kSlice, line, std::move(parts));
}

std::vector<Node> Parser::arguments() {
  std::vector<Node> out;
  expect_operator("(");
  bool named = false;
  while (!is_operator(")")) {
    if (!out.empty()) expect_operator(",");
    if (is_operator(")")) break;
    if (is_operator("*") || is_operator("**")) fail("arguments with stars are not known");
    const int line = current().line;
    std::string name;
    if (current().kind == TokenKind::kName && following().kind == TokenKind::kOperator &&
        following().text == "=") {
      name = next().text;
      next();
      named = true;
    } else if (named) {
      fail("a positional argument follows a named one");
    }
    out.push_back(make(NodeKind::kArgument, line, {expression()}, std::move(name)));
  }
  expect_operator(")");
  return out;
}

Node Parser::call(Node callee) {
  const int line = current().line;
  if (callee.kind == NodeKind::kAttribute && !is_method(callee.name)) {
    refuse(source_name_, line, fmt::format("the method '{}' is not known", callee.name));
  }
  if (callee.kind == NodeKind::kName) called_.emplace_back(callee.name, line);
  std::vector<Node> children = arguments();
  children.insert(children.begin(), std::move(callee));
  return make(NodeKind::kCall, line, std::move(children));
}

Node Parser::filter(Node input) {
  const int line = next().line;
  std::string name = expect_any_name("the name of a filter");
  if (find_filter(name) == nullptr)
    refuse(source_name_, line, fmt::format("the filter '{}' is not known", name));
  std::vector<Node> children;
  if (is_operator("(")) children = arguments();
  const bool picks =
      name == "map" || name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr";
  if (picks) {
    // The filter or test is named by a string; what can be known now is looked at now.
    const size_t place = name.ends_with("attr") ? 1 : 0;
    if (children.size() > place && children[place].name.empty() &&
        children[place].children[0].kind == NodeKind::kConst &&
        children[place].children[0].value.is_string()) {
      const std::string& inner = children[place].children[0].value.as_string();
      if (name == "map" && find_filter(inner) == nullptr) {
        refuse(source_name_, line, fmt::format("the filter '{}' is not known", inner));
      }
      if (name != "map" && find_test(inner) == nullptr) {
        refuse(source_name_, line, fmt::format("the test '{}' is not known", inner));
      }
    }
  }
  children.insert(children.begin(), std::move(input));
  return make(NodeKind::kFilter, line, std::move(children), std::move(name));
}

Node Parser::test(Node input) {
  const int line = next().line;
  const bool negated = take_name("not");
  std::string name = expect_any_name("the name of a test");
  if (find_test(name) == nullptr) refuse(source_name_, line, fmt::format("the test '{}' is not known", name));
  std::vector<Node> children;
  const bool reserved = is_name("else") || is_name("or") || is_name("and");
  const TokenKind kind = current().kind;
  const bool literal = kind == TokenKind::kName || kind == TokenKind::kString ||
                       kind == TokenKind::kInteger || kind == TokenKind::kFloat || is_operator("[") ||
                       is_operator("{");
  if (is_operator("(")) {
    children = arguments();
  } else if (literal && !reserved) {
    if (is_name("is")) fail("tests with 'is' cannot be chained");
    Node argument = postfix(primary());
    children.push_back(make(NodeKind::kArgument, line, {std::move(argument)}));
  }
  children.insert(children.begin(), std::move(input));
  Node node = make(NodeKind::kTest, line, std::move(children), std::move(name));
  return negated ? make(NodeKind::kNot, line, {std::move(node)}) : std::move(node);
}

}  // namespace minimax::chat::jinja
