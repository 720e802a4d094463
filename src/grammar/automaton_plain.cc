// How many plain characters a state surely reads, and at most: what lets a mask be put together from parts
// that are known beforehand (vocabulary.h).

#include <algorithm>
#include <array>
#include <unordered_map>

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

// After one plain character.
struct Reached {
  bool any = false;  // some plain character can be read
  bool all = true;   // all of them can
  std::vector<int32_t> states;
};

class Counter {
 public:
  Counter(const Automaton& automaton, Budget& budget) : automaton_(automaton), budget_(budget) {}

  const Reached& reached(int32_t id, int place) {
    const int64_t key = int64_t{id} * kPlaces + place;
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    Reached out;
    const State& state = automaton_.state(id);
    const std::span<const Dfa::Edge> edges = automaton_.edges(state);
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
          out.states.push_back(edges[i].to);
          continue;
        }
        const Reached& inner = reached(edges[i].to, part.then);
        out.any = out.any || inner.any;
        out.all = out.all && inner.all;
        out.states.insert(out.states.end(), inner.states.begin(), inner.states.end());
      }
      if (next <= part.last) out.all = false;
    }
    // A call may read on, and so may the caller of a rule that ends here.
    std::ranges::sort(out.states);
    out.states.erase(std::unique(out.states.begin(), out.states.end()), out.states.end());
    return known_.emplace(key, std::move(out)).first->second;
  }

 private:
  const Automaton& automaton_;
  Budget& budget_;
  std::unordered_map<int64_t, Reached> known_;
};

// Shortest way, in characters, to a state that does not read all of them.
void count_min(const std::vector<const Reached*>& reached, std::vector<State>& states) {
  std::vector<std::vector<int32_t>> from(states.size());
  std::vector<int32_t> level, next;
  for (size_t i = 0; i < states.size(); ++i) {
    states[i].plain_min = kManyChars;
    if (!reached[i]->all) {
      states[i].plain_min = 0;
      level.push_back(static_cast<int32_t>(i));
    } else {
      for (const int32_t to : reached[i]->states)
        from[static_cast<size_t>(to)].push_back(static_cast<int32_t>(i));
    }
  }
  for (int16_t chars = 1; !level.empty() && chars < kManyChars; ++chars) {
    next.clear();
    for (const int32_t state : level) {
      for (const int32_t source : from[static_cast<size_t>(state)]) {
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
void count_max(const std::vector<const Reached*>& reached, std::vector<State>& states) {
  std::vector<std::vector<int32_t>> from(states.size());
  std::vector<size_t> open(states.size(), 0);
  std::vector<int32_t> work;
  for (size_t i = 0; i < states.size(); ++i) {
    states[i].plain_max = kManyChars;
    const bool bounded = !states[i].final && states[i].calls_begin == states[i].calls_end;
    if (!bounded) continue;
    open[i] = reached[i]->states.size();
    for (const int32_t to : reached[i]->states)
      from[static_cast<size_t>(to)].push_back(static_cast<int32_t>(i));
    if (open[i] > 0) continue;
    states[i].plain_max = 0;
    work.push_back(static_cast<int32_t>(i));
  }
  while (!work.empty()) {
    const int32_t state = work.back();
    work.pop_back();
    for (const int32_t source : from[static_cast<size_t>(state)]) {
      if (--open[static_cast<size_t>(source)] > 0) continue;
      int16_t max = 0;
      for (const int32_t to : reached[static_cast<size_t>(source)]->states) {
        max = std::max(max, states[static_cast<size_t>(to)].plain_max);
      }
      states[static_cast<size_t>(source)].plain_max =
          max < kManyChars - 1 ? static_cast<int16_t>(max + 1) : kManyChars;
      work.push_back(source);
    }
  }
}

}  // namespace

void count_plain(const Automaton& automaton, std::vector<State>& states, Budget& budget) {
  Counter counter(automaton, budget);
  std::vector<const Reached*> reached;
  reached.reserve(states.size());
  // Pointers into an unordered_map stay valid.
  for (size_t i = 0; i < states.size(); ++i)
    reached.push_back(&counter.reached(static_cast<int32_t>(i), kBegin));
  count_min(reached, states);
  count_max(reached, states);
}

}  // namespace minimax::grammar
