#include "grammar/dfa.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"
#include "grammar/dfa_pieces.h"

namespace minimax::grammar {
namespace {

struct Nfa {
  struct Edge {
    int32_t first = 0, last = 0;  // bytes, or one symbol from kSymbols on
    int32_t to = 0;
  };
  struct State {
    std::vector<Edge> edges;
    std::vector<int32_t> empty, begin, end;  // followed always; at the beginning; at the end
  };
  static constexpr int32_t kSymbols = 256;
  std::vector<State> states;
};

// Thompson's construction, with the characters spelled out in bytes.
class Builder {
 public:
  Builder(Encoding encoding, const std::vector<bool>& nullable, Budget& budget)
      : encoding_(encoding), nullable_(nullable), budget_(budget) {
    add_state();
  }

  // Returns where `expr` ends if it begins in state `from`.
  int32_t build(const Expr& expr, int32_t from) {
    switch (expr.kind) {
      case Expr::Kind::kText:
        return build_text(expr.text, from);
      case Expr::Kind::kSet:
        return build_set(expr.set, from);
      case Expr::Kind::kSequence:
        for (const Expr& item : expr.items) from = build(item, from);
        return from;
      case Expr::Kind::kChoice: {
        if (const std::optional<Dfa> words = joined(expr, encoding_, nullable_, budget_))
          return build_dfa(*words, from);
        const int32_t end = add_state();
        for (const Expr& item : expr.items) {
          const int32_t begin = add_state();
          nfa.states[at(from)].empty.push_back(begin);
          nfa.states[at(build(item, begin))].empty.push_back(end);
        }
        return end;
      }
      case Expr::Kind::kRepeat:
        return build_repeat(expr, from);
      case Expr::Kind::kRule: {
        const int32_t end = build_symbol(expr.number, from);
        if (nullable_[static_cast<size_t>(expr.number)]) nfa.states[at(from)].empty.push_back(end);
        return end;
      }
      case Expr::Kind::kToken:
        return build_symbol(kTokenSymbol + expr.number, from);
      case Expr::Kind::kBegin: {
        const int32_t end = add_state();
        nfa.states[at(from)].begin.push_back(end);
        return end;
      }
      case Expr::Kind::kEnd: {
        const int32_t end = add_state();
        nfa.states[at(from)].end.push_back(end);
        return end;
      }
      case Expr::Kind::kGraph:
        return build_graph(expr, from);
      case Expr::Kind::kDfa:
        break;
    }
    return build_dfa(*expr.dfa, from);
  }

  Nfa nfa;

 private:
  static size_t at(int32_t state) { return static_cast<size_t>(state); }

  int32_t add_state() {
    budget_.spend();
    if (nfa.states.size() >= kNfaStatesMax) {
      throw Refusal{fmt::format("it has more than {} states (kNfaStatesMax)", kNfaStatesMax)};
    }
    nfa.states.emplace_back();
    return static_cast<int32_t>(nfa.states.size()) - 1;
  }

  int32_t build_symbol(int32_t symbol, int32_t from) {
    const int32_t end = add_state();
    nfa.states[at(from)].edges.push_back({Nfa::kSymbols + symbol, Nfa::kSymbols + symbol, end});
    return end;
  }

  int32_t build_bytes(std::string_view bytes, int32_t from) {
    for (const char c : bytes) {
      const int32_t next = add_state();
      const auto byte = static_cast<uint8_t>(c);
      nfa.states[at(from)].edges.push_back({byte, byte, next});
      from = next;
    }
    return from;
  }

  int32_t build_text(std::string_view value, int32_t from) {
    if (encoding_ == Encoding::kUtf8) return build_bytes(value, from);
    while (!value.empty()) {
      const utf8::Decoded decoded = utf8::decode(value);
      from = build_set({{decoded.code_point, decoded.code_point}}, from);
      value.remove_prefix(static_cast<size_t>(decoded.bytes));
    }
    return from;
  }

