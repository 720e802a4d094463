#include "grammar/automaton.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/check.h"

namespace minimax::grammar {
namespace {

// Rules so small that their text is put in the place of their call: fewer returns while matching.
constexpr int kInlineNodesMax = 48;

bool is_nullable(const Expr& expr, const std::vector<bool>& known);

bool is_nullable_graph(const Expr& expr, const std::vector<bool>& known) {
  std::vector<int> reached{0};
  for (size_t i = 0; i < reached.size(); ++i) {
    if (std::ranges::find(expr.ends, reached[i]) != expr.ends.end()) return true;
    for (const Expr::Arc& arc : expr.graph) {
      if (arc.from != reached[i] || std::ranges::find(reached, arc.to) != reached.end()) continue;
      if (arc.item < 0 || is_nullable(expr.items[static_cast<size_t>(arc.item)], known))
        reached.push_back(arc.to);
    }
  }
  return false;
}

bool is_nullable(const Expr& expr, const std::vector<bool>& known) {
  switch (expr.kind) {
    case Expr::Kind::kText:
      return expr.text.empty();
    case Expr::Kind::kSequence:
      return std::ranges::all_of(expr.items, [&](const Expr& e) { return is_nullable(e, known); });
    case Expr::Kind::kChoice:
      return std::ranges::any_of(expr.items, [&](const Expr& e) { return is_nullable(e, known); });
    case Expr::Kind::kRepeat:
      return expr.min == 0 || is_nullable(expr.items[0], known);
    case Expr::Kind::kRule:
      return known[static_cast<size_t>(expr.number)];
    case Expr::Kind::kDfa:
      return expr.dfa->states[0].final;
    case Expr::Kind::kGraph:
      return is_nullable_graph(expr, known);
    case Expr::Kind::kSet:
    case Expr::Kind::kToken:
      return false;
    case Expr::Kind::kBegin:
    case Expr::Kind::kEnd:
      break;
  }
  return true;
}

std::vector<bool> find_nullable(const Grammar& grammar, Budget& budget) {
  std::vector<bool> known(grammar.rules.size(), false);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < known.size(); ++i) {
      budget.spend(4);
      if (known[i] || !is_nullable(grammar.rules[i].body, known)) continue;
      known[i] = changed = true;
    }
  }
  return known;
}

// Nodes of the tree; more than `most` if it calls a rule.
int size_without_calls(const Expr& expr, int most) {
  if (expr.kind == Expr::Kind::kRule) return most + 1;
  if (expr.kind == Expr::Kind::kDfa)
    return static_cast<int>(std::min<size_t>(expr.dfa->states.size(), static_cast<size_t>(most) + 1));
  int size = 1 + static_cast<int>(expr.text.size() / 8 + expr.set.size() / 4);
  for (const Expr& item : expr.items) {
    size += size_without_calls(item, most) *
            (expr.kind == Expr::Kind::kRepeat ? std::max({1, expr.min, expr.max}) : 1);
    if (size > most) return most + 1;
  }
  return size;
}

void inline_calls(Expr& expr, const Grammar& grammar, const std::vector<bool>& small, Budget& budget) {
  budget.spend();
  if (expr.kind == Expr::Kind::kRule && small[static_cast<size_t>(expr.number)]) {
    expr = grammar.rules[static_cast<size_t>(expr.number)].body;
    return;
  }
  for (Expr& item : expr.items) inline_calls(item, grammar, small, budget);
}

