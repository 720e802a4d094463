#include "chat/template/lexer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"
#include "chat/template/python_text.h"
#include "chat/template/string_literal.h"

namespace minimax::chat::jinja {
namespace {

constexpr std::array<std::string_view, 6> kLongOperators{"//", "**", "==", "!=", ">=", "<="};
constexpr std::string_view kOperators = "+-/*%~[](){}><=.:|,;";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// \r\n and \r become \n; one line break at the end is dropped.
std::string normalised(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t at = 0; at < source.size(); ++at) {
    if (source[at] == '\r') {
      out += '\n';
      if (at + 1 < source.size() && source[at + 1] == '\n') ++at;
    } else {
      out += source[at];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name) : source_(normalised(source)), name_(name) {}

  std::vector<Token> run() {
    if (!utf8::valid(source_)) refuse(name_, 1, "expected UTF-8, found other bytes");
    while (at_ < source_.size()) root();
    add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool starts(std::string_view word) const { return rest().starts_with(word); }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void advance(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes), '\n'));
    at_ += bytes;
  }

  void skip_space() { advance(stripped(rest(), true, false).begin); }

  // Text up to the next tag, then what the tag holds.
  void root() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos) {
        data(source_.size(), source_.size(), true, 0);
        return;
      }
      const char kind = tag + 1 < source_.size() ? source_[tag + 1] : ' ';
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    size_t inside = tag + 2;
    char sign = 0;
    if (inside < source_.size() && (source_[inside] == '-' || source_[inside] == '+'))
      sign = source_[inside++];
    data(tag, inside, kind == '{', sign);
    if (kind == '#') {
      comment();
    } else if (kind == '{') {
      add(TokenKind::kVariableBegin, "{{");
      code(TokenKind::kVariableEnd);
    } else if (!raw()) {
      add(TokenKind::kBlockBegin, "{%");
      code(TokenKind::kBlockEnd);
    }
  }

  // Gives out the text before `end`, stripped as the tag that follows asks, and goes on at `next`.
  void data(size_t end, size_t next, bool keep_indent, char sign) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    const bool line_starting = at_ == 0 || source_[at_ - 1] == '\n';
    if (sign == '-') {
      text = text.substr(0, stripped(text, false, true).end);
    } else if (sign != '+' && !keep_indent) {
      const size_t line_begin = text.rfind('\n') + 1;  // 0 if there is none
      const bool blank = stripped(text.substr(line_begin), true, false).begin == text.size() - line_begin;
      if ((line_begin > 0 || line_starting) && blank) text = text.substr(0, line_begin);
    }
    if (!text.empty()) add(TokenKind::kData, std::string(text));
    advance(next - at_);
  }

  void comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) refuse(name_, line_, "the comment is not closed");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    advance(end + 2 - at_);
    if (sign == '-') skip_space();
    if (sign != '-' && sign != '+' && starts("\n")) advance(1);
  }

  // "raw" or "endraw" and the end of its tag, from `from` on; returns the place behind, or 0.
  size_t raw_tag(size_t from, std::string_view word, bool trims) const {
    const std::string_view source = source_;
    size_t at = from + stripped(source.substr(from), true, false).begin;
    if (!source.substr(at).starts_with(word)) return 0;
    at += word.size();
    at += stripped(source.substr(at), true, false).begin;
    char sign = 0;
    if (at < source.size() && (source[at] == '-' || (trims && source[at] == '+'))) sign = source[at++];
    if (!source.substr(at).starts_with("%}")) return 0;
    at += 2;
    if (sign == '-') return at + stripped(source.substr(at), true, false).begin;
    if (trims && sign == 0 && source.substr(at).starts_with("\n")) ++at;
    return at;
  }

  bool raw() {
    const size_t begin = raw_tag(at_, "raw", false);
    if (begin == 0) return false;
    advance(begin - at_);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      size_t inside = tag + 2;
      char sign = 0;
      if (inside < source_.size() && (source_[inside] == '-' || source_[inside] == '+'))
        sign = source_[inside++];
      const size_t end = raw_tag(inside, "endraw", true);
      if (end == 0) continue;
      data(tag, end, false, sign);
      return true;
    }
    refuse(name_, line_, "the raw block is not closed");
  }

  bool end_of_code(TokenKind end) {
    const std::string_view mark = end == TokenKind::kBlockEnd ? "%}" : "}}";
    const char first = rest().empty() ? ' ' : rest()[0];
    const bool sign = first == '-' || (first == '+' && end == TokenKind::kBlockEnd);
    if (!rest().substr(sign ? 1 : 0).starts_with(mark)) return false;
    add(end, std::string(mark));
    advance(mark.size() + (sign ? 1 : 0));
    if (sign && first == '-') skip_space();
    if (!sign && end == TokenKind::kBlockEnd && starts("\n")) advance(1);
    return true;
  }

  void code(TokenKind end) {
    std::string open;  // brackets
    while (true) {
      if (open.empty() && end_of_code(end)) return;
      const size_t space = stripped(rest(), true, false).begin;
      if (space > 0) {
        advance(space);
        continue;
      }
      if (at_ == source_.size()) refuse(name_, line_, "the template ends inside a tag");
      const char c = source_[at_];
      if (is_digit(c)) {
        number();
      } else if (c == '\'' || c == '"') {
        string();
      } else if (!name()) {
        operation(open);
      }
    }
  }

  size_t digits(size_t at, std::string_view allowed) const {
    while (at < source_.size()) {
      const char lower = static_cast<char>(source_[at] | 0x20);
      if (allowed.find(is_digit(source_[at]) ? source_[at] : lower) != std::string_view::npos) {
        ++at;
      } else if (source_[at] == '_' && at + 1 < source_.size() && source_[at + 1] != '_') {
        ++at;
      } else {
        return at;
      }
    }
    return at;
  }

  void number() {
    constexpr std::string_view kDecimal = "0123456789";
    const auto is_digit_at = [&](size_t at) { return at < source_.size() && is_digit(source_[at]); };
    size_t end = at_;
    TokenKind kind = TokenKind::kInteger;
    const char prefix = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : ' ';
    if (source_[at_] == '0' && (prefix == 'x' || prefix == 'o' || prefix == 'b')) {
      end = digits(at_ + 2, prefix == 'x' ? "0123456789abcdef" : prefix == 'o' ? "01234567" : "01");
    } else {
      end = digits(at_, kDecimal);
      const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
      if (!after_dot && end < source_.size() && source_[end] == '.' && is_digit_at(end + 1)) {
        kind = TokenKind::kFloat;
        end = digits(end + 1, kDecimal);
      }
      if (!after_dot && end < source_.size() && (source_[end] | 0x20) == 'e') {
        size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
        if (is_digit_at(exponent)) {
          kind = TokenKind::kFloat;
          end = digits(exponent, kDecimal);
        }
      }
    }
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    add(kind, std::move(text));
    advance(end - at_);
  }

  void string() {
    const char quote = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) refuse(name_, line_, "the string is not closed");
    const std::string_view inside = std::string_view(source_).substr(at_ + 1, end - at_ - 1);
    std::string value;
    if (!unescape(inside, value)) refuse(name_, line_, "an escape in the string is not understood");
    add(TokenKind::kString, std::move(value));
    advance(end + 1 - at_);
  }

  bool name() {
    size_t end = at_;
    while (end < source_.size()) {
      const utf8::Decoded d = utf8::decode(std::string_view(source_).substr(end));
      if (!is_word(d.code_point)) break;
      end += static_cast<size_t>(d.bytes);
    }
    if (end == at_) return false;
    add(TokenKind::kName, source_.substr(at_, end - at_));
    advance(end - at_);
    return true;
  }

  void operation(std::string& open) {
    for (const std::string_view word : kLongOperators) {
      if (!starts(word)) continue;
      add(TokenKind::kOperator, std::string(word));
      return advance(word.size());
    }
    const char c = source_[at_];
    if (kOperators.find(c) == std::string_view::npos) {
      refuse(name_, line_,
             fmt::format("unexpected character {}", repr(rest().substr(0, byte_of_char(rest(), 1)))));
    }
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) refuse(name_, line_, fmt::format("unexpected '{}'", c));
      open.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    advance(1);
  }

  std::string source_;
  const std::string& name_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

void refuse(const std::string& source_name, int line, const std::string& what) {
  throw Error("{} line {}: {}", source_name, line, what);
}

std::vector<Token> tokenize(std::string_view source, const std::string& source_name) {
  return Lexer(source, source_name).run();
}

}  // namespace minimax::chat::jinja