  int32_t build_set(const CharSet& set, int32_t from) {
    const int32_t end = add_state();
    if (encoding_ == Encoding::kUtf8) {
      build_utf8(set, from, end);
      return end;
    }
    static const CharSet kPlain = negated({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
    build_utf8(intersected(set, kPlain), from, end);
    int32_t escape = -1;
    for (const CharRange& range : set) {
      for (char32_t c = range.first; c <= range.last && c <= '\\'; ++c) {
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        if (escape < 0) escape = build_bytes("\\", from);
        build_escape(c, escape, end);
      }
    }
    return end;
  }

  void build_escape(char32_t c, int32_t from, int32_t end) {
    constexpr std::string_view kShort = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
    const size_t known = kShort.find(static_cast<char>(c));
    if (known != std::string_view::npos) {
      const auto letter = static_cast<uint8_t>(kLetters[known]);
      nfa.states[at(from)].edges.push_back({letter, letter, end});
      return;
    }
    const int32_t last = build_bytes(c < 0x10 ? "u000" : "u001", from);
    const auto digit = static_cast<int32_t>(c & 15);
    const int32_t lower = digit < 10 ? '0' + digit : 'a' + digit - 10;
    nfa.states[at(last)].edges.push_back({lower, lower, end});
    if (digit >= 10) nfa.states[at(last)].edges.push_back({'A' + digit - 10, 'A' + digit - 10, end});
  }

  void build_utf8(const CharSet& set, int32_t from, int32_t end) {
    for (const ByteSequence& sequence : utf8_sequences(set)) {
      int32_t state = from;
      for (int i = 0; i < sequence.length; ++i) {
        const int32_t next = i + 1 == sequence.length ? end : add_state();
        const ByteRange& range = sequence.bytes[static_cast<size_t>(i)];
        nfa.states[at(state)].edges.push_back({range.first, range.last, next});
        state = next;
      }
    }
  }

  int32_t build_repeat(const Expr& expr, int32_t from) {
    if (repeats_large(expr)) {
      const Expr round = automaton(to_dfa(expr.items[0], encoding_, nullable_, budget_));
      return build_repeat(repeat(round, expr.min, expr.max), from);
    }
    if (const std::optional<Dfa> counted = joined(expr, encoding_, nullable_, budget_))
      return build_dfa(*counted, from);
    for (int i = 0; i < expr.min; ++i) from = build(expr.items[0], from);
    if (expr.max < 0) {
      const int32_t loop = add_state(), end = add_state();
      nfa.states[at(from)].empty.push_back(loop);
      nfa.states[at(build(expr.items[0], loop))].empty.push_back(loop);
      nfa.states[at(loop)].empty.push_back(end);
      return end;
    }
    if (expr.max == expr.min) return from;
    const int32_t end = add_state();
    nfa.states[at(from)].empty.push_back(end);
    for (int i = expr.min; i < expr.max; ++i) {
      const int32_t begin = add_state();
      nfa.states[at(from)].empty.push_back(begin);
      from = build(expr.items[0], begin);
      nfa.states[at(from)].empty.push_back(end);
    }
    return end;
  }

  int32_t build_graph(const Expr& expr, int32_t from) {
    int last = 0;
    for (const Expr::Arc& arc : expr.graph) last = std::max({last, arc.from, arc.to});
    std::vector<int32_t> nodes;
    for (int i = 0; i <= last; ++i) nodes.push_back(add_state());
    const int32_t end = add_state();
    nfa.states[at(from)].empty.push_back(nodes[0]);
    for (const Expr::Arc& arc : expr.graph) {
      const int32_t begin = nodes[static_cast<size_t>(arc.from)], to = nodes[static_cast<size_t>(arc.to)];
      if (arc.item < 0) {
        nfa.states[at(begin)].empty.push_back(to);
        continue;
      }
      // A state of its own: an item that loops must not loop through the node.
      const int32_t first = add_state();
      nfa.states[at(begin)].empty.push_back(first);
      nfa.states[at(build(expr.items[static_cast<size_t>(arc.item)], first))].empty.push_back(to);
    }
    for (const int node : expr.ends) nfa.states[at(nodes[static_cast<size_t>(node)])].empty.push_back(end);
    return end;
  }

  int32_t build_dfa(const Dfa& dfa, int32_t from) {
    const auto base = static_cast<int32_t>(nfa.states.size());
    for (size_t i = 0; i < dfa.states.size(); ++i) add_state();
    const int32_t end = add_state();
    nfa.states[at(from)].empty.push_back(base);
    for (size_t i = 0; i < dfa.states.size(); ++i) {
      Nfa::State& state = nfa.states[at(base) + i];
      budget_.spend(std::ssize(dfa.states[i].edges));
      for (const Dfa::Edge& edge : dfa.states[i].edges)
        state.edges.push_back({edge.first, edge.last, base + edge.to});
      for (const Dfa::Call& call : dfa.states[i].calls) {
        state.edges.push_back({Nfa::kSymbols + call.symbol, Nfa::kSymbols + call.symbol, base + call.to});
      }
      if (dfa.states[i].final) state.empty.push_back(end);
    }
    return end;
  }

  const Encoding encoding_;
  const std::vector<bool>& nullable_;
  Budget& budget_;
};

struct SetHash {
  size_t operator()(const std::vector<int32_t>& set) const {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const int32_t state : set) hash = (hash ^ static_cast<uint32_t>(state)) * 0x100000001b3u;
    return hash ^ (hash >> 29);
  }
};

// The subset construction.
class Subsets {
 public:
  Subsets(const Nfa& nfa, int32_t final, Budget& budget)
      : nfa_(nfa), final_(final), budget_(budget), marks_(nfa.states.size(), 0) {}

