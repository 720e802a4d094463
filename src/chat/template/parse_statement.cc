#include <algorithm>

#include <fmt/format.h>

#include "chat/template/functions.h"
#include "chat/template/parser.h"

namespace minimax::chat::jinja {

bool Parser::take_operator(std::string_view text) {
  if (!is_operator(text)) return false;
  next();
  return true;
}

bool Parser::take_name(std::string_view text) {
  if (!is_name(text)) return false;
  next();
  return true;
}

void Parser::expect_operator(std::string_view text) {
  if (!take_operator(text)) fail_expected(fmt::format("'{}'", text));
}

void Parser::expect_name(std::string_view text) {
  if (!take_name(text)) fail_expected(fmt::format("'{}'", text));
}

std::string Parser::expect_any_name(std::string_view what) {
  if (current().kind != TokenKind::kName) fail_expected(what);
  return next().text;
}

void Parser::fail_expected(std::string_view what) const {
  const bool at_end = current().kind == TokenKind::kEnd;
  fail(fmt::format("expected {}, found {}", what,
                   at_end ? "the end of the template" : fmt::format("'{}'", current().text)));
}

Node Parser::make(NodeKind kind, int line, std::vector<Node> children, std::string name) const {
  Node node;
  node.kind = kind;
  node.line = line;
  node.name = std::move(name);
  for (const Node& child : children) node.depth = std::max(node.depth, child.depth + 1);
  if (node.depth > limits_.node_depth_max) {
    refuse(source_name_, line,
           fmt::format("expressions and blocks are nested deeper than {} (node_depth_max)",
                       limits_.node_depth_max));
  }
  node.children = std::move(children);
  return node;
}

Node Parser::parse() {
  Node root = body({});
  for (const auto& [name, line] : called_) {
    if (!assigned_.contains(name) && !is_function(name)) {
      refuse(source_name_, line, fmt::format("the function '{}' is not known", name));
    }
  }
  return root;
}

Node Parser::body(const std::vector<std::string_view>& ends) {
  const Nesting nesting(*this);
  std::vector<Node> statements;
  const int line = current().line;
  while (true) {
    const Token token = next();
    switch (token.kind) {
      case TokenKind::kData: {
        Node data = make(NodeKind::kData, token.line);
        data.value = Json(token.text);
        statements.push_back(std::move(data));
        break;
      }
      case TokenKind::kVariableBegin:
        statements.push_back(make(NodeKind::kOutput, token.line, {tuple(true, false)}));
        if (current().kind != TokenKind::kVariableEnd) fail_expected("'}}'");
        next();
        break;
      case TokenKind::kBlockBegin:
        if (current().kind != TokenKind::kName) fail_expected("the name of a tag");
        if (std::ranges::find(ends, current().text) != ends.end()) {
          return make(NodeKind::kBody, line, std::move(statements));
        }
        statements.push_back(statement());
        break;
      default:
        if (!ends.empty()) fail_expected(fmt::format("{{% {} %}}", ends.back()));
        return make(NodeKind::kBody, line, std::move(statements));
    }
  }
}

void Parser::block_end() {
  if (current().kind != TokenKind::kBlockEnd) fail_expected("'%}'");
  next();
}

Node Parser::statement() {
  const Token tag = current();
  if (tag.text == "if") return if_statement();
  if (tag.text == "for") return for_statement();
  if (tag.text == "set") return set_statement();
  if (tag.text == "macro") return macro_statement();
  if (tag.text == "call") return call_statement();
  if (tag.text == "filter") return filter_statement();
  if (tag.text == "with") return with_statement();
  if (tag.text == "generation") return generation_statement();
  if (tag.text == "break" || tag.text == "continue") {
    if (loops_ == 0) fail(fmt::format("'{}' stands outside a loop", tag.text));
    next();
    block_end();
    return make(tag.text == "break" ? NodeKind::kBreak : NodeKind::kContinue, tag.line);
  }
  fail(fmt::format("the tag '{}' is not known here", tag.text));
}

Node Parser::if_statement() {
  const int line = next().line;
  std::vector<Node> parts;
  while (true) {
    parts.push_back(tuple(false, false));
    block_end();
    parts.push_back(body({"elif", "else", "endif"}));
    const Token word = next();
    if (word.text == "elif") continue;
    block_end();
    if (word.text == "endif") break;
    parts.push_back(body({"endif"}));
    next();
    block_end();
    break;
  }
  return make(NodeKind::kIf, line, std::move(parts));
}

Node Parser::for_statement() {
  const int line = next().line;
  Node targets = target(false);
  expect_name("in");
  Node iterable = tuple(false, false);
  Node condition_node;
  if (take_name("if")) condition_node = expression();
  if (is_name("recursive")) fail("'recursive' loops are not known");
  block_end();
  ++loops_;
  Node inner = body({"endfor", "else"});
  --loops_;
  Node otherwise;
  const bool has_else = next().text == "else";
  block_end();
  if (has_else) {
    otherwise = body({"endfor"});
    next();
    block_end();
  }
  return make(NodeKind::kFor, line,
              {std::move(targets), std::move(iterable), std::move(condition_node), std::move(inner),
               std::move(otherwise)});
}

Node Parser::one_target(bool with_attribute) {
  if (take_operator("(")) {
    Node inner = target(false);
    expect_operator(")");
    return inner;
  }
  const int line = current().line;
  std::string name = expect_any_name("a name");
  if (with_attribute && take_operator(".")) {
    Node object = make(NodeKind::kName, line, {}, std::move(name));
    std::string attribute = expect_any_name("the name of an attribute");
    return make(NodeKind::kAttribute, line, {std::move(object)}, std::move(attribute));
  }
  for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None", "loop"}) {
    if (name == reserved) fail(fmt::format("'{}' cannot be assigned", name));
  }
  assigned_.insert(name);
  return make(NodeKind::kName, line, {}, std::move(name));
}

