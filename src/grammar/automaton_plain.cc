// How many plain characters a state surely reads, and at most: what lets a mask be put together from parts
// that are known beforehand (vocabulary.h).

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "grammar/automaton.h"

namespace minimax::grammar {
namespace {

using State = Automaton::State;

// What may stand at some place inside a character: ranges of bytes, each with the place after it.
struct Place {
  struct Part {
    uint8_t first, last;
    int then;  // a place; kWhole: the character ends
  };
  std::vector<Part> parts;
};
constexpr int kWhole = -1;
enum { kBegin, kOne, kTwo, kThree, kAfterE0, kAfterED, kAfterF0, kAfterF4, kAfterE2, kAfterE280, kPlaces };

const std::array<Place, kPlaces>& places() {
  static const std::array<Place, kPlaces> kAll = {{
      {{{0x20, 0x21, kWhole},
        {0x23, 0x5B, kWhole},
        {0x5D, 0x7F, kWhole},
        {0xC2, 0xDF, kOne},
        {0xE0, 0xE0, kAfterE0},
        {0xE1, 0xE1, kTwo},
        {0xE2, 0xE2, kAfterE2},
        {0xE3, 0xEC, kTwo},
        {0xED, 0xED, kAfterED},
        {0xEE, 0xEF, kTwo},
        {0xF0, 0xF0, kAfterF0},
        {0xF1, 0xF3, kThree},
        {0xF4, 0xF4, kAfterF4}}},
      {{{0x80, 0xBF, kWhole}}},
      {{{0x80, 0xBF, kOne}}},
      {{{0x80, 0xBF, kTwo}}},
      {{{0xA0, 0xBF, kOne}}},
      {{{0x80, 0x9F, kOne}}},
      {{{0x90, 0xBF, kTwo}}},
      {{{0x80, 0x8F, kTwo}}},
      {{{0x80, 0x80, kAfterE280}, {0x81, 0xBF, kOne}}},
      {{{0x80, 0xA7, kWhole}, {0xAA, 0xBF, kWhole}}},
  }};
  return kAll;
}

// The state itself; or, if it does nothing but call a rule and end, where that begins.
int32_t stands_for(const Automaton& automaton, int32_t id) {
  for (;;) {
    const State& state = automaton.state(id);
    const std::span<const Automaton::Call> calls = automaton.calls(state);
    const bool passes = !state.final && calls.size() == 1 && automaton.edges(state).empty() &&
                        automaton.tokens(state).empty() && automaton.state(calls[0].to).ends;
    if (!passes) return id;
    id = automaton.start(calls[0].rule);
  }
}

// After one plain character.
struct Reached {
  bool any = false;  // some plain character can be read
  bool all = true;   // all of them can
  int32_t begin = 0, end = 0;
};

// Lists of states, one after the other: there may be a hundred thousand of them.
class Counter {
 public:
  Counter(const Automaton& automaton, Budget& budget)
      : automaton_(automaton), budget_(budget), known_(automaton.size() * kPlaces, kNotAsked) {}

  Reached reached(int32_t id, int place) {
    const size_t key = static_cast<size_t>(id) * kPlaces + static_cast<size_t>(place);
    if (known_[key] != kNotAsked) return found_[static_cast<size_t>(known_[key])];
    if (const int32_t same = stands_for(automaton_, id); same != id) return reached(same, place);
    Reached out;
    const size_t mine = scratch_.size();
    const std::span<const Dfa::Edge> edges = automaton_.edges(automaton_.state(id));
    size_t at = 0;
    for (const Place::Part& part : places()[static_cast<size_t>(place)].parts) {
      int next = part.first;
      while (at < edges.size() && edges[at].last < part.first) ++at;
      for (size_t i = at; i < edges.size() && edges[i].first <= part.last; ++i) {
        budget_.spend();
        const int first = std::max(part.first, edges[i].first), last = std::min(part.last, edges[i].last);
        if (first > next) out.all = false;
        next = last + 1;
        if (part.then == kWhole) {
          out.any = true;
          scratch_.push_back(edges[i].to);
          continue;
        }
        const Reached inner = reached(edges[i].to, part.then);
        out.any = out.any || inner.any;
        out.all = out.all && inner.all;
        budget_.spend(inner.end - inner.begin);
        for (const int32_t state : states(inner)) scratch_.push_back(state);
      }
      if (next <= part.last) out.all = false;
    }
    // A call may read on, and so may the caller of a rule that ends here.
    const auto begin = scratch_.begin() + static_cast<std::ptrdiff_t>(mine);
    std::sort(begin, scratch_.end());
    out.begin = static_cast<int32_t>(states_.size());
    states_.insert(states_.end(), begin, std::unique(begin, scratch_.end()));
    out.end = static_cast<int32_t>(states_.size());
    scratch_.resize(mine);
    known_[key] = static_cast<int32_t>(found_.size());
    found_.push_back(out);
    return out;
  }

