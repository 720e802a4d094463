// Masks of constraints that count characters of a set: see byte_runs.h.

#include <algorithm>
#include <array>
#include <unordered_map>

#include "grammar/machine.h"

namespace minimax::grammar {
namespace {

constexpr size_t kRunsMax = 4;            // sets known beforehand, of one machine
constexpr int kSetBytesMin = 24;          // in smaller sets (hexadecimal digits) a walk meets few tokens
constexpr size_t kPreparedMax = 160'000;  // tokens sorted into tries for them, 0.2 us each
constexpr int kStatesMin = 6;             // with the set: else masks are kept, and that is enough
constexpr int kLikesAsked = 8;            // of the states with edges for the same bytes, for their sets

ByteSet bytes_between(int first, int last) {
  return ~ByteSet() >> static_cast<size_t>(255 - last + first) << static_cast<size_t>(first);
}

ByteSet bytes_of(const Dfa::Edge& edge) {
  return bytes_between(edge.first, edge.last);
}

const ByteSet& ascii() {
  static const ByteSet kAscii = bytes_between(0, 0x7F);
  return kAscii;
}

// The bytes that lead to one place from here, of all places the one with most.
std::pair<ByteSet, int32_t> widest(std::span<const Dfa::Edge> edges) {
  std::pair<ByteSet, int32_t> best{{}, -1};
  for (const Dfa::Edge& edge : edges) {
    if (edge.to == best.second) continue;
    ByteSet set;
    for (const Dfa::Edge& other : edges) {
      if (other.to == edge.to) set |= bytes_of(other);
    }
    if (set.count() > best.first.count()) best = {set, edge.to};
  }
  return best;
}

// Of states alike: the copies of a count differ in nothing but where they lead.
uint64_t shape_of(std::span<const Dfa::Edge> edges) {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const Dfa::Edge& edge : edges) {
    const auto same = std::ranges::find(edges, edge.to, &Dfa::Edge::to) - edges.begin();
    hash = (hash ^ (uint64_t{edge.first} << 16 | uint64_t{edge.last} << 8 | static_cast<uint64_t>(same))) *
           0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

int count_bytes(std::span<const Dfa::Edge> edges) {
  int count = 0;
  for (const Dfa::Edge& edge : edges) count += edge.last - edge.first + 1;
  return count;
}

ByteSet read_by(std::span<const Dfa::Edge> edges) {
  ByteSet out;
  for (const Dfa::Edge& edge : edges) out |= bytes_of(edge);
  return out;
}

}  // namespace

// Where all bytes from `first` to `last` lead, if to one place; else kNowhere.
int32_t Machine::after_range(int32_t state, int first, int last) const {
  if (state < 0) return kNowhere;
  int32_t to = kNowhere;
  int next = first;
  for (const Dfa::Edge& edge : automaton_.edges(automaton_.state(state))) {
    if (edge.last < next) continue;
    if (edge.first > next || (to != kNowhere && to != edge.to)) return kNowhere;
    to = edge.to;
    next = edge.last + 1;
    if (next > last) return to;
  }
  return kNowhere;
}

// The bytes that begin characters of several, all of which can be read from the state and lead to `to`.
ByteSet Machine::leads_to(int32_t state, int32_t to) const {
  // Of characters that begin with these two bytes, or with the first and any: how many come behind them.
  struct Begin {
    int lead_first, lead_last, second_first, second_last, behind;
  };
  static constexpr Begin kBegins[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1},
                                      {0xE1, 0xEC, 0x80, 0xBF, 1}, {0xED, 0xED, 0x80, 0x9F, 1},
                                      {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
                                      {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};
  ByteSet out;
  for (const Dfa::Edge& edge : automaton_.edges(automaton_.state(state))) {
    for (const Begin& begin : kBegins) {
      const int first = std::max<int>(edge.first, begin.lead_first);
      const int last = std::min<int>(edge.last, begin.lead_last);
      if (first > last) continue;
      int32_t at = after_range(edge.to, begin.second_first, begin.second_last);
      for (int i = 0; i < begin.behind; ++i) at = after_range(at, 0x80, 0xBF);
      if (at == to) out |= bytes_between(first, last);
    }
  }
  return out;
}

// Where every character of the set leads from the state.
int32_t Machine::after_set(const CountedSet& set, int32_t state) const {
  const ByteSet single = set.bytes & ascii(), leads = set.bytes & ~ascii();
  int32_t to = kNowhere;
  ByteSet covered;
  bool reads_wide = false;
  for (const Dfa::Edge& edge : automaton_.edges(automaton_.state(state))) {
    reads_wide = reads_wide || (edge.last >= 0x80 && (bytes_of(edge) & leads).any());
    const ByteSet here = bytes_of(edge) & single;
    if (here.none()) continue;
    if (to != kNowhere && to != edge.to) return kApart;
    to = edge.to;
    covered |= here;
  }
  if (to == kNowhere) return reads_wide ? kApart : kNowhere;
  if (covered != single) return kApart;
  return leads.none() || (leads_to(state, to) & leads) == leads ? to : kApart;
}

// Some of the states of each shape are asked, for an automaton may have hundreds of thousands.
std::vector<Machine::Candidate> Machine::find_counted_sets() const {
  struct Shape {
    int asked = 0;
    std::optional<size_t> candidate;
  };
  std::vector<Candidate> candidates;
  std::unordered_map<uint64_t, Shape> shapes;
  std::unordered_map<ByteSet, size_t> known;
  for (size_t i = 0; i < automaton_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const Automaton::State& state = automaton_.state(id);
    const std::span<const Dfa::Edge> edges = automaton_.edges(state);
    if (count_bytes(edges) < kSetBytesMin) continue;
    if (vocabulary_.parts(state.plain_min, state.plain_max).only_odd) continue;
    Shape& shape = shapes[shape_of(edges)];
    if (shape.asked == kLikesAsked) {
      if (shape.candidate) ++candidates[*shape.candidate].states;
      continue;
    }
    ++shape.asked;
    const auto [bytes, to] = widest(edges);
    // Bytes inside a character of several are counted by no one.
    if (static_cast<int>(bytes.count()) < kSetBytesMin || (bytes >> 128).any()) continue;
    const CountedSet set{bytes | leads_to(id, to)};
    if (after_set(set, to) < 0) continue;
    const auto [at, inserted] = known.try_emplace(set.bytes, candidates.size());
    if (inserted) candidates.push_back({set, {}, 0});
    shape.candidate = at->second;
    Candidate& candidate = candidates[at->second];
    ++candidate.states;
    candidate.exits |=
        (read_by(edges) | read_by(automaton_.edges(automaton_.state(to)))) & ~(bytes & ascii());
  }
  return candidates;
}

void Machine::find_runs() {
  std::vector<Candidate> candidates = find_counted_sets();
  // Most characters of several bytes: even the one mask of a loop is a walk over half of the vocabulary.
  constexpr size_t kManyLeads = 32;
  std::erase_if(candidates, [](const Candidate& c) {
    return c.states < kStatesMin && (c.set.bytes & ~ascii()).count() < kManyLeads;
  });
  std::ranges::stable_sort(candidates, std::greater<>(), &Candidate::states);
  if (candidates.size() > kRunsMax) candidates.resize(kRunsMax);
  size_t prepared = 0;
  for (const Candidate& candidate : candidates) {
    Run run{ByteRuns(vocabulary_, candidate.set), steps_of(candidate.set), {}};
    size_t others = 0, sorted = 0;
    for (size_t byte = 0; byte < 256; ++byte) {
      if (!candidate.exits[byte]) continue;
      others += run.tokens.count_leaving(static_cast<uint8_t>(byte));
      sorted += run.tokens.count_sorted(static_cast<uint8_t>(byte));
    }
    if (others > too_many_leaving() || prepared + sorted > kPreparedMax) continue;
    prepared += sorted;
    for (size_t byte = 0; byte < 256; ++byte) {
      if (candidate.exits[byte]) run.tokens.leaving(static_cast<uint8_t>(byte));
    }
    runs_.push_back(std::move(run));
  }
}

Machine::SetSteps Machine::steps_of(const CountedSet& set) const {
  SetSteps out{set, 0, std::vector<int32_t>(automaton_.size(), kNotAsked)};
  while (!set.bytes[out.any]) ++out.any;
  return out;
}

// Not beyond `most`. `places`, if asked for: those along the way.
Machine::RunLength Machine::run_from(SetSteps& steps, int32_t most, ConfigId from,
                                     std::vector<ConfigId>* places) {
  for (int32_t n = 0;; ++n) {
    const Key& items = *config(from).items;
    spend(std::ssize(items));
    bool goes_on = false;
    for (size_t i = 0; i + 1 < items.size(); ++i) {
      int32_t& after = steps.after[static_cast<size_t>(state_of(items[i]))];
      if (after == kNotAsked) after = after_set(steps.set, state_of(items[i]));
      if (after == kApart) return {n, false};
      goes_on |= after >= 0;
    }
    if (places != nullptr) places->push_back(from);
    if (!goes_on || n == most) return {n, true};
    const ConfigId next = next_byte(from, steps.any);
    if (next == kDead) return {n, true};
    if (next == from) return {most, true};
    from = next;
  }
}

Machine::RunLength Machine::reads(ConfigId from, uint8_t kind) {
  const RunLength known = config(from).reads[kind];
  if (known.bytes >= 0) return known;
  const RunLength found = run_from(kinds_[kind], TrieNode::kHeightMax, from, nullptr);
  config(from).reads[kind] = found;
  return found;
}

// The first bytes by which the two lead to different places, if they are few.
std::optional<ByteSet> Machine::differing(ConfigId one, ConfigId other) {
  constexpr size_t kFew = 16;
  constexpr std::array<uint8_t, 4> kProbes{'e', ' ', '0', 0xE4};
  int others = 0;
  for (const uint8_t byte : kProbes) {
    const ConfigId next = next_byte(other, byte);
    others += next == kDead || next_byte(one, byte) != next ? 1 : 0;
    if (others > 1) return {};
  }
  ByteSet out;
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto b = static_cast<uint8_t>(byte);
    if (next_byte(one, b) != next_byte(other, b)) out.set(byte);
    if (out.count() > kFew) return {};
  }
  return out;
}

// In text that may not hold some word the places inside the word differ from all others by a byte or two, but
// they read few plain characters for sure. Their mask is that of a place nearby, but for the tokens that
// begin with such a byte.
bool Machine::mask_by_likeness(ConfigId from, std::vector<uint32_t>& mask) {
  constexpr size_t kNearby = 8;
  for (size_t i = 0; i < std::min(kNearby, masks_kept_.size()); ++i) {
    const ConfigId other = masks_kept_[masks_kept_.size() - 1 - i];
    spend(8);
    const std::optional<ByteSet> bytes = differing(from, other);
    if (!bytes) continue;
    mask = config(other).mask;
    for (const Automaton::Token& token : config(other).tokens)
      mask[static_cast<size_t>(token.id) / 32] &= ~(1u << (token.id % 32));
    const Trie& trie = vocabulary_.all();
    for (size_t begin = 0; begin < trie.nodes.size();) {
      const size_t end = begin + trie.nodes[begin].skip;
      if ((*bytes)[trie.nodes[begin].byte]) {
        const size_t last = end == trie.nodes.size() ? trie.tokens.size() : trie.tokens_before[end];
        for (size_t t = trie.tokens_before[begin]; t < last; ++t) {
          const int32_t id = trie.tokens[t].id;
          mask[static_cast<size_t>(id) / 32] &= ~(1u << (id % 32));
        }
        walk(trie, begin, end, from, mask);
      }
      begin = end;
    }
    return true;
  }
  return false;
}

Machine::Way Machine::way_of(Run& run, ConfigId from) {
  Way way;
  way.length = run_from(run.steps, run.tokens.run_max(), from, &way.places);
  if (!way.length.exact) return way;
  for (const ConfigId place : way.places) {
    const Key& items = *config(place).items;
    for (size_t i = 0; i + 1 < items.size(); ++i)
      way.exits |= read_by(automaton_.edges(automaton_.state(state_of(items[i]))));
  }
  way.exits &= ~(run.steps.set.bytes & ascii());
  return way;
}

// By the run that leaves the fewest tokens to be asked.
bool Machine::mask_by_runs(ConfigId from, std::vector<uint32_t>& mask) {
  Run* best = nullptr;
  Way along;
  size_t fewest = too_many_leaving();
  for (Run& run : runs_) {
    Way way = way_of(run, from);
    if (!way.length.exact || way.length.bytes < 1 || !run.tokens.is_cheap(way.exits)) continue;
    size_t others = 0;
    for (size_t byte = 0; byte < 256; ++byte) {
      if (way.exits[byte]) others += run.tokens.count_leaving(static_cast<uint8_t>(byte));
    }
    if (others >= fewest) continue;
    fewest = others;
    best = &run;
    along = std::move(way);
  }
  if (best == nullptr) return false;
  best->tokens.add(along.length.bytes, mask);
  for (size_t byte = 0; byte < 256; ++byte) {
    if (along.exits[byte]) mask_leaving(*best, static_cast<uint8_t>(byte), along, mask);
  }
  return true;
}

// The tokens with `exit` behind their run.
void Machine::mask_leaving(Run& run, uint8_t exit, const Way& way, std::vector<uint32_t>& mask) {
  constexpr size_t kFew = 256;         // are walked
  constexpr size_t kDestinations = 2;  // of one byte along the run
  struct Part {
    ConfigId to = kDead;
    int first = 0, last = 0;  // characters of the run
  };
  std::vector<Part> parts;
  std::vector<ConfigId> destinations;
  if (exit < 0x80 && run.tokens.count_leaving(exit) > kFew) {
    spend(std::ssize(way.places));
    for (int n = 0; n < std::ssize(way.places); ++n) {
      const ConfigId to = next_byte(way.places[static_cast<size_t>(n)], exit);
      if (!parts.empty() && parts.back().to == to) {
        parts.back().last = n;
        continue;
      }
      parts.push_back({to, n, n});
      if (to != kDead && std::ranges::find(destinations, to) == destinations.end())
        destinations.push_back(to);
    }
    parts.back().last = way.length.bytes;
  }
  if (parts.empty() || destinations.size() > kDestinations) {
    const ConfigId from = way.places.front();
    if (exit < 0x80) {
      const Vocabulary::Nodes nodes = vocabulary_.beginning(exit);
      walk(vocabulary_.all(), nodes.begin, nodes.end, from, mask);
    }
    walk(run.tokens.leaving(exit), from, mask);
    return;
  }
  for (const Part& part : parts) {
    if (part.to != kDead) run.tokens.add_leaving(leaving_to(run, exit, part.to), part.first, part.last, mask);
  }
}

// All tokens with `exit` behind their run that can be read on from `to`, which `exit` leads to.
const std::vector<uint32_t>& Machine::leaving_to(Run& run, uint8_t exit, ConfigId to) {
  for (const Leaving& known : run.leaving) {
    if (known.exit == exit && known.to == to) return known.tokens;
  }
  std::optional<std::vector<uint32_t>> tokens = leaving_by_length(run, exit, to);
  if (!tokens) tokens = leaving_by_walk(run, exit, to);
  if (run.leaving.size() * tokens->size() * sizeof(uint32_t) > kLeavingBytesMax)
    run.leaving.erase(run.leaving.begin());
  return run.leaving.emplace_back(exit, to, std::move(*tokens)).tokens;
}

// Behind the exit more of the set may be counted, or nothing may follow: then most of these tokens are known
// by the length of what stands there.
std::optional<std::vector<uint32_t>> Machine::leaving_by_length(Run& run, uint8_t exit, ConfigId to) {
  constexpr std::ptrdiff_t kMany = 4096;  // each of those that do not end with the set is followed
  const Way way = way_of(run, to);
  if (!way.length.exact) return {};
  const auto may_come = [&](const ByteRuns::Group& group) { return way.exits[group.exit]; };
  const std::vector<ByteRuns::Group>& further = run.tokens.further(exit);
  std::ptrdiff_t asked = 0;
  for (const ByteRuns::Group& group : further) asked += may_come(group) ? std::ssize(group.tokens) : 0;
  if (asked > kMany) return {};
  spend((static_cast<int64_t>(vocabulary_.mask_words()) + std::ssize(further)) / kNodesAStep + asked);
  std::vector<uint32_t> tokens = run.tokens.behind(exit, way.length.bytes);
  for (const ByteRuns::Group& group : further) {
    if (!may_come(group)) continue;
    for (const auto& [token, begin] : group.tokens) {
      if (after_known(to, vocabulary_.bytes(token).substr(begin)) != kDead)
        tokens[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
    }
  }
  return tokens;
}

std::vector<uint32_t> Machine::leaving_by_walk(Run& run, uint8_t exit, ConfigId to) {
  const Trie& trie = run.tokens.leaving(exit);
  const Vocabulary::Nodes begins = vocabulary_.beginning(exit);
  spend(static_cast<int64_t>(trie.nodes.size() + begins.end - begins.begin) / kNodesAStep);
  std::vector<uint32_t> tokens(vocabulary_.mask_words(), 0);
  if (begins.begin != begins.end) walk_below(vocabulary_.all(), begins.begin, to, tokens);
  // The byte is no part of the run, nor of a character of several bytes: it is the first of its kind.
  for (size_t node = 0; node < trie.nodes.size();) {
    if (trie.nodes[node].byte != exit) {
      ++node;
      continue;
    }
    walk_below(trie, node, to, tokens);
    node += trie.nodes[node].skip;
  }
  return tokens;
}

// The token that ends at the node, and those below it.
void Machine::walk_below(const Trie& trie, size_t index, ConfigId at, std::vector<uint32_t>& mask) {
  const TrieNode& node = trie.nodes[index];
  if (node.token >= 0) mask[static_cast<size_t>(node.token) / 32] |= 1u << (node.token % 32);
  if (node.skip >= kSubtreeMin && take_subtree(trie, node, at, mask)) return;
  walk(trie, index + 1, index + node.skip, at, mask);
}

}  // namespace minimax::grammar