// The branches of an anyOf begin alike, and to follow a hundred of them at once costs a hundredfold at each
// byte. As one automaton they take the states of all again, so none is part of many: `unions` counts them by
// rule.
std::optional<Dfa> with_branches_united(const Expr& body, const Grammar& grammar,
                                        const std::vector<bool>& nullable, std::vector<int>& unions,
                                        Budget& budget) {
  constexpr std::ptrdiff_t kManyBranches = 8;
  constexpr int kUnionsMax = 3;
  const auto is_call = [](const Expr& item) { return item.kind == Expr::Kind::kRule; };
  if (body.kind != Expr::Kind::kChoice || std::ranges::count_if(body.items, is_call) < kManyBranches)
    return {};
  for (const Expr& item : body.items) {
    if (is_call(item) && ++unions[static_cast<size_t>(item.number)] > kUnionsMax) return {};
  }
  std::vector<Dfa> parts;
  for (const Expr& item : body.items) {
    const Expr& part = is_call(item) ? grammar.rules[static_cast<size_t>(item.number)].body : item;
    parts.push_back(to_dfa(part, Encoding::kUtf8, nullable, budget));
  }
  return united(std::move(parts), kStatesMax / 4, budget);
}

// A few rounds: rules that become free of calls by the first are small for the second.
Grammar with_small_rules_inlined(Grammar grammar, Budget& budget) {
  if (!grammar.inline_small_rules) return grammar;
  for (int round = 0; round < 4; ++round) {
    std::vector<bool> small(grammar.rules.size(), false);
    for (size_t i = 1; i < small.size(); ++i) {
      const Rule& rule = grammar.rules[i];
      small[i] = rule.rest_of < 0 && size_without_calls(rule.body, kInlineNodesMax) <= kInlineNodesMax;
    }
    for (Rule& rule : grammar.rules) inline_calls(rule.body, grammar, small, budget);
  }
  return grammar;
}

void drop_dead(Dfa& dfa, const std::vector<bool>& productive) {
  bool all_productive = true;
  for (Dfa::State& state : dfa.states) {
    const size_t dropped = std::erase_if(state.calls, [&](const Dfa::Call& call) {
      return call.symbol < kTokenSymbol && !productive[static_cast<size_t>(call.symbol)];
    });
    all_productive = all_productive && dropped == 0;
  }
  if (all_productive) return;
  std::vector<std::vector<int32_t>> from(dfa.states.size());
  std::vector<bool> live(dfa.states.size(), false);
  std::vector<int32_t> work;
  for (size_t i = 0; i < dfa.states.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    for (const Dfa::Edge& edge : dfa.states[i].edges) from[static_cast<size_t>(edge.to)].push_back(id);
    for (const Dfa::Call& call : dfa.states[i].calls) from[static_cast<size_t>(call.to)].push_back(id);
    if (dfa.states[i].final) live[i] = true, work.push_back(id);
  }
  while (!work.empty()) {
    const int32_t state = work.back();
    work.pop_back();
    for (const int32_t source : from[static_cast<size_t>(state)]) {
      if (!live[static_cast<size_t>(source)])
        live[static_cast<size_t>(source)] = true, work.push_back(source);
    }
  }
  const auto dead = [&](const auto& edge) { return !live[static_cast<size_t>(edge.to)]; };
  for (Dfa::State& state : dfa.states) {
    std::erase_if(state.edges, dead);
    std::erase_if(state.calls, dead);
  }
}

// A rule is productive if some text matches it.
bool reaches_end(const Dfa& dfa, const std::vector<bool>& productive) {
  std::vector<bool> seen(dfa.states.size(), false);
  std::vector<int32_t> work{0};
  seen[0] = true;
  const auto visit = [&](int32_t to) {
    if (!seen[static_cast<size_t>(to)]) seen[static_cast<size_t>(to)] = true, work.push_back(to);
  };
  while (!work.empty()) {
    const Dfa::State& state = dfa.states[static_cast<size_t>(work.back())];
    work.pop_back();
    if (state.final) return true;
    for (const Dfa::Edge& edge : state.edges) visit(edge.to);
    for (const Dfa::Call& call : state.calls) {
      if (call.symbol >= kTokenSymbol || productive[static_cast<size_t>(call.symbol)]) visit(call.to);
    }
  }
  return false;
}

