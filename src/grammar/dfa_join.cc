// Automata put together as they are, where the next byte tells which of them reads it. The general way, over
// sets of states, takes microseconds a state: too much for counts of thousands.

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "grammar/dfa.h"
#include "grammar/dfa_pieces.h"

namespace minimax::grammar {
namespace {

// From here on a repetition of characters is worth an automaton of its own.
constexpr int kManyCopies = 8;

bool is_counted(const Expr& expr) {
  return expr.kind == Expr::Kind::kRepeat && expr.items[0].kind == Expr::Kind::kSet &&
         std::max(expr.min, expr.max) >= kManyCopies;
}

// So many texts to choose from are sorted, rather than followed side by side.
constexpr size_t kManyTexts = 16;

bool is_word_list(const Expr& expr) {
  return expr.kind == Expr::Kind::kChoice && expr.items.size() >= kManyTexts &&
         std::ranges::all_of(expr.items, [](const Expr& item) { return item.kind == Expr::Kind::kText; });
}

bool is_large(const Expr& expr) {
  if (expr.kind == Expr::Kind::kDfa || is_counted(expr) || is_word_list(expr)) return true;
  const bool of_parts = expr.kind == Expr::Kind::kSequence || expr.kind == Expr::Kind::kRepeat;
  return of_parts && std::ranges::any_of(expr.items, is_large);
}

bool has_anchor(const Expr& expr) {
  return expr.kind == Expr::Kind::kBegin || expr.kind == Expr::Kind::kEnd ||
         std::ranges::any_of(expr.items, has_anchor);
}

// The parts of a sequence, those of sequences in it among them.
void add_parts(const Expr& expr, std::vector<const Expr*>& parts) {
  if (expr.kind != Expr::Kind::kSequence) return parts.push_back(&expr);
  for (const Expr& item : expr.items) add_parts(item, parts);
}

void check_states(size_t states) {
  if (states > kStatesMax) throw Refusal{fmt::format("it has more than {} states (kStatesMax)", kStatesMax)};
}

bool is_disjoint(const Dfa::State& a, const Dfa::State& b) {
  for (size_t i = 0, j = 0; i < a.edges.size() && j < b.edges.size();) {
    if (a.edges[i].last < b.edges[j].first) {
      ++i;
    } else if (b.edges[j].last < a.edges[i].first) {
      ++j;
    } else {
      return false;
    }
  }
  return std::ranges::none_of(a.calls, [&](const Dfa::Call& call) {
    return std::ranges::find(b.calls, call.symbol, &Dfa::Call::symbol) != b.calls.end();
  });
}

// For a place behind `base` other states.
void shift(Dfa& part, int32_t base) {
  for (Dfa::State& state : part.states) {
    for (Dfa::Edge& edge : state.edges) edge.to += base;
    for (Dfa::Call& call : state.calls) call.to += base;
  }
}

// What `more` reads is read here too. REQUIRES: they are disjoint.
void add_edges(Dfa::State& state, const Dfa::State& more) {
  state.edges.insert(state.edges.end(), more.edges.begin(), more.edges.end());
  state.calls.insert(state.calls.end(), more.calls.begin(), more.calls.end());
  std::ranges::sort(state.edges, {}, &Dfa::Edge::first);
  std::ranges::sort(state.calls, {}, &Dfa::Call::symbol);
}

// `out` and then `next`; false, and nothing changed, if a byte may belong to either.
bool append(Dfa& out, Dfa next) {
  const Dfa::State start = next.states[0];
  for (const Dfa::State& state : out.states) {
    if (state.final && !is_disjoint(state, start)) return false;
  }
  const size_t count = out.states.size();
  const auto base = static_cast<int32_t>(count);
  check_states(count + next.states.size());
  shift(next, base);
  for (size_t i = 0; i < count; ++i) {
    if (!out.states[i].final) continue;
    add_edges(out.states[i], next.states[0]);
    out.states[i].final = start.final;
  }
  std::ranges::move(next.states, std::back_inserter(out.states));
  return true;
}

// What chained() requires.
bool is_link(const Dfa& unit) {
  const auto is_end = [](const Dfa::State& state) { return state.final; };
  const auto leads_back = [](const Dfa::State& state) {
    return !state.calls.empty() || std::ranges::find(state.edges, 0, &Dfa::Edge::to) != state.edges.end();
  };
  const auto end = std::ranges::find_if(unit.states, is_end);
  return end != unit.states.end() && end != unit.states.begin() && end->edges.empty() &&
         std::ranges::count_if(unit.states, is_end) == 1 && std::ranges::none_of(unit.states, leads_back);
}

// `unit`, min to max times; nothing if a byte may belong to one round or to the next.
std::optional<Dfa> repeated(const Dfa& unit, int min, int max, Budget& budget) {
  const Dfa::State& start = unit.states[0];
  if (start.final || max == 0 || unit.empty_language()) return {};
  if (is_link(unit)) return chained(unit, min, max, budget);
  for (const Dfa::State& state : unit.states) {
    if (state.final && !is_disjoint(state, start)) return {};
  }
  // Without a maximum the last round goes on with itself.
  const int rounds = max < 0 ? std::max(min, 1) : max;
  Dfa out{{Dfa::State{}}};
  for (int round = 0; round < rounds; ++round) {
    budget.spend(std::ssize(unit.states));
    const size_t base = out.states.size();
    check_states(base + unit.states.size());
    Dfa copy = unit;
    shift(copy, static_cast<int32_t>(base));
    std::ranges::move(copy.states, std::back_inserter(out.states));
    const Dfa::State first = out.states[base];
    if (round == 0) {
      out.states[0] = first;
      out.states[0].final = min == 0;
    } else {
      for (size_t i = 0; i < unit.states.size(); ++i) {
        if (unit.states[i].final) add_edges(out.states[base - unit.states.size() + i], first);
      }
    }
    for (size_t i = 0; i < unit.states.size(); ++i) {
      if (!unit.states[i].final) continue;
      out.states[base + i].final = round + 1 >= min;
      if (max < 0 && round + 1 == rounds) add_edges(out.states[base + i], first);
    }
  }
  return out;
}

// One of these texts.
Dfa word_list(const Expr& choice, Budget& budget) {
  std::vector<std::string_view> words;
  for (const Expr& item : choice.items) words.push_back(item.text);
  std::ranges::sort(words);
  Dfa out{{Dfa::State{}}};
  std::string_view last;
  std::vector<int32_t> path{0};  // the states along `last`
  for (const std::string_view word : words) {
    size_t shared = 0;
    while (shared < word.size() && shared < last.size() && word[shared] == last[shared]) ++shared;
    path.resize(shared + 1);
    budget.spend(1 + std::ssize(word));
    for (const char c : word.substr(shared)) {
      const auto to = static_cast<int32_t>(out.states.size());
      const auto byte = static_cast<uint8_t>(c);
      check_states(out.states.size() + 1);
      out.states.emplace_back();
      out.states[static_cast<size_t>(path.back())].edges.push_back({byte, byte, to});
      path.push_back(to);
    }
    out.states[static_cast<size_t>(path.back())].final = true;
    last = word;
  }
  return out;
}

// Sets of states of automata that stand side by side in `out`, made states of it. A set of one is that one.
class Union {
 public:
  Union(Dfa& out, size_t states_max, Budget& budget)
      : out_(out), budget_(budget), states_max_(states_max), members_max_(2 * out.states.size()) {}

