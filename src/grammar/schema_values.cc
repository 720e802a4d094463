#include "grammar/schema_values.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "grammar/regex.h"

namespace minimax::grammar {
namespace {

#define YEAR "([1-9]\\d{3}|0[1-9]\\d\\d|00[1-9]\\d|000[1-9])"
#define LEAP "(\\d\\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                                 \
  "(" YEAR                                                                                                   \
  "-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))|" LEAP \
  "-02-29)"
// An offset of -00:00 says that none is known; some validators take it for an error.
#define OFFSET "(Z|\\+([01]\\d|2[0-3]):[0-5]\\d|-(0[1-9]|1\\d|2[0-3]):[0-5]\\d|-00:(0[1-9]|[1-5]\\d))"
#define TIME "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?" OFFSET
#define OCTET "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 OCTET "(\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
// Shorter than the standards allow, so that no sum of parts exceeds their limits.
#define LABEL "[A-Za-z0-9]{1,15}(-[A-Za-z0-9]{1,15}){0,2}"
#define HOST LABEL "(\\." LABEL "){0,4}"
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
#define PCHAR "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

struct Format {
  std::string_view name, pattern;
};
constexpr std::array kFormats{
    Format{"date", DATE},
    Format{"time", TIME},
    Format{"date-time", DATE "T" TIME},
    Format{"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
    Format{"ipv4", IPV4},
    Format{"ipv6",
           "(" H16 ":){7}" H16 "|::(" H16 "(:" H16 "){0,6})?|(" H16 ":){1,6}:" H16 "|(" H16 ":){1,7}:"},
    Format{"hostname", HOST},
    Format{"email", ATEXT "(\\." ATEXT "){0,2}@" HOST},
    Format{"uri", "(https?|ftp)://" HOST "(:[1-9]\\d{0,3})?(/" PCHAR "*)*(\\?" PCHAR "*)?(#" PCHAR "*)?"},
};

#undef YEAR
#undef LEAP
#undef DATE
#undef TIME
#undef OFFSET
#undef OCTET
#undef IPV4
#undef H16
#undef LABEL
#undef HOST
#undef ATEXT
#undef PCHAR

// A number as digits before and after the point, without needless zeros.
struct Decimal {
  bool negative = false;
  std::string whole, fraction;
};

Decimal to_decimal(std::string_view text) {
  Decimal out;
  if (text.starts_with('-')) {
    out.negative = true;
    text.remove_prefix(1);
  }
  const size_t e = text.find_first_of("eE");
  int exponent = 0;
  if (e != std::string_view::npos) {
    std::string_view digits = text.substr(e + 1);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    text = text.substr(0, e);
  }
  const size_t point = text.find('.');
  out.whole = text.substr(0, point);
  if (point != std::string_view::npos) out.fraction = text.substr(point + 1);
  // A double has no larger exponent.
  for (exponent = std::clamp(exponent, -400, 400); exponent > 0; --exponent) {
    out.whole += out.fraction.empty() ? '0' : out.fraction.front();
    if (!out.fraction.empty()) out.fraction.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    out.fraction.insert(0, 1, out.whole.empty() ? '0' : out.whole.back());
    if (!out.whole.empty()) out.whole.pop_back();
  }
  out.whole.erase(0, out.whole.find_first_not_of('0'));
  if (out.whole.empty()) out.whole = "0";
  while (out.fraction.ends_with('0')) out.fraction.pop_back();
  if (out.whole == "0" && out.fraction.empty()) out.negative = false;
  return out;
}

Expr digit(char first, char last) {
  if (first > last) return nothing();
  return set_of({{static_cast<char32_t>(first), static_cast<char32_t>(last)}});
}
Expr digits(int min, int max) {
  return repeat(digit('0', '9'), min, max);
}
char after(char c) {
  return static_cast<char>(c + 1);
}
char before(char c) {
  return static_cast<char>(c - 1);
}

class NumberExpr {
 public:
  explicit NumberExpr(int fraction_max) : fraction_max_(fraction_max) {}

  Expr fraction() const {
    return fraction_max_ == 0 ? text("") : optional(sequence({text("."), digits(1, fraction_max_)}));
  }
  Expr unsigned_any() const {
    return sequence({choice({text("0"), sequence({digit('1', '9'), digits(0, -1)})}), fraction()});
  }
  // Unsigned numbers on one side of a bound, the bound itself included or not.
  Expr at_least(const Decimal& bound, bool excluded) const {
    std::vector<Expr> out;
    const auto length = static_cast<int>(bound.whole.size());
    out.push_back(sequence({digit('1', '9'), digits(length, -1), fraction()}));
    whole_differs(bound, true, out);
    std::vector<Expr> equal;
    const std::string& f = bound.fraction;
    for (size_t i = 0; i < f.size(); ++i) {
      equal.push_back(sequence({text("." + f.substr(0, i)), digit(after(f[i]), '9'), more(i + 1, 0)}));
    }
    const Expr zeros_then_some = sequence({repeat(text("0"), 0, -1), digit('1', '9'), digits(0, -1)});
    if (f.empty()) {
      equal.push_back(excluded ? sequence({text("."), zeros_then_some}) : fraction());
    } else {
      equal.push_back(sequence({text("." + f), excluded ? zeros_then_some : digits(0, -1)}));
    }
    out.push_back(sequence({text(bound.whole), choice(std::move(equal))}));
    return choice(std::move(out));
  }
  Expr at_most(const Decimal& bound, bool excluded) const {
    std::vector<Expr> out;
    const auto length = static_cast<int>(bound.whole.size());
    if (length > 1) {
      out.push_back(
          sequence({choice({text("0"), sequence({digit('1', '9'), digits(0, length - 2)})}), fraction()}));
    }
    whole_differs(bound, false, out);
    std::vector<Expr> equal;
    const std::string& f = bound.fraction;
    for (size_t i = 0; i < f.size(); ++i) {
      equal.push_back(sequence({text("." + f.substr(0, i)), digit('0', before(f[i])), more(i + 1, 0)}));
      // Cut off here it is below the bound, whose last digit is no zero.
      equal.push_back(i == 0 ? text("") : text("." + f.substr(0, i)));
    }
    if (!excluded) {
      equal.push_back(f.empty() ? optional(sequence({text("."), repeat(text("0"), 1, -1)}))
                                : sequence({text("." + f), repeat(text("0"), 0, -1)}));
    }
    out.push_back(sequence({text(bound.whole), choice(std::move(equal))}));
    return choice(std::move(out));
  }
  Expr negative(Expr magnitude) const { return sequence({text("-"), std::move(magnitude)}); }

 private:
  Expr more(size_t, int min) const { return digits(min, -1); }

  // As many digits before the point, the first that differs is greater (or less).
  void whole_differs(const Decimal& bound, bool greater, std::vector<Expr>& out) const {
    const std::string& w = bound.whole;
    for (size_t i = 0; i < w.size(); ++i) {
      const char lowest = i == 0 && w.size() > 1 ? '1' : '0';
      const Expr differs = greater ? digit(after(w[i]), '9') : digit(lowest, before(w[i]));
      const auto left = static_cast<int>(w.size() - i - 1);
      out.push_back(sequence({text(w.substr(0, i)), differs, digits(left, left), fraction()}));
    }
  }

  const int fraction_max_;
};

// Integers that leave no remainder: what was read so far, modulo `m`.
Dfa multiples(int m) {
  Dfa out;
  enum { kStart, kMinus, kZero, kFirst };
  out.states.resize(static_cast<size_t>(kFirst + m));
  const auto lead = [&](size_t state, int first) {
    for (int d = first; d < 10; ++d) {
      const auto byte = static_cast<uint8_t>('0' + d);
      out.states[state].edges.push_back({byte, byte, d == 0 ? kZero : kFirst + d % m});
    }
  };
  out.states[kStart].edges.push_back({'-', '-', kMinus});
  lead(kStart, 0);
  lead(kMinus, 1);
  out.states[kZero].final = true;
  out.states[kFirst].final = true;
  for (int r = 0; r < m; ++r) {
    for (int d = 0; d < 10; ++d) {
      const auto byte = static_cast<uint8_t>('0' + d);
      out.states[static_cast<size_t>(kFirst + r)].edges.push_back({byte, byte, kFirst + (r * 10 + d) % m});
    }
  }
  return out;
}

}  // namespace

std::optional<std::string_view> format_pattern(std::string_view format) {
  const auto known = std::ranges::find(kFormats, format, &Format::name);
  return known == kFormats.end() ? std::optional<std::string_view>() : known->pattern;
}

std::string known_formats() {
  std::string out;
  for (const Format& format : kFormats) out += fmt::format("{}{}", out.empty() ? "" : ", ", format.name);
  return out;
}

Dfa bounded_number(const NumberBounds& bounds, Budget& budget) {
  constexpr size_t kFractionDigits = 6;
  constexpr int kMultipleDigits = 2;
  std::optional<Decimal> min, max;
  size_t fraction = kFractionDigits;
  if (bounds.min) min = to_decimal(*bounds.min);
  if (bounds.max) max = to_decimal(*bounds.max);
  if (min) fraction = std::max(fraction, min->fraction.size() + kMultipleDigits);
  if (max) fraction = std::max(fraction, max->fraction.size() + kMultipleDigits);
  const bool integer = bounds.integer || bounds.multiple_of;
  const NumberExpr number(integer ? 0 : static_cast<int>(std::min<size_t>(fraction, 400)));
  const auto automaton_of = [&](const Expr& expr) { return to_dfa(expr, Encoding::kUtf8, {}, budget); };

  // -0 is left out: 0 says the same.
  const Decimal zero{false, "0", ""};
  const Expr any = number.unsigned_any(), below_zero = number.negative(number.at_least(zero, true));
  Dfa out = intersection(automaton_of(choice({any, below_zero})),
                         automaton_of(choice({any, number.negative(any)})), budget);
  if (min) {
    const Expr low = min->negative ? choice({any, number.negative(number.at_most(*min, bounds.min_excluded))})
                                   : number.at_least(*min, bounds.min_excluded);
    out = intersection(out, automaton_of(low), budget);
  }
  if (max) {
    const Expr high = max->negative
                          ? number.negative(number.at_least(*max, bounds.max_excluded))
                          : choice({number.at_most(*max, bounds.max_excluded), number.negative(any)});
    out = intersection(out, automaton_of(high), budget);
  }
  if (bounds.multiple_of) out = intersection(out, multiples(*bounds.multiple_of), budget);
  return out;
}

}  // namespace minimax::grammar
