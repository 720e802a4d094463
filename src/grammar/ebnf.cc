#include "grammar/ebnf.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/utf8.h"

namespace minimax::grammar {
namespace {

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.';
}

class EbnfParser {
 public:
  EbnfParser(std::string_view text, Budget& budget) : all_(text), rest_(text), budget_(budget) {
    if (text.size() > kSourceBytesMax)
      throw Refusal{
          fmt::format("it has {} bytes, more than {} (kSourceBytesMax)", text.size(), kSourceBytesMax)};
    if (!utf8::valid(text)) refuse("the text is not UTF-8");
  }

  Grammar parse() {
    rule_number("root");
    skip();
    while (!rest_.empty()) {
      const std::string name = take_name();
      if (name.empty() || !take("::=")) refuse("a rule must begin as NAME ::= ");
      const auto number = static_cast<size_t>(rule_number(name));
      if (defined_[number]) refuse(fmt::format("rule {} is there twice", name));
      defined_[number] = true;
      Expr body = alternatives(0);
      grammar_.rules[number].body = std::move(body);
    }
    for (size_t i = 0; i < defined_.size(); ++i) {
      if (!defined_[i]) throw Refusal{fmt::format("the grammar has no rule {}", grammar_.rules[i].name)};
    }
    grammar_.inline_small_rules = true;
    return std::move(grammar_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    const auto line = 1 + std::ranges::count(all_.substr(0, all_.size() - rest_.size()), '\n');
    throw Refusal{fmt::format("line {} of the grammar: {}", line, what)};
  }

  void skip() {
    while (!rest_.empty()) {
      if (rest_.front() == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (std::string_view(" \t\r\n").find(rest_.front()) != std::string_view::npos) {
        rest_.remove_prefix(1);
      } else {
        return;
      }
    }
  }
  bool take(std::string_view what) {
    if (!rest_.starts_with(what)) return false;
    rest_.remove_prefix(what.size());
    skip();
    return true;
  }
  std::string take_name() {
    size_t end = 0;
    while (end < rest_.size() && is_name(rest_[end])) ++end;
    std::string name(rest_.substr(0, end));
    rest_.remove_prefix(end);
    skip();
    return name;
  }
  // Is a name and ::= here? Then another rule begins.
  bool rule_begins() {
    const std::string_view before = rest_;
    const bool begins = !take_name().empty() && rest_.starts_with("::=");
    rest_ = before;
    return begins;
  }
  int32_t rule_number(const std::string& name) {
    const auto known = std::ranges::find(grammar_.rules, name, &Rule::name);
    if (known != grammar_.rules.end()) return static_cast<int32_t>(known - grammar_.rules.begin());
    if (grammar_.rules.size() >= kRulesMax) refuse(fmt::format("more than {} rules (kRulesMax)", kRulesMax));
    grammar_.rules.push_back({name, nothing()});
    defined_.push_back(false);
    return static_cast<int32_t>(grammar_.rules.size()) - 1;
  }

  Expr alternatives(int depth) {
    if (depth > kNestingMax) refuse(fmt::format("groups nest more than {} deep (kNestingMax)", kNestingMax));
    std::vector<Expr> all;
    do {
      all.push_back(series(depth));
    } while (take("|"));
    return all.size() == 1 ? std::move(all.front()) : choice(std::move(all));
  }

  Expr series(int depth) {
    std::vector<Expr> items;
    while (!rest_.empty() && rest_.front() != '|' && rest_.front() != ')' && !rule_begins()) {
      budget_.spend();
      items.push_back(quantified(depth));
    }
    return sequence(std::move(items));
  }

  Expr quantified(int depth) {
    Expr item = atom(depth);
    while (true) {
      if (take("*")) {
        item = repeat(std::move(item), 0, -1);
      } else if (take("+")) {
        item = repeat(std::move(item), 1, -1);
      } else if (take("?")) {
        item = optional(std::move(item));
      } else if (take("{")) {
        const std::optional<int> low = number();
        const bool range = take(",");
        const std::optional<int> high = range ? number() : low;
        if ((!low && !high) || !take("}")) refuse("a repetition must be {m}, {m,} or {m,n}");
        if (high && *high < low.value_or(0)) refuse("a repetition's maximum is below its minimum");
        item = repeat(std::move(item), low.value_or(0), high.value_or(-1));
      } else {
        return item;
      }
    }
  }

  std::optional<int> number() {
    const std::string digits = take_name();
    int value = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9') refuse("a repetition must be {m}, {m,} or {m,n}");
      value = value * 10 + (c - '0');
      if (value > kRepeatMax) refuse(fmt::format("more than {} repetitions (kRepeatMax)", kRepeatMax));
    }
    return digits.empty() ? std::optional<int>() : value;
  }

  Expr atom(int depth) {
    if (take("(")) {
      Expr inner = alternatives(depth + 1);
      if (!take(")")) refuse("a ( has no )");
      return inner;
    }
    if (rest_.front() == '"') return literal();
    if (rest_.front() == '[') return set_of(char_class());
    if (take(".")) return set_of(all_chars());
    const std::string name = take_name();
    if (name.empty()) refuse(fmt::format("{} was not expected", rest_.substr(0, 1)));
    return rule(rule_number(name));
  }

  char32_t next_char(std::string_view unfinished) {
    if (rest_.empty() || rest_.front() == '\n') refuse(unfinished);
    const utf8::Decoded decoded = utf8::decode(rest_);
    rest_.remove_prefix(static_cast<size_t>(decoded.bytes));
    if (decoded.code_point != '\\') return decoded.code_point;
    if (rest_.empty()) refuse(unfinished);
    const char escape = rest_.front();
    rest_.remove_prefix(1);
    switch (escape) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      default:
        if (std::string_view("\\\"'[]-^/").find(escape) == std::string_view::npos)
          refuse(fmt::format("\\{} is no escape", escape));
        return static_cast<unsigned char>(escape);
    }
  }