  // False: too many, or too many members all together.
  bool run(std::vector<int32_t> beginning) {
    sets_.emplace_back(std::move(beginning), 0);
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (members_ > members_max_ || out_.states.size() > states_max_) return false;
      expand(i);
    }
    return true;
  }

 private:
  int32_t number(std::vector<int32_t> set) {
    std::ranges::sort(set);
    set.erase(std::unique(set.begin(), set.end()), set.end());
    if (set.size() == 1) return set[0];
    const auto [known, inserted] = numbers_.try_emplace(set, static_cast<int32_t>(out_.states.size()));
    if (inserted) {
      out_.states.emplace_back();
      members_ += set.size();
      sets_.emplace_back(std::move(set), known->second);
    }
    return known->second;
  }

  void expand(size_t i) {
    const std::vector<int32_t> set = sets_[i].first;
    const auto at = static_cast<size_t>(sets_[i].second);
    Dfa::State made;
    std::vector<Dfa::Edge> edges;
    std::vector<Dfa::Call> calls;
    for (const int32_t member : set) {
      const Dfa::State& state = out_.states[static_cast<size_t>(member)];
      made.final = made.final || state.final;
      edges.insert(edges.end(), state.edges.begin(), state.edges.end());
      calls.insert(calls.end(), state.calls.begin(), state.calls.end());
    }
    budget_.spend(1 + std::ssize(set) + std::ssize(edges) + std::ssize(calls));
    std::ranges::stable_sort(calls, {}, &Dfa::Call::symbol);
    for (size_t begin = 0, end = 0; begin < calls.size(); begin = end) {
      std::vector<int32_t> targets;
      for (; end < calls.size() && calls[end].symbol == calls[begin].symbol; ++end)
        targets.push_back(calls[end].to);
      made.calls.push_back({calls[begin].symbol, number(std::move(targets))});
    }
    made.edges = in_pieces(edges, budget_,
                           [this](std::vector<int32_t> targets) { return number(std::move(targets)); });
    out_.states[at] = std::move(made);
  }