  Dfa run() {
    number({0}, true);
    for (size_t i = 0; i < sets_.size(); ++i) expand(i);
    return std::move(dfa_);
  }

 private:
  // The states that are reached without reading anything.
  void close(std::vector<int32_t>& set, bool at_begin, bool at_end) {
    ++mark_;
    for (const int32_t state : set) marks_[static_cast<size_t>(state)] = mark_;
    for (size_t i = 0; i < set.size(); ++i) {
      const Nfa::State& state = nfa_.states[static_cast<size_t>(set[i])];
      budget_.spend(1 + std::ssize(state.empty));
      const auto follow = [&](const std::vector<int32_t>& targets) {
        for (const int32_t to : targets) {
          if (std::exchange(marks_[static_cast<size_t>(to)], mark_) != mark_) set.push_back(to);
        }
      };
      follow(state.empty);
      if (at_begin) follow(state.begin);
      if (at_end) follow(state.end);
    }
  }

  int32_t number(std::vector<int32_t> set, bool at_begin = false) {
    close(set, at_begin, false);
    // States that read nothing say nothing, but for those that may end.
    std::erase_if(set, [&](int32_t s) {
      const Nfa::State& state = nfa_.states[static_cast<size_t>(s)];
      return state.edges.empty() && state.end.empty() && s != final_;
    });
    std::ranges::sort(set);
    if (at_begin) set.push_back(-1);  // the beginning is like no other state: anchors hold there
    const auto [known, inserted] = numbers_.try_emplace(set, static_cast<int32_t>(sets_.size()));
    if (!inserted) return known->second;
    if (sets_.size() >= kStatesMax) {
      throw Refusal{fmt::format("it has more than {} states (kStatesMax)", kStatesMax)};
    }
    sets_.push_back(&known->first);
    Dfa::State& state = dfa_.states.emplace_back();
    if (at_begin) set.pop_back();
    close(set, at_begin, true);
    state.final = std::ranges::find(set, final_) != set.end();
    return known->second;
  }

  void expand(size_t index) {
    edges_.clear();
    calls_.clear();
    for (const int32_t s : *sets_[index]) {
      if (s < 0) continue;
      for (const Nfa::Edge& edge : nfa_.states[static_cast<size_t>(s)].edges) {
        (edge.first < Nfa::kSymbols ? edges_ : calls_).push_back(edge);
      }
    }
    budget_.spend(2 + std::ssize(edges_) + std::ssize(calls_));
    expand_calls(index);
    if (edges_.empty()) return;
    std::vector<Dfa::Edge> out = in_pieces(
        edges_, budget_, [this](std::vector<int32_t> targets) { return number(std::move(targets)); });
    dfa_.states[index].edges = std::move(out);
  }

  void expand_calls(size_t index) {
    std::ranges::stable_sort(calls_, {}, &Nfa::Edge::first);
    for (size_t i = 0; i < calls_.size();) {
      const int32_t symbol = calls_[i].first;
      std::vector<int32_t> targets;
      for (; i < calls_.size() && calls_[i].first == symbol; ++i) targets.push_back(calls_[i].to);
      std::ranges::sort(targets);
      targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
      const int32_t to = number(std::move(targets));
      dfa_.states[index].calls.push_back({symbol - Nfa::kSymbols, to});
    }
  }