  std::span<const int32_t> states(const Reached& reached) const {
    return std::span(states_).subspan(static_cast<size_t>(reached.begin),
                                      static_cast<size_t>(reached.end - reached.begin));
  }

 private:
  static constexpr int32_t kNotAsked = -1;

  const Automaton& automaton_;
  Budget& budget_;
  std::vector<int32_t> known_;  // [states, places]: into found_
  std::vector<Reached> found_;
  std::vector<int32_t> states_, scratch_;
};

// Who leads where: the sources of each state.
class Sources {
 public:
  Sources(size_t count, std::span<const std::pair<int32_t, int32_t>> steps)
      : begins_(count + 1, 0), all_(steps.size()) {
    for (const auto& [from, to] : steps) ++begins_[static_cast<size_t>(to) + 1];
    for (size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
    std::vector<size_t> at(begins_.begin(), begins_.end() - 1);
    for (const auto& [from, to] : steps) all_[at[static_cast<size_t>(to)]++] = from;
  }
  std::span<const int32_t> of(int32_t state) const {
    const auto i = static_cast<size_t>(state);
    return std::span(all_).subspan(begins_[i], begins_[i + 1] - begins_[i]);
  }

 private:
  std::vector<size_t> begins_;
  std::vector<int32_t> all_;
};

using Steps = std::vector<std::pair<int32_t, int32_t>>;

// Shortest way, in characters, to a state that does not read all of them.
void count_min(const Counter& counter, const std::vector<Reached>& reached, std::vector<State>& states) {
  Steps steps;
  std::vector<int32_t> level, next;
  for (size_t i = 0; i < states.size(); ++i) {
    states[i].plain_min = kManyChars;
    const auto id = static_cast<int32_t>(i);
    if (!reached[i].all) {
      states[i].plain_min = 0;
      level.push_back(id);
    } else {
      for (const int32_t to : counter.states(reached[i])) steps.emplace_back(id, to);
    }
  }
  const Sources sources(states.size(), steps);
  for (int16_t chars = 1; !level.empty() && chars < kManyChars; ++chars) {
    next.clear();
    for (const int32_t state : level) {
      for (const int32_t source : sources.of(state)) {
        int16_t& min = states[static_cast<size_t>(source)].plain_min;
        if (min <= chars) continue;
        min = chars;
        next.push_back(source);
      }
    }
    level.swap(next);
  }
}

// Longest way, in characters, where it is bounded: from the states that read none, backwards.
void count_max(const Automaton& automaton, const Counter& counter, const std::vector<Reached>& reached,
               size_t outermost, std::vector<State>& states) {
  Steps steps;
  std::vector<int32_t> open(states.size(), 0);
  std::vector<int32_t> work;
  for (size_t i = 0; i < states.size(); ++i) {
    states[i].plain_max = kManyChars;
    const auto id = static_cast<int32_t>(i);
    const State& state = states[static_cast<size_t>(stands_for(automaton, id))];
    const bool returns = state.final && i >= outermost;  // to a caller, which may read on
    const bool bounded = !returns && state.calls_begin == state.calls_end;
    if (!bounded) continue;
    open[i] = reached[i].end - reached[i].begin;
    for (const int32_t to : counter.states(reached[i])) steps.emplace_back(id, to);
    if (open[i] > 0) continue;
    states[i].plain_max = 0;
    work.push_back(id);
  }
  const Sources sources(states.size(), steps);
  while (!work.empty()) {
    const int32_t state = work.back();
    work.pop_back();
    for (const int32_t source : sources.of(state)) {
      if (--open[static_cast<size_t>(source)] > 0) continue;
      int16_t max = 0;
      for (const int32_t to : counter.states(reached[static_cast<size_t>(source)])) {
        max = std::max(max, states[static_cast<size_t>(to)].plain_max);
      }
      states[static_cast<size_t>(source)].plain_max =
          max < kManyChars - 1 ? static_cast<int16_t>(max + 1) : kManyChars;
      work.push_back(source);
    }
  }
}

}  // namespace

void count_plain(const Automaton& automaton, size_t outermost, std::vector<State>& states, Budget& budget) {
  Counter counter(automaton, budget);
  std::vector<Reached> reached;
  reached.reserve(states.size());
  for (size_t i = 0; i < states.size(); ++i)
    reached.push_back(counter.reached(static_cast<int32_t>(i), kBegin));
  count_min(counter, reached, states);
  count_max(automaton, counter, reached, outermost, states);
}

}  // namespace minimax::grammar