  Dfa& out_;
  Budget& budget_;
  const size_t states_max_, members_max_;
  size_t members_ = 0;
  std::vector<std::pair<std::vector<int32_t>, int32_t>> sets_;
  std::map<std::vector<int32_t>, int32_t> numbers_;
};

}  // namespace

std::optional<Dfa> united(std::vector<Dfa> parts, size_t states_max, Budget& budget) {
  Dfa out{{Dfa::State{}}};
  std::vector<int32_t> beginning;
  for (Dfa& part : parts) {
    if (part.empty_language()) continue;
    const auto base = static_cast<int32_t>(out.states.size());
    beginning.push_back(base);
    budget.spend(std::ssize(part.states));
    shift(part, base);
    std::ranges::move(part.states, std::back_inserter(out.states));
    if (out.states.size() > states_max) return {};
  }
  if (!Union(out, states_max, budget).run(std::move(beginning))) return {};
  return out;
}

Dfa chained(const Dfa& unit, int min, int max, Budget& budget) {
  const auto is_end = [](const Dfa::State& state) { return state.final; };
  if (unit.empty_language() || max == 0) {
    Dfa out = min == 0 ? Dfa{{Dfa::State{{}, {}, true}}} : Dfa{{Dfa::State{}}};
    return out;
  }
  const auto end = static_cast<int32_t>(std::ranges::find_if(unit.states, is_end) - unit.states.begin());
  CHECK_EQ(std::ranges::count_if(unit.states, is_end), 1);
  CHECK(end > 0 && unit.states[static_cast<size_t>(end)].edges.empty());
  // The end of a round is the beginning of the next; without a maximum the last one is its own.
  const auto inner = static_cast<int32_t>(unit.states.size()) - 1;
  const int rounds = max < 0 ? min + 1 : max;
  const auto place = [&](int round, int32_t state) {
    if (state == end) return (max < 0 && round == min ? round : round + 1) * inner;
    return round * inner + (state < end ? state : state - 1);
  };
  const size_t count = static_cast<size_t>(rounds) * static_cast<size_t>(inner) + 1;
  check_states(count);
  budget.spend(static_cast<int64_t>(count));
  Dfa out;
  out.states.reserve(count);
  for (int round = 0; round < rounds; ++round) {
    for (int32_t state = 0; state <= inner; ++state) {
      if (state == end) continue;
      Dfa::State& made = out.states.emplace_back();
      made.final = state == 0 && round >= min;
      made.edges = unit.states[static_cast<size_t>(state)].edges;
      for (Dfa::Edge& edge : made.edges) edge.to = place(round, edge.to);
    }
  }
  if (max >= 0) out.states.emplace_back().final = true;
  return out;
}

bool repeats_large(const Expr& expr) {
  return expr.kind == Expr::Kind::kRepeat && expr.items[0].kind != Expr::Kind::kDfa && !is_counted(expr) &&
         is_large(expr) && !has_anchor(expr);
}

std::optional<Dfa> joined(const Expr& expr, Encoding encoding, const std::vector<bool>& nullable,
                          Budget& budget) {
  if (expr.kind == Expr::Kind::kDfa) {
    budget.spend(std::ssize(expr.dfa->states));
    return *expr.dfa;
  }
  if (is_counted(expr)) {
    return chained(to_dfa(expr.items[0], encoding, nullable, budget), expr.min, expr.max, budget);
  }
  if (is_word_list(expr) && encoding == Encoding::kUtf8) return word_list(expr, budget);
  if (!is_large(expr) || has_anchor(expr)) return {};
  if (expr.kind == Expr::Kind::kRepeat)
    return repeated(to_dfa(expr.items[0], encoding, nullable, budget), expr.min, expr.max, budget);
  if (expr.kind != Expr::Kind::kSequence) return {};
  Dfa out{{Dfa::State{{}, {}, true}}};
  std::vector<const Expr*> parts;
  add_parts(expr, parts);
  for (const Expr* part : parts) {
    Dfa next = to_dfa(*part, encoding, nullable, budget);
    budget.spend(std::ssize(next.states));
    if (next.empty_language() || !append(out, std::move(next))) return {};
  }
  return out;
}

}  // namespace minimax::grammar
