#include "grammar/regex.h"

#include <optional>

#include <fmt/format.h>

#include "base/utf8.h"

namespace minimax::grammar {
namespace {

const CharSet kDigits{{'0', '9'}};
const CharSet kWord{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CharSet kSpace{{'\t', '\r'}, {' ', ' '}};
// What one of the dialects calls a space: \S excludes all of them.
const CharSet kWideSpace{{'\t', '\r'},     {0x1C, ' '},      {0x85, 0x85},     {0xA0, 0xA0},
                         {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                         {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const CharSet kLineEnds{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

class Parser {
 public:
  explicit Parser(std::string_view pattern) : all_(pattern), rest_(pattern) {
    if (pattern.size() > kSourceBytesMax) {
      throw Refusal{
          fmt::format("it has {} bytes, more than {} (kSourceBytesMax)", pattern.size(), kSourceBytesMax)};
    }
    if (!utf8::valid(pattern)) refuse("is not UTF-8");
  }

  Expr parse() {
    Expr out = alternatives(0);
    if (!rest_.empty()) refuse("has a ) without its (");
    return out;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw Refusal{fmt::format("the regular expression {} (at byte {})", what, all_.size() - rest_.size())};
  }

  bool peek(std::string_view what) const { return rest_.starts_with(what); }
  bool take(std::string_view what) {
    if (!peek(what)) return false;
    rest_.remove_prefix(what.size());
    return true;
  }
  char32_t take_char() {
    const utf8::Decoded decoded = utf8::decode(rest_);
    rest_.remove_prefix(static_cast<size_t>(decoded.bytes));
    return decoded.code_point;
  }

  Expr alternatives(int depth) {
    if (depth > kNestingMax) refuse(fmt::format("nests groups more than {} deep (kNestingMax)", kNestingMax));
    std::vector<Expr> all;
    do {
      all.push_back(series(depth));
    } while (take("|"));
    return all.size() == 1 ? std::move(all.front()) : choice(std::move(all));
  }

  Expr series(int depth) {
    std::vector<Expr> items;
    while (!rest_.empty() && !peek("|") && !peek(")")) items.push_back(quantified(depth));
    return sequence(std::move(items));
  }

  Expr quantified(int depth) {
    Expr item = atom(depth);
    const bool anchor = item.kind == Expr::Kind::kBegin || item.kind == Expr::Kind::kEnd;
    while (true) {
      int min = 0, max = -1;
      if (take("*")) {
      } else if (take("+")) {
        min = 1;
      } else if (take("?")) {
        max = 1;
      } else if (!bounds(min, max)) {
        return item;
      }
      if (anchor) refuse("repeats an anchor");
      if (take("+")) refuse("has a possessive quantifier, which is not supported");
      take("?");  // lazy: the same texts
      if (peek("*") || peek("+") || peek("?")) refuse("has two quantifiers in a row");
      item = repeat(std::move(item), min, max);
    }
  }

  // {m}, {m,} or {m,n}; anything else that begins with a brace is text, as in both dialects.
  bool bounds(int& min, int& max) {
    if (!peek("{")) return false;
    const std::string_view before = rest_;
    take("{");
    const std::optional<int> low = number();
    std::optional<int> high = low;
    if (take(",")) high = number();
    const bool open = !high && rest_.starts_with("}") && low;
    if (!low || !take("}")) {
      rest_ = before;
      return false;
    }
    min = *low;
    max = open ? -1 : high.value_or(-1);
    if (max >= 0 && max < min) refuse("has a quantifier whose maximum is below its minimum");
    return true;
  }

  std::optional<int> number() {
    int value = 0, digits = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; ++digits) {
      value = value * 10 + (rest_.front() - '0');
      if (value > kRepeatMax) refuse(fmt::format("repeats more than {} times (kRepeatMax)", kRepeatMax));
      rest_.remove_prefix(1);
    }
    return digits == 0 ? std::optional<int>() : value;
  }

  Expr atom(int depth) {
    if (take("(")) return group(depth);
    if (take("[")) return set_of(char_class());
    if (take(".")) return set_of(negated(kLineEnds));
    if (take("^")) return anchor(Expr::Kind::kBegin);
    if (take("$")) return anchor(Expr::Kind::kEnd);
    if (peek("*") || peek("+") || peek("?")) refuse("repeats nothing");
    if (take("\\")) return set_of(escape(false));
    const char32_t c = take_char();
    return set_of({{c, c}});
  }

  Expr group(int depth) {
    if (take("?")) {
      if (take("P<") || (peek("<") && !peek("<=") && !peek("<!") && take("<"))) {
        const size_t end = rest_.find('>');
        if (end == std::string_view::npos) refuse("has a group whose name does not end");
        rest_.remove_prefix(end + 1);
      } else if (peek("=") || peek("!") || peek("<=") || peek("<!")) {
        refuse("looks around, which is not supported");
      } else if (!take(":")) {
        refuse("has flags or a kind of group that is not supported");
      }
    }
    Expr out = alternatives(depth + 1);
    if (!take(")")) refuse("has a ( without its )");
    return out;
  }

  char32_t hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = rest_.empty() ? ' ' : rest_.front();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) refuse("has a broken hexadecimal escape");
      value = value * 16 + static_cast<char32_t>(digit);
      rest_.remove_prefix(1);
    }
    return value;
  }

  char32_t unicode_escape() {
    if (take("{")) {
      char32_t value = 0;
      while (!peek("}")) {
        value = value * 16 + hex(1);
        if (value > 0x10FFFF) refuse("has an escape above U+10FFFF");
      }
      take("}");
      return value;
    }
    const char32_t high = hex(4);
    if (high >= 0xD800 && high <= 0xDBFF && take("\\u")) {
      const char32_t low = hex(4);
      if (low < 0xDC00 || low > 0xDFFF) refuse("has a lone surrogate");
      return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
    if (high >= 0xD800 && high <= 0xDFFF) refuse("has a lone surrogate");
    return high;
  }

  CharSet escape(bool in_class) {
    if (rest_.empty()) refuse("ends in a backslash");
    const char32_t c = take_char();
    const auto one = [](char32_t x) { return CharSet{{x, x}}; };
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return negated(kDigits);
      case 'w':
        return kWord;
      case 'W':
        return negated(kWord);
      case 's':
        return kSpace;
      case 'S':
        return negated(kWideSpace);
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 't':
        return one('\t');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
        return one(hex(2));
      case 'u':
        return one(unicode_escape());
      case 'c': {
        if (rest_.empty() || !std::isalpha(static_cast<unsigned char>(rest_.front())))
          refuse("has a broken \\c");
        return one(take_char() % 32);
      }
      case '0':
        if (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') refuse("has an octal escape");
        return one(0);
      case 'b':
        if (in_class) return one('\b');
        break;
      default:
        break;
    }
    const bool word = (c < 0x80 && std::isalnum(static_cast<int>(c)) != 0);
    if (word) refuse(fmt::format("has \\{}, which is not supported", static_cast<char>(c)));
    return one(c);
  }

  CharSet char_class() {
    const bool negative = take("^");
    CharSet set;
    bool first = true;
    while (first || !peek("]")) {
      if (rest_.empty()) refuse("has a [ without its ]");
      if (first && peek("]")) refuse("has an empty class, or one that begins with ]: write \\]");
      first = false;
      const CharSet low = class_item();
      if (peek("-") && !peek("-]")) {
        take("-");
        if (rest_.empty()) refuse("has a [ without its ]");
        const CharSet high = class_item();
        const bool single = low.size() == 1 && low[0].first == low[0].last && high.size() == 1 &&
                            high[0].first == high[0].last;
        if (!single || high[0].last < low[0].first) refuse("has a range in a class that is none");
        set.push_back({low[0].first, high[0].last});
      } else {
        set.insert(set.end(), low.begin(), low.end());
      }
    }
    take("]");
    set = normalized(std::move(set));
    return negative ? negated(set) : set;
  }

  CharSet class_item() {
    if (take("\\")) return escape(true);
    if (peek("[:") || peek("[.") || peek("[=")) refuse("has a POSIX class, which is not supported");
    const char32_t c = take_char();
    return {{c, c}};
  }

  std::string_view all_, rest_;
};

// Most patterns have their anchors at the outside alone, where they say no more than what may stand around.
struct Unanchored {
  Expr body;
  bool begins = false, ends = false;  // with ^, with $
};
Unanchored unanchored(std::string_view pattern) {
  Unanchored out{Parser(pattern).parse()};
  std::vector<Expr>& items = out.body.items;
  if (out.body.kind != Expr::Kind::kSequence) return out;
  while (!items.empty() && items.back().kind == Expr::Kind::kEnd) items.pop_back(), out.ends = true;
  const auto first = std::ranges::find_if(items, [](const Expr& e) { return e.kind != Expr::Kind::kBegin; });
  out.begins = first != items.begin();
  items.erase(items.begin(), first);
  return out;
}

}  // namespace

Expr parse_regex(std::string_view pattern) {
  return Parser(pattern).parse();
}

Dfa whole_match(std::string_view pattern, Encoding encoding, Budget& budget) {
  return to_dfa(unanchored(pattern).body, encoding, {}, budget);
}

Dfa found_in(std::string_view pattern, Encoding encoding, Budget& budget) {
  const Expr anything = repeat(set_of(all_chars()), 0, -1);
  Unanchored found = unanchored(pattern);
  std::vector<Expr> parts;
  if (!found.begins) parts.push_back(anything);
  parts.push_back(std::move(found.body));
  if (!found.ends) parts.push_back(anything);
  return to_dfa(sequence(std::move(parts)), encoding, {}, budget);
}

}  // namespace minimax::grammar