  char32_t hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const std::string_view kDigits = "0123456789abcdef";
      const char c = rest_.empty() ? ' ' : rest_.front();
      const size_t digit = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
      if (digit == std::string_view::npos) refuse("a hexadecimal escape is broken");
      value = value * 16 + static_cast<char32_t>(digit);
      rest_.remove_prefix(1);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) refuse("an escape is no character");
    return value;
  }

  Expr literal() {
    rest_.remove_prefix(1);
    std::string value;
    while (!rest_.starts_with('"')) utf8::append(value, next_char("a literal does not end"));
    take("\"");
    return text(value);
  }

  CharSet char_class() {
    rest_.remove_prefix(1);
    bool negative = false;
    if (rest_.starts_with('^')) {
      negative = true;
      rest_.remove_prefix(1);
    }
    CharSet set;
    while (!rest_.starts_with(']')) {
      const char32_t low = next_char("a class does not end");
      char32_t high = low;
      if (rest_.starts_with('-') && !rest_.starts_with("-]")) {
        rest_.remove_prefix(1);
        high = next_char("a class does not end");
        if (high < low) refuse("a range in a class is backwards");
      }
      set.push_back({low, high});
    }
    take("]");
    set = normalized(std::move(set));
    return negative ? negated(set) : set;
  }

  const std::string_view all_;
  std::string_view rest_;
  Budget& budget_;
  Grammar grammar_;
  std::vector<bool> defined_;
};

void shift_calls(Expr& expr, int32_t by) {
  if (expr.kind == Expr::Kind::kRule) expr.number += by;
  for (Expr& item : expr.items) shift_calls(item, by);
}

}  // namespace

Grammar parse_ebnf(std::string_view text, Budget& budget) {
  return EbnfParser(text, budget).parse();
}

Expr append_grammar(Grammar added, Grammar& to) {
  const auto base = static_cast<int32_t>(to.rules.size());
  for (Rule& each : added.rules) {
    shift_calls(each.body, base);
    to.rules.push_back(std::move(each));
  }
  return rule(base);
}

}  // namespace minimax::grammar