  const Nfa& nfa_;
  const int32_t final_;
  Budget& budget_;
  Dfa dfa_;
  std::unordered_map<std::vector<int32_t>, int32_t, SetHash> numbers_;
  std::vector<const std::vector<int32_t>*> sets_;  // keys of numbers_
  std::vector<int64_t> marks_;
  int64_t mark_ = 0;
  std::vector<Nfa::Edge> edges_, calls_;
};

// Drops the states from which no end can be reached. The beginning stays.
Dfa trimmed(Dfa dfa) {
  const size_t count = dfa.states.size();
  std::vector<std::vector<int32_t>> from(count);
  std::vector<int32_t> work;
  std::vector<bool> live(count, false);
  for (size_t i = 0; i < count; ++i) {
    for (const Dfa::Edge& edge : dfa.states[i].edges)
      from[static_cast<size_t>(edge.to)].push_back(static_cast<int32_t>(i));
    for (const Dfa::Call& call : dfa.states[i].calls)
      from[static_cast<size_t>(call.to)].push_back(static_cast<int32_t>(i));
    if (!dfa.states[i].final) continue;
    live[i] = true;
    work.push_back(static_cast<int32_t>(i));
  }
  while (!work.empty()) {
    const int32_t state = work.back();
    work.pop_back();
    for (const int32_t source : from[static_cast<size_t>(state)]) {
      if (live[static_cast<size_t>(source)]) continue;
      live[static_cast<size_t>(source)] = true;
      work.push_back(source);
    }
  }
  live[0] = true;
  std::vector<int32_t> renamed(count, -1);
  Dfa out;
  for (size_t i = 0; i < count; ++i) {
    if (!live[i]) continue;
    renamed[i] = static_cast<int32_t>(out.states.size());
    out.states.push_back(std::move(dfa.states[i]));
  }
  const auto dead = [&](const auto& edge) { return renamed[static_cast<size_t>(edge.to)] < 0; };
  for (Dfa::State& state : out.states) {
    std::erase_if(state.edges, dead);
    std::erase_if(state.calls, dead);
    for (Dfa::Edge& edge : state.edges) edge.to = renamed[static_cast<size_t>(edge.to)];
    for (Dfa::Call& call : state.calls) call.to = renamed[static_cast<size_t>(call.to)];
  }
  // Nothing leads on from a beginning that leads nowhere.
  return out;
}

// States of both read in step; -1: `b` is lost, which only a difference survives.
Dfa product(const Dfa& a, const Dfa& b, bool subtract, Budget& budget) {
  Dfa out;
  std::unordered_map<int64_t, int32_t> numbers;
  std::vector<std::pair<int32_t, int32_t>> pairs;
  const auto number = [&](int32_t x, int32_t y) {
    const int64_t key = int64_t{x} << 32 | static_cast<uint32_t>(y);
    const auto [known, inserted] = numbers.try_emplace(key, static_cast<int32_t>(pairs.size()));
    if (inserted) {
      budget.spend();
      if (pairs.size() >= kStatesMax)
        throw Refusal{fmt::format("it has more than {} states (kStatesMax)", kStatesMax)};
      pairs.emplace_back(x, y);
      Dfa::State& state = out.states.emplace_back();
      const bool in_b = y >= 0 && b.states[static_cast<size_t>(y)].final;
      state.final = a.states[static_cast<size_t>(x)].final && in_b != subtract;
    }
    return known->second;
  };
  static const std::vector<Dfa::Edge> kNone;
  number(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    std::vector<Dfa::Edge> edges;
    const std::vector<Dfa::Edge>& theirs = y < 0 ? kNone : b.states[static_cast<size_t>(y)].edges;
    for (const Dfa::Edge& edge : a.states[static_cast<size_t>(x)].edges) {
      int next = edge.first;
      for (const Dfa::Edge& other : theirs) {
        budget.spend();
        const int first = std::max<int>(next, other.first), last = std::min(edge.last, other.last);
        if (first > last) continue;
        if (subtract && first > next) add_merged(edges, next, first - 1, number(edge.to, -1));
        add_merged(edges, first, last, number(edge.to, other.to));
        next = last + 1;
      }
      if (subtract && next <= edge.last) add_merged(edges, next, edge.last, number(edge.to, -1));
    }
    out.states[i].edges = std::move(edges);
  }
  return trimmed(std::move(out));
}

}  // namespace

Dfa to_dfa(const Expr& expr, Encoding encoding, const std::vector<bool>& nullable, Budget& budget) {
  if (repeats_large(expr)) {
    const Expr round = automaton(to_dfa(expr.items[0], encoding, nullable, budget));
    return to_dfa(repeat(round, expr.min, expr.max), encoding, nullable, budget);
  }
  if (std::optional<Dfa> quick = joined(expr, encoding, nullable, budget)) return std::move(*quick);
  Builder builder(encoding, nullable, budget);
  const int32_t final = builder.build(expr, 0);
  return trimmed(Subsets(builder.nfa, final, budget).run());
}

Dfa intersection(const Dfa& a, const Dfa& b, Budget& budget) {
  return product(a, b, false, budget);
}

Dfa difference(const Dfa& a, const Dfa& b, Budget& budget) {
  return product(a, b, true, budget);
}

Expr automaton(Dfa dfa) {
  Expr out;
  out.kind = Expr::Kind::kDfa;
  out.dfa = std::make_shared<const Dfa>(std::move(dfa));
  return out;
}

}  // namespace minimax::grammar
