#include "grammar/json_rules.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "grammar/regex.h"

namespace minimax::grammar {
namespace {

Expr chars(std::string_view set) {
  CharSet out;
  for (const char c : set) out.push_back({static_cast<char32_t>(c), static_cast<char32_t>(c)});
  return set_of(normalized(std::move(out)));
}
const CharSet kDigits{{'0', '9'}};
const CharSet kHex{{'0', '9'}, {'A', 'F'}, {'a', 'f'}};

Expr string_body() {
  const Expr hex = set_of(kHex);
  const Expr plain = set_of(negated({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}));
  const Expr unit =
      choice({sequence({set_of({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}}), hex, hex, hex}),
              sequence({chars("dD"), set_of({{'0', '7'}}), hex, hex})});
  const Expr pair = sequence({chars("dD"), chars("89abAB"), hex, hex, text("\\u"), chars("dD"),
                              set_of({{'C', 'F'}, {'c', 'f'}}), hex, hex});
  const Expr escape =
      sequence({text("\\"), choice({chars("\"\\/bfnrt"), sequence({text("u"), choice({unit, pair})})})});
  return repeat(choice({plain, escape}), 0, -1);
}

}  // namespace

JsonRules::JsonRules(Grammar& grammar, const JsonSpacing& spacing, Budget& budget)
    : grammar_(grammar), budget_(budget) {
  if (spacing.kind == JsonSpacing::Kind::kFixed) {
    open_ = text("");
    comma_ = text(", ");
    colon_ = text(": ");
    return;
  }
  const Expr body = spacing.kind == JsonSpacing::Kind::kPattern
                        ? automaton(whole_match(spacing.pattern, Encoding::kUtf8, budget))
                        : repeat(chars(" \t\n\r"), 0, kJsonSpaceMax);
  open_ = rule(add_rule("whitespace", body));
  comma_ = sequence({open_, text(","), open_});
  colon_ = sequence({open_, text(":"), open_});
}

int32_t JsonRules::add_rule(std::string name, Expr body) {
  budget_.spend();
  if (grammar_.rules.size() >= kRulesMax)
    throw Refusal{fmt::format("it has more than {} rules (kRulesMax)", kRulesMax)};
  grammar_.rules.push_back({std::move(name), std::move(body)});
  return static_cast<int32_t>(grammar_.rules.size()) - 1;
}

Expr JsonRules::once(std::optional<int32_t>& known, const char* name, Expr (*make)(JsonRules&)) {
  if (!known) {
    // The number is known before the body is made: JSON is recursive.
    known = add_rule(name, nothing());
    Expr body = make(*this);
    grammar_.rules[static_cast<size_t>(*known)].body = std::move(body);
  }
  return rule(*known);
}

Expr JsonRules::value() {
  return once(value_, "value", [](JsonRules& r) {
    return choice({r.object(), r.array(), r.string(), r.number(), text("true"), text("false"), text("null")});
  });
}

Expr JsonRules::object() {
  return once(object_, "object", [](JsonRules& r) {
    const Expr member = sequence({r.string(), r.colon(), r.value()});
    const Expr members = sequence({member, repeat(sequence({r.comma(), member}), 0, -1), r.close()});
    return sequence({text("{"), r.open(), optional(members), text("}")});
  });
}

Expr JsonRules::array() {
  return once(array_, "array", [](JsonRules& r) {
    const Expr items = sequence({r.value(), repeat(sequence({r.comma(), r.value()}), 0, -1), r.close()});
    return sequence({text("["), r.open(), optional(items), text("]")});
  });
}

Expr JsonRules::string() {
  return once(string_, "string", [](JsonRules& r) {
    if (!r.banned_) return quoted(string_body());
    return quoted(automaton(r.allowed(to_dfa(string_body(), Encoding::kUtf8, {}, r.budget_))));
  });
}

Expr JsonRules::integer() {
  return once(integer_, "integer", [](JsonRules&) {
    return sequence({optional(text("-")),
                     choice({text("0"), sequence({set_of({{'1', '9'}}), repeat(set_of(kDigits), 0, -1)})})});
  });
}

Expr JsonRules::number() {
  return once(number_, "number", [](JsonRules&) {
    const Expr digits = repeat(set_of(kDigits), 1, -1);
    const Expr whole = choice({text("0"), sequence({set_of({{'1', '9'}}), repeat(set_of(kDigits), 0, -1)})});
    // Three digits of exponent name every double.
    const Expr exponent = sequence({chars("eE"), optional(chars("+-")), repeat(set_of(kDigits), 1, 3)});
    return sequence(
        {optional(text("-")), whole, optional(sequence({text("."), digits})), optional(exponent)});
  });
}

Expr JsonRules::literal(const Json& value) {
  budget_.spend();
  if (value.is_object()) {
    std::vector<Expr> parts{text("{"), open()};
    for (const auto& [name, member] : value.as_object()) {
      if (parts.size() > 2) parts.push_back(comma());
      parts.push_back(literal(Json(name)));
      parts.push_back(colon());
      parts.push_back(literal(member));
    }
    if (parts.size() > 2) parts.push_back(close());
    parts.push_back(text("}"));
    return sequence(std::move(parts));
  }
  if (value.is_array()) {
    std::vector<Expr> parts{text("["), open()};
    for (const Json& item : value.as_array()) {
      if (parts.size() > 2) parts.push_back(comma());
      parts.push_back(literal(item));
    }
    if (parts.size() > 2) parts.push_back(close());
    parts.push_back(text("]"));
    return sequence(std::move(parts));
  }
  return text(to_string(value));
}

Expr JsonRules::quoted(Expr body) {
  return sequence({text("\""), std::move(body), text("\"")});
}

Dfa JsonRules::characters(int min, int max, Budget& budget) {
  return chained(to_dfa(set_of(all_chars()), Encoding::kJsonString, {}, budget), min, max, budget);
}

Expr JsonRules::characters_to_end(int max) {
  CHECK(!banned_);
  if (!counted_) {
    counted_char_ = automaton(to_dfa(set_of(all_chars()), Encoding::kJsonString, {}, budget_));
    counted_ = add_rule("characters of a string", nothing());
  }
  const auto [known, inserted] = counted_rests_.try_emplace(max, -1);
  if (!inserted) return rule(known->second);
  counted_max_ = std::max(counted_max_, max);
  grammar_.rules[static_cast<size_t>(*counted_)].body =
      sequence({repeat(counted_char_, 0, counted_max_), text("\"")});
  known->second = add_rule("rest of a string", nothing());
  Rule& made = grammar_.rules[static_cast<size_t>(known->second)];
  made.rest_of = *counted_;
  made.left = max;
  return rule(known->second);
}

}  // namespace minimax::grammar