void find_productive(const Grammar& grammar, const std::vector<Dfa>& rules, std::vector<bool>& productive,
                     Budget& budget) {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < rules.size(); ++i) {
      // Every state of a rule can reach its end, if its beginning can.
      const int32_t whole = grammar.rules[i].rest_of;
      if (whole >= 0 && !productive[i] && productive[static_cast<size_t>(whole)])
        productive[i] = changed = true;
      if (productive[i] || rules[i].states.empty()) continue;
      budget.spend(std::ssize(rules[i].states));
      if (reaches_end(rules[i], productive)) productive[i] = changed = true;
    }
  }
}

// Where the characters lead that the rule counts from its beginning on.
std::vector<int32_t> counted_places(const Dfa& dfa, Budget& budget) {
  std::vector<int32_t> places{0};
  while (places.size() < dfa.states.size()) {
    const std::vector<Dfa::Edge>& edges = dfa.states[static_cast<size_t>(places.back())].edges;
    budget.spend();
    const auto next = std::ranges::find_if(
        edges, [](const Dfa::Edge& e) { return e.first <= Rule::kCounted && Rule::kCounted <= e.last; });
    if (next == edges.end()) break;
    places.push_back(next->to);
  }
  return places;
}

}  // namespace

bool is_plain(char32_t c) {
  return c >= 0x20 && c != '"' && c != '\\' && c != 0x2028 && c != 0x2029;
}

Automaton::Automaton(const Grammar& source, Budget& budget) {
  if (source.rules.size() > kRulesMax) {
    throw Refusal{fmt::format("it has {} rules, more than {} (kRulesMax)", source.rules.size(), kRulesMax)};
  }
  const Grammar grammar = with_small_rules_inlined(source, budget);
  const size_t count = grammar.rules.size();
  const std::vector<bool> nullable = find_nullable(grammar, budget);
  std::vector<Dfa> dfas(count);
  std::vector<int> unions(count, 0);
  std::vector<int32_t> work{0};
  size_t states = 0;
  while (!work.empty()) {
    const auto rule = static_cast<size_t>(work.back());
    work.pop_back();
    if (!dfas[rule].states.empty()) continue;
    if (grammar.rules[rule].rest_of >= 0) {
      work.push_back(grammar.rules[rule].rest_of);
      continue;
    }
    const Expr& body = grammar.rules[rule].body;
    std::optional<Dfa> whole = with_branches_united(body, grammar, nullable, unions, budget);
    dfas[rule] = whole ? std::move(*whole) : to_dfa(body, Encoding::kUtf8, nullable, budget);
    states += dfas[rule].states.size();
    if (states > kStatesMax)
      throw Refusal{fmt::format("it has more than {} states (kStatesMax)", kStatesMax)};
    for (const Dfa::State& state : dfas[rule].states) {
      for (const Dfa::Call& call : state.calls) {
        if (call.symbol < kTokenSymbol) work.push_back(call.symbol);
      }
    }
  }
  std::vector<bool> productive(count, false);
  find_productive(grammar, dfas, productive, budget);
  if (!productive[0]) throw Refusal{"there is no text that it matches"};
  starts_.assign(count, -1);
  for (size_t i = 0; i < count; ++i) {
    if (dfas[i].states.empty() || !productive[i]) continue;
    drop_dead(dfas[i], productive);
    starts_[i] = static_cast<int32_t>(states_.size());
    add_rule(dfas[i]);
  }
  begin_inside(grammar, dfas, budget);
  order_rules(grammar);
  const bool called = std::ranges::any_of(calls_, [](const Call& call) { return call.rule == 0; });
  count_plain(*this, called ? 0 : dfas[0].states.size(), states_, budget);
}

