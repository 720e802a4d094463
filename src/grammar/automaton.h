#pragma once
// A grammar made ready to match: every rule a deterministic automaton, all states in one numbering.
// Immutable.

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "grammar/dfa.h"

namespace minimax::grammar {

// "Plain" characters: U+0020 and up but for " and \ . Most tokens consist of them alone, and most states of
// most constraints accept all of them or none.
bool is_plain(char32_t c);

inline constexpr int16_t kManyChars = std::numeric_limits<int16_t>::max();

class Automaton {
 public:
  struct Call {
    int32_t rule = 0, to = 0;
  };
  struct Token {
    int32_t id = 0, to = 0;
  };
  struct State {
    int32_t edges_begin = 0, edges_end = 0;
    int32_t calls_begin = 0, calls_end = 0;
    int32_t tokens_begin = 0, tokens_end = 0;
    bool final = false;
    bool ends = false;  // final, and nothing leads on
    // Every text of at most plain_min plain characters can be read from here, and none of more than
    // plain_max.
    int16_t plain_min = 0, plain_max = kManyChars;
  };

  // Throws Refusal: too large, left-recursive, or without any text that matches.
  Automaton(const Grammar& grammar, Budget& budget);

  const State& state(int32_t id) const { return states_[static_cast<size_t>(id)]; }
  std::span<const Dfa::Edge> edges(const State& s) const { return part(edges_, s.edges_begin, s.edges_end); }
  std::span<const Call> calls(const State& s) const { return part(calls_, s.calls_begin, s.calls_end); }
  std::span<const Token> tokens(const State& s) const { return part(tokens_, s.tokens_begin, s.tokens_end); }
  // Where `byte` leads, -1: nowhere.
  int32_t next(int32_t state, uint8_t byte) const;

  int32_t start(int32_t rule) const { return starts_[static_cast<size_t>(rule)]; }
  // Rules that call each other before reading anything: the caller has the smaller rank.
  int32_t rank(int32_t rule) const { return ranks_[static_cast<size_t>(rule)]; }
  int32_t rule_of_rank(int32_t rank) const { return by_rank_[static_cast<size_t>(rank)]; }
  size_t size() const { return states_.size(); }

 private:
  template <typename T>
  static std::span<const T> part(const std::vector<T>& all, int32_t begin, int32_t end) {
    return std::span(all).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }
  void add_rule(const Dfa& dfa);
  void begin_inside(const Grammar& grammar, const std::vector<Dfa>& dfas, Budget& budget);
  void order_rules(const Grammar& grammar);

  std::vector<State> states_;
  std::vector<Dfa::Edge> edges_;
  std::vector<Call> calls_;
  std::vector<Token> tokens_;
  std::vector<int32_t> starts_, ranks_, by_rank_;  // [rules]; a start of -1: never called
};

// automaton_plain.cc
// outermost: how many of the states, from the first on, belong to a rule that no other calls: nothing comes
// behind its end.
void count_plain(const Automaton& automaton, size_t outermost, std::vector<Automaton::State>& states,
                 Budget& budget);

}  // namespace minimax::grammar
