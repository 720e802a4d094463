#pragma once
// JSON as rules of a grammar: what schemas are put together from.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "grammar/dfa.h"

namespace minimax::grammar {

// Spaces between the tokens of JSON.
struct JsonSpacing {
  enum class Kind : uint8_t {
    kFlexible,  // up to kJsonSpaceMax whitespace characters: enough for any indentation, and no endless ones
    kFixed,     // ", " and ": " and none else
    kPattern,   // what `pattern` matches, wherever JSON allows whitespace
  };
  Kind kind = Kind::kFlexible;
  std::string pattern;
};
inline constexpr int kJsonSpaceMax = 64;

class JsonRules {
 public:
  // Adds rules to `grammar` as they are asked for. Both must outlive this.
  JsonRules(Grammar& grammar, const JsonSpacing& spacing, Budget& budget);

  Expr value();   // any JSON value
  Expr object();  // any object
  Expr array();   // any array
  Expr string();  // any string, with its quotes; all escapes of RFC 8259, but no half of a surrogate pair
  Expr number();
  Expr integer();  // without fraction and exponent
  // This value: members in its order, strings with the escapes that are needed.
  Expr literal(const Json& value);
  // A string whose characters (JSON-encoded) are what `body` accepts.
  static Expr quoted(Expr body);
  // Characters (JSON-encoded) of a string of min to max characters; max < 0: no limit.
  static Dfa characters(int min, int max, Budget& budget);

  // At most `max` characters (JSON-encoded) of a string, and its closing quote: a rule. Those of all maxima
  // share the automaton of the largest. REQUIRES: nothing is banned.
  Expr characters_to_end(int max);
  bool bans() const { return banned_.has_value(); }

  // Punctuation with the spaces around it.
  Expr open() const { return open_; }  // after { or [
  Expr close() const { return open_; }
  Expr comma() const { return comma_; }
  Expr colon() const { return colon_; }

  int32_t add_rule(std::string name, Expr body);

  // From now on no string holds a text that `banned` (JSON-encoded) accepts.
  void ban(Dfa banned) { banned_ = std::move(banned); }
  Dfa allowed(Dfa body) const { return banned_ ? difference(body, *banned_, budget_) : std::move(body); }

 private:
  Expr once(std::optional<int32_t>& rule, const char* name, Expr (*make)(JsonRules&));

  Grammar& grammar_;
  Budget& budget_;
  Expr open_, comma_, colon_;
  std::optional<Dfa> banned_;
  std::optional<int32_t> value_, object_, array_, string_, number_, integer_;
  std::optional<int32_t> counted_;
  Expr counted_char_;
  int counted_max_ = 0;
  std::map<int, int32_t> counted_rests_;  // by how many characters they read
};

}  // namespace minimax::grammar