// The beginnings of rules that are the rest of another.
void Automaton::begin_inside(const Grammar& grammar, const std::vector<Dfa>& dfas, Budget& budget) {
  std::map<size_t, std::vector<int32_t>> places;
  for (size_t i = 0; i < starts_.size(); ++i) {
    const Rule& rule = grammar.rules[i];
    const auto whole = static_cast<size_t>(rule.rest_of);
    if (rule.rest_of < 0 || starts_[whole] < 0) continue;
    std::vector<int32_t>& counted = places[whole];
    if (counted.empty()) counted = counted_places(dfas[whole], budget);
    CHECK(static_cast<size_t>(rule.left) < counted.size());
    starts_[i] = starts_[whole] + counted[counted.size() - 1 - static_cast<size_t>(rule.left)];
  }
}

void Automaton::add_rule(const Dfa& dfa) {
  const auto base = static_cast<int32_t>(states_.size());
  for (const Dfa::State& from : dfa.states) {
    State state;
    state.edges_begin = static_cast<int32_t>(edges_.size());
    state.calls_begin = static_cast<int32_t>(calls_.size());
    state.tokens_begin = static_cast<int32_t>(tokens_.size());
    for (const Dfa::Edge& edge : from.edges) edges_.push_back({edge.first, edge.last, base + edge.to});
    for (const Dfa::Call& call : from.calls) {
      if (call.symbol >= kTokenSymbol) {
        tokens_.push_back({call.symbol - kTokenSymbol, base + call.to});
      } else {
        calls_.push_back({call.symbol, base + call.to});
      }
    }
    state.edges_end = static_cast<int32_t>(edges_.size());
    state.calls_end = static_cast<int32_t>(calls_.size());
    state.tokens_end = static_cast<int32_t>(tokens_.size());
    state.final = from.final;
    state.ends = from.final && from.edges.empty() && from.calls.empty();
    states_.push_back(state);
  }
}

// Depth first over the calls that a rule makes before reading anything.
void Automaton::order_rules(const Grammar& grammar) {
  const size_t count = starts_.size();
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> marks(count, kNew);
  ranks_.assign(count, -1);
  std::vector<int32_t> order;  // callees first
  struct Frame {
    int32_t rule;
    size_t next;
  };
  for (size_t root = 0; root < count; ++root) {
    if (starts_[root] < 0 || marks[root] != kNew) continue;
    std::vector<Frame> stack{{static_cast<int32_t>(root), 0}};
    marks[root] = kOpen;
    while (!stack.empty()) {
      Frame& top = stack.back();
      const std::span<const Call> called = calls(state(starts_[static_cast<size_t>(top.rule)]));
      if (top.next == called.size()) {
        marks[static_cast<size_t>(top.rule)] = kDone;
        order.push_back(top.rule);
        stack.pop_back();
        continue;
      }
      const int32_t callee = called[top.next++].rule;
      uint8_t& mark = marks[static_cast<size_t>(callee)];
      if (mark == kOpen) {
        throw Refusal{
            fmt::format("rule {} is left-recursive: it can call itself before anything is read; write the "
                        "repetition with * or with the recursion at the end",
                        grammar.rules[static_cast<size_t>(callee)].name)};
      }
      if (mark == kNew) {
        mark = kOpen;
        stack.push_back({callee, 0});
      }
    }
  }
  by_rank_.assign(order.rbegin(), order.rend());
  for (size_t i = 0; i < by_rank_.size(); ++i)
    ranks_[static_cast<size_t>(by_rank_[i])] = static_cast<int32_t>(i);
}

int32_t Automaton::next(int32_t id, uint8_t byte) const {
  const std::span<const Dfa::Edge> all = edges(state(id));
  if (all.size() <= 8) {
    for (const Dfa::Edge& edge : all) {
      if (byte <= edge.last) return byte >= edge.first ? edge.to : -1;
    }
    return -1;
  }
  const auto found = std::ranges::lower_bound(all, byte, {}, &Dfa::Edge::last);
  return found != all.end() && byte >= found->first ? found->to : -1;
}

}  // namespace minimax::grammar
