#pragma once
// What a rule of a grammar says, as a tree. Regexes, EBNF, JSON schemas and tags are all read into this.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/char_set.h"

namespace minimax::grammar {

struct Dfa;

struct Expr {
  enum class Kind : uint8_t {
    kText,      // this text; "" matches the empty text
    kSet,       // one character of `set`; an empty set matches nothing
    kSequence,  // all of `items`
    kChoice,    // one of `items`
    kRepeat,    // items[0], min to max times (max < 0: no limit)
    kRule,      // what rule `number` says
    kToken,     // the token with id `number`, which is no text
    kBegin,     // nothing, where nothing stands before it
    kEnd,       // nothing, where nothing follows
    kDfa,       // what this automaton accepts
    kGraph,     // the ways through `graph` from node 0 to one of `ends`, each arc one of `items`
  };
  Kind kind = Kind::kText;
  std::string text;
  CharSet set;
  std::vector<Expr> items;
  int min = 0, max = 0;
  int32_t number = 0;
  std::shared_ptr<const Dfa> dfa;  // immutable; shared by the copies of an expression
  struct Arc {
    int from = 0, to = 0;
    int item = -1;  // into items; -1: nothing is read
  };
  std::vector<Arc> graph;
  std::vector<int> ends;
};

// How characters become bytes.
enum class Encoding : uint8_t {
  kUtf8,
  // As inside a JSON string, with the escapes that are needed and no others: \" \\ \b \f \n \r \t, and \u00XX
  // for the other control characters.
  kJsonString,
};

inline Expr text(std::string_view value) {
  Expr out;
  out.text = value;
  return out;
}
inline Expr set_of(CharSet set) {
  Expr out;
  out.kind = Expr::Kind::kSet;
  out.set = std::move(set);
  return out;
}
inline Expr nothing() {
  return set_of({});
}
inline Expr sequence(std::vector<Expr> items) {
  Expr out;
  out.kind = Expr::Kind::kSequence;
  out.items = std::move(items);
  return out;
}
inline Expr choice(std::vector<Expr> items) {
  Expr out;
  out.kind = Expr::Kind::kChoice;
  out.items = std::move(items);
  return out;
}
inline Expr repeat(Expr item, int min, int max) {
  Expr out;
  out.kind = Expr::Kind::kRepeat;
  out.items.push_back(std::move(item));
  out.min = min;
  out.max = max;
  return out;
}
inline Expr optional(Expr item) {
  return repeat(std::move(item), 0, 1);
}
inline Expr rule(int32_t number) {
  Expr out;
  out.kind = Expr::Kind::kRule;
  out.number = number;
  return out;
}
inline Expr token(int32_t id) {
  Expr out;
  out.kind = Expr::Kind::kToken;
  out.number = id;
  return out;
}
inline Expr anchor(Expr::Kind kind) {
  Expr out;
  out.kind = kind;
  return out;
}

struct Rule {
  std::string name;  // for messages
  Expr body;
  // From 0 on: it is what that rule reads on where `left` more of the characters that it counts from its
  // beginning on may come (kCounted among them), and has no body. Counts of different length share one
  // automaton so. REQUIRES: neither matches the empty text.
  int32_t rest_of = -1;
  int32_t left = 0;
  static constexpr uint8_t kCounted = 'x';
};

// Rule 0 is the whole. Anchors stand in regexes only: those are made automata of their own (dfa.h).
struct Grammar {
  std::vector<Rule> rules;
  // Rules of a few nodes are put in the place of their calls: for grammars written by people.
  bool inline_small_rules = false;
};

}  // namespace minimax::grammar