// A name, an attribute of a namespace, or names to unpack into.
Node Parser::target(bool with_attribute) {
  const Nesting nesting(*this);
  const int line = current().line;
  std::vector<Node> names;
  names.push_back(one_target(with_attribute));
  bool several = false;
  while (take_operator(",")) {
    several = true;
    if (is_name("in") || is_operator("=") || is_operator(")")) break;
    names.push_back(one_target(with_attribute));
  }
  return several ? make(NodeKind::kTuple, line, std::move(names)) : std::move(names[0]);
}

Node Parser::set_statement() {
  const int line = next().line;
  Node targets = target(true);
  if (take_operator("=")) {
    Node value = tuple(true, false);
    block_end();
    return make(NodeKind::kSet, line, {std::move(targets), std::move(value)});
  }
  Node filters = filters_and_tests(Node());
  if (filters.kind != NodeKind::kAbsent && filters.kind != NodeKind::kFilter) fail("expected a filter");
  block_end();
  Node inner = body({"endset"});
  next();
  block_end();
  return make(NodeKind::kSetBlock, line, {std::move(targets), std::move(filters), std::move(inner)});
}

std::vector<Node> Parser::parameters() {
  std::vector<Node> out;
  expect_operator("(");
  while (!is_operator(")")) {
    if (!out.empty()) expect_operator(",");
    if (is_operator("*") || is_operator("**")) fail("parameters with stars are not known");
    const int line = current().line;
    std::string name = expect_any_name("the name of a parameter");
    assigned_.insert(name);
    Node otherwise;
    if (take_operator("=")) {
      otherwise = expression();
    } else if (!out.empty() && out.back().children[0].kind != NodeKind::kAbsent) {
      fail("a parameter without a default follows one with a default");
    }
    out.push_back(make(NodeKind::kParameter, line, {std::move(otherwise)}, std::move(name)));
  }
  expect_operator(")");
  return out;
}

Node Parser::macro_statement() {
  const int line = next().line;
  std::string name = expect_any_name("the name of the macro");
  assigned_.insert(name);
  assigned_.insert("caller");
  std::vector<Node> parts = parameters();
  block_end();
  const int loops = std::exchange(loops_, 0);
  parts.push_back(body({"endmacro"}));
  loops_ = loops;
  next();
  block_end();
  return make(NodeKind::kMacro, line, std::move(parts), std::move(name));
}

Node Parser::call_statement() {
  const int line = next().line;
  std::vector<Node> parts;
  if (is_operator("(")) parts = parameters();
  Node called = expression();
  if (called.kind != NodeKind::kCall) fail("expected a call of a macro");
  block_end();
  const int loops = std::exchange(loops_, 0);
  parts.push_back(body({"endcall"}));
  loops_ = loops;
  next();
  block_end();
  Node caller = make(NodeKind::kMacro, line, std::move(parts), "caller");
  return make(NodeKind::kCallBlock, line, {std::move(called), std::move(caller)});
}

Node Parser::filter_statement() {
  const int line = next().line;
  // The first filter stands without its bar.
  tokens_.insert(tokens_.begin() + static_cast<std::ptrdiff_t>(at_), {TokenKind::kOperator, "|", line});
  Node filters = filters_and_tests(Node());
  if (filters.kind != NodeKind::kFilter) fail("expected a filter");
  block_end();
  Node inner = body({"endfilter"});
  next();
  block_end();
  return make(NodeKind::kFilterBlock, line, {std::move(filters), std::move(inner)});
}

Node Parser::with_statement() {
  const int line = next().line;
  std::vector<Node> parts;
  while (current().kind != TokenKind::kBlockEnd) {
    if (!parts.empty()) expect_operator(",");
    parts.push_back(one_target(false));
    expect_operator("=");
    parts.push_back(expression());
  }
  block_end();
  parts.push_back(body({"endwith"}));
  next();
  block_end();
  return make(NodeKind::kWith, line, std::move(parts));
}

// Marks the assistant's tokens for training; says nothing to a server.
Node Parser::generation_statement() {
  const int line = next().line;
  block_end();
  Node inner = body({"endgeneration"});
  next();
  block_end();
  return make(NodeKind::kWith, line, {std::move(inner)});
}

}  // namespace minimax::chat::jinja
