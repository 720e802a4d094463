#pragma once
// Tokens to nodes. What the language subset does not know (tags, filters, tests, methods, functions) is
// refused here, with its line: nothing unknown is met while a prompt is rendered.

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/template/ast.h"
#include "chat/template/lexer.h"
#include "chat/template/limits.h"

namespace minimax::chat::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& source_name, const Limits& limits)
      : tokens_(std::move(tokens)), source_name_(source_name), limits_(limits) {}

  // The whole template. Throws Error naming source, line and construct.
  Node parse();

 private:
  class Nesting;

  // --- statements (parse_statement.cc)
  Node body(const std::vector<std::string_view>& ends);  // up to {% END, which is read up to the name
  void block_end();
  Node statement();
  Node if_statement();
  Node for_statement();
  Node set_statement();
  Node macro_statement();
  Node call_statement();
  Node filter_statement();
  Node with_statement();
  Node generation_statement();
  Node target(bool with_attribute);
  Node one_target(bool with_attribute);
  std::vector<Node> parameters();

  // --- expressions (parse_expression.cc)
  Node expression(bool with_condition = true);
  Node tuple(bool with_condition, bool parenthesised);
  Node condition();
  Node or_expression();
  Node and_expression();
  Node not_expression();
  Node comparison();
  Node sum();
  Node concatenation();
  Node product();
  Node power();
  Node unary(bool with_filters);
  Node primary();
  Node name_or_constant();
  Node number();
  Node list();
  Node dict();
  Node postfix(Node node);
  Node filters_and_tests(Node node);
  Node subscript(Node node);
  Node subscribed();
  Node call(Node callee);
  std::vector<Node> arguments();
  Node filter(Node input);
  Node test(Node input);

  // --- tokens
  const Token& current() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token next() { return current().kind == TokenKind::kEnd ? current() : tokens_[at_++]; }
  bool is_operator(std::string_view text) const {
    return current().kind == TokenKind::kOperator && current().text == text;
  }
  bool is_name(std::string_view text) const {
    return current().kind == TokenKind::kName && current().text == text;
  }
  bool take_operator(std::string_view text);
  bool take_name(std::string_view text);
  void expect_operator(std::string_view text);
  void expect_name(std::string_view text);
  std::string expect_any_name(std::string_view what);
  [[noreturn]] void fail(const std::string& what) const { refuse(source_name_, current().line, what); }
  [[noreturn]] void fail_expected(std::string_view what) const;

  Node make(NodeKind kind, int line, std::vector<Node> children = {}, std::string name = {}) const;

  std::vector<Token> tokens_;
  const std::string& source_name_;
  const Limits& limits_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // for statements that are open
  std::set<std::string> assigned_;
  std::vector<std::pair<std::string, int>> called_;  // names and lines
};

class Parser::Nesting {
 public:
  explicit Nesting(Parser& parser) : parser_(parser) {
    if (++parser_.nesting_ > parser_.limits_.nesting_max) {
      parser_.fail("brackets and blocks are nested deeper than " +
                   std::to_string(parser_.limits_.nesting_max) + " (nesting_max)");
    }
  }
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Parser& parser_;
};

}  // namespace minimax::chat::jinja
