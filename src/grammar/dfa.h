#pragma once
// Deterministic automata over bytes, calls of rules and tokens: what an expression becomes.

#include <cstdint>
#include <optional>
#include <vector>

#include "grammar/expr.h"
#include "grammar/limits.h"

namespace minimax::grammar {

// Symbols that are no bytes: the call of a rule, or a token id from kTokenSymbol on.
inline constexpr int32_t kTokenSymbol = 1 << 28;

struct Dfa {
  struct Edge {
    uint8_t first = 0, last = 0;
    int32_t to = 0;
  };
  struct Call {
    int32_t symbol = 0, to = 0;
  };
  struct State {
    std::vector<Edge> edges;  // ascending, disjoint
    std::vector<Call> calls;  // ascending by symbol
    bool final = false;
  };
  // States[0] is where it begins. Every state but the first can reach a final one.
  std::vector<State> states;

  bool empty_language() const {
    return !states[0].final && states[0].edges.empty() && states[0].calls.empty();
  }
};

// nullable[r]: rule r matches the empty text, so its call may be skipped. All throw Refusal beyond a limit.
Dfa to_dfa(const Expr& expr, Encoding encoding, const std::vector<bool>& nullable, Budget& budget);

// dfa_join.cc. `unit`, min to max times (max < 0: no limit). REQUIRES: it has no calls, one end that nothing
// leads on from, and nothing leads back to its beginning: as the automaton of a character.
Dfa chained(const Dfa& unit, int min, int max, Budget& budget);
// What any of them accepts. They keep their states, and what begins alike is followed in common as long as
// more than one of them can. Nothing if there are more ways to do that than states, or more than `states_max`
// in all.
std::optional<Dfa> united(std::vector<Dfa> parts, size_t states_max, Budget& budget);
// Of to_dfa: whether what is repeated is so large that it is better made an automaton once, for all rounds.
bool repeats_large(const Expr& expr);
// Of to_dfa: the quick way, where there is one.
std::optional<Dfa> joined(const Expr& expr, Encoding encoding, const std::vector<bool>& nullable,
                          Budget& budget);

// Of automata without calls: what both accept; what `a` accepts and `b` does not.
Dfa intersection(const Dfa& a, const Dfa& b, Budget& budget);
Dfa difference(const Dfa& a, const Dfa& b, Budget& budget);

Expr automaton(Dfa dfa);

}  // namespace minimax::grammar
