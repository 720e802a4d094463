#include "grammar/machine.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>

#include <fmt/format.h>

namespace minimax::grammar {
namespace {

constexpr uint64_t pack(int32_t state, uint64_t frames) {
  return static_cast<uint64_t>(static_cast<uint32_t>(state)) << 32 | frames;
}
constexpr uint64_t frames_of(uint64_t item) {
  return item & 0xFFFFFFFFu;
}
// The frame of the outermost rule: nothing goes on after it.
constexpr uint64_t kOutermost = pack(-1, 0);

}  // namespace

size_t Machine::KeyHash::operator()(const Key& key) const {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const uint64_t word : key) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

bool Machine::Met::insert(uint64_t item) {
  if (2 * count_ >= table_.size()) grow();
  const size_t mask = table_.size() - 1;
  for (size_t i = (item * 0xff51afd7ed558ccdu) >> 32 & mask;; i = (i + 1) & mask) {
    auto& [there, round] = table_[i];
    if (round != round_) {
      table_[i] = {item, round_};
      ++count_;
      return true;
    }
    if (there == item) return false;
  }
}

void Machine::Met::grow() {
  const std::vector<std::pair<uint64_t, uint64_t>> old = std::move(table_);
  const uint64_t round = round_;
  table_.assign(std::max<size_t>(64, 2 * old.size()), {});
  round_ = 1;
  count_ = 0;
  for (const auto& [item, came] : old) {
    if (came == round) insert(item);
  }
}

Machine::Numbers::Known Machine::Numbers::number(Key key, size_t next) {
  std::unordered_map<Key, int32_t, KeyHash>& part = parts_[(KeyHash()(key) >> 20) % kParts];
  const auto [known, inserted] = part.try_emplace(std::move(key), static_cast<int32_t>(next));
  return {&known->first, known->second, inserted};
}

Machine::Machine(Automaton automaton, const Vocabulary& vocabulary)
    : automaton_(std::move(automaton)),
      vocabulary_(vocabulary),
      path_(vocabulary.bytes_max() + 1),
      rows_(path_.size()) {
  MatchWork work(kCompileStepsMax);
  work_ = &work;
  const uint64_t outermost = intern_frames({kOutermost});
  const int32_t state = automaton_.start(0);
  start_ = close({pack(state, outermost)});
  find_runs();
  for (const ByteSet& kind : byte_kinds()) kinds_.push_back(steps_of({kind}));
  work_ = nullptr;
}

void Machine::spend(int64_t steps) {
  work_->spend(steps);
}

uint64_t Machine::intern_frames(Key frames) {
  std::ranges::sort(frames);
  frames.erase(std::unique(frames.begin(), frames.end()), frames.end());
  const Numbers::Known known = frame_ids_.number(std::move(frames), frames_.size());
  if (known.inserted) {
    frames_.push_back(known.key);
    bytes_ += 96 + known.key->size() * sizeof(uint64_t);
  }
  return static_cast<uint64_t>(known.number);
}

ConfigId Machine::intern_config(Key items, bool accepting) {
  if (items.empty() && !accepting) return kDead;
  std::ranges::sort(items);
  items.push_back(accepting ? 1 : 0);
  const Numbers::Known known = config_ids_.number(std::move(items), configs_.size());
  if (!known.inserted) return known.number;
  bytes_ += 256 + known.key->size() * sizeof(uint64_t);
  if (bytes_ > kMachineBytesHardMax) {
    throw Refusal{fmt::format("the constraint needs more than {} bytes to follow (kMachineBytesHardMax)",
                              kMachineBytesHardMax)};
  }
  Config& made = configs_.emplace_back();
  made.items = known.key;
  made.accepting = accepting;
  for (const uint64_t item : std::span(*known.key).first(known.key->size() - 1)) {
    const Automaton::State& state = automaton_.state(state_of(item));
    made.plain_min = std::max<int32_t>(made.plain_min, state.plain_min);
    made.plain_max = std::max<int32_t>(made.plain_max, state.plain_max);
    for (const Automaton::Token& token : automaton_.tokens(state)) {
      if (std::ranges::find(made.tokens, token.id, &Automaton::Token::id) == made.tokens.end())
        made.tokens.push_back({token.id, 0});
    }
  }
  return known.number;
}

void Machine::add_call(const Automaton::Call& call, uint64_t frames) {
  const int32_t rank = automaton_.rank(call.rule);
  if (!automaton_.state(call.to).ends) {
    calls_.emplace_back(rank, pack(call.to, frames));
    return;
  }
  // Nothing is left to do in the caller: the callee returns to where the caller would.
  for (const uint64_t frame : *frames_[frames]) calls_.emplace_back(rank, frame);
}

// Adds what is reached without reading: the callers of rules that end here, then the rules called from all
// of those. A rule that ends where it begins needs no return: the automata have a way around its call.
ConfigId Machine::close(Key items) {
  bool accepting = false;
  met_.clear();
  for (const uint64_t item : items) met_.insert(item);
  for (size_t i = 0; i < items.size(); ++i) {
    const Automaton::State& state = automaton_.state(state_of(items[i]));
    if (!state.final) continue;
    const Key& frames = *frames_[frames_of(items[i])];
    spend(std::ssize(frames));
    for (const uint64_t frame : frames) {
      if (frame == kOutermost) {
        accepting = true;
      } else {
        if (met_.insert(frame)) items.push_back(frame);
      }
    }
  }
  calls_.clear();
  for (const uint64_t item : items) {
    for (const Automaton::Call& call : automaton_.calls(automaton_.state(state_of(item))))
      add_call(call, frames_of(item));
  }
  // By rank: whoever calls a rule at this place comes before it, so its frames are all known in its turn.
  const auto later = std::greater<>();
  std::ranges::make_heap(calls_, later);
  while (!calls_.empty()) {
    const int32_t rank = calls_.front().first;
    Key frames;
    while (!calls_.empty() && calls_.front().first == rank) {
      frames.push_back(calls_.front().second);
      std::ranges::pop_heap(calls_, later);
      calls_.pop_back();
    }
    spend(8 + std::ssize(frames));
    const uint64_t shared = intern_frames(std::move(frames));
    const int32_t start = automaton_.start(automaton_.rule_of_rank(rank));
    items.push_back(pack(start, shared));
    for (const Automaton::Call& call : automaton_.calls(automaton_.state(start))) {
      const size_t before = calls_.size();
      add_call(call, shared);
      for (size_t n = before + 1; n <= calls_.size(); ++n)
        std::push_heap(calls_.begin(), calls_.begin() + static_cast<ptrdiff_t>(n), later);
    }
  }
  std::erase_if(items, [&](uint64_t item) {
    const Automaton::State& state = automaton_.state(state_of(item));
    return state.edges_begin == state.edges_end && state.tokens_begin == state.tokens_end;
  });
  std::ranges::sort(items);
  items.erase(std::unique(items.begin(), items.end()), items.end());
  if (items.size() > kItemsMax) {
    throw Refusal{
        fmt::format("the constraint can be read in more than {} ways at once (kItemsMax)", kItemsMax)};
  }
  return intern_config(std::move(items), accepting);
}

ConfigId Machine::compute_next(ConfigId from, uint8_t byte) {
  const Key& items = *config(from).items;
  spend(4 + std::ssize(items));
  Key next;
  for (size_t i = 0; i + 1 < items.size(); ++i) {
    const int32_t to = automaton_.next(state_of(items[i]), byte);
    if (to >= 0) next.push_back(pack(to, frames_of(items[i])));
  }
  return next.empty() ? kDead : close(std::move(next));
}

ConfigId Machine::next_byte(ConfigId from, uint8_t byte) {
  Config& at = config(from);
  if (at.next == nullptr) {
    at.next = std::make_unique<int32_t[]>(256);
    std::fill_n(at.next.get(), 256, kUnknown);
    bytes_ += 256 * sizeof(int32_t);
  }
  int32_t& known = at.next[byte];
  if (known == kUnknown) known = compute_next(from, byte);
  return known;
}

ConfigId Machine::after_known(ConfigId from, std::string_view bytes) {
  for (const char c : bytes) {
    if (from == kDead) break;
    from = next_byte(from, static_cast<uint8_t>(c));
  }
  return from;
}

ConfigId Machine::after_bytes(ConfigId from, std::string_view bytes, MatchWork& work) {
  const std::lock_guard lock(mutex_);
  work_ = &work;
  return after_known(from, bytes);
}

ConfigId Machine::after_token(ConfigId from, int32_t token, MatchWork& work) {
  if (from == kDead || token < 0 || token >= vocabulary_.size()) return kDead;
  const std::lock_guard lock(mutex_);
  work_ = &work;
  const std::string_view bytes = vocabulary_.bytes(token);
  if (!bytes.empty()) return after_known(from, bytes);
  Key next;
  const Key& items = *config(from).items;
  for (size_t i = 0; i + 1 < items.size(); ++i) {
    for (const Automaton::Token& edge : automaton_.tokens(automaton_.state(state_of(items[i])))) {
      if (edge.id == token) next.push_back(pack(edge.to, frames_of(items[i])));
    }
  }
  return next.empty() ? kDead : close(std::move(next));
}

ConfigId Machine::after_token(ConfigId from, int32_t token) {
  MatchWork work(kCompileStepsMax);
  return after_token(from, token, work);
}

ConfigId Machine::after_bytes(ConfigId from, std::string_view bytes) {
  MatchWork work(kCompileStepsMax);
  return after_bytes(from, bytes, work);
}

void Machine::mask(ConfigId id, std::span<uint32_t> out) {
  MatchWork work(kCompileStepsMax);
  mask(id, out, work);
}

// The inner loop of this room.
void Machine::walk(const Trie& trie, size_t begin, size_t behind, ConfigId from,
                   std::vector<uint32_t>& mask) {
  if (begin == behind) return;
  ConfigId* const path = path_.data();
  const int32_t** const rows = rows_.data();
  const size_t above = trie.nodes[begin].depth - 1u;
  path[above] = from;
  rows[above] = config(from).next.get();
  int64_t nodes = 0;
  const TrieNode* const end = trie.nodes.data() + behind;
  for (const TrieNode* node = trie.nodes.data() + begin; node != end;) {
    if (++nodes % (kNodesAStep * 1024) == 0) spend(1024);
    const size_t parent = node->depth - 1u;
    const int32_t* row = rows[parent];
    int32_t next = row == nullptr ? kUnknown : row[node->byte];
    if (next == kUnknown) {
      next = next_byte(path[parent], node->byte);
      rows[parent] = config(path[parent]).next.get();
    }
    if (next == kDead) {
      node += node->skip;
      continue;
    }
    if (node->token >= 0) mask[static_cast<size_t>(node->token) / 32] |= 1u << (node->token % 32);
    if (node->skip >= kSubtreeMin && take_subtree(trie, *node, next, mask)) {
      node += node->skip;
      continue;
    }
    if (node->skip > 1) {
      path[node->depth] = next;
      rows[node->depth] = config(next).next.get();
    }
    ++node;
  }
}

// The tokens below a node by their length alone, if the configuration there reads their bytes whichever they
// are.
bool Machine::take_subtree(const Trie& trie, const TrieNode& node, ConfigId at, std::vector<uint32_t>& mask) {
  if (node.kind == kAnyByte || node.height == TrieNode::kHeightMax) return false;
  const RunLength length = reads(at, node.kind);
  const bool all = length.bytes >= node.height;
  if (!all && !length.exact) return false;
  const auto place = static_cast<size_t>(&node - trie.nodes.data());
  const size_t behind = place + node.skip;
  const size_t end = behind == trie.nodes.size() ? trie.tokens.size() : trie.tokens_before[behind];
  const int bytes_max = all ? std::numeric_limits<int>::max() : node.depth + length.bytes;
  for (size_t i = trie.tokens_before[place]; i < end; ++i) {
    const auto [token, bytes] = trie.tokens[i];
    if (bytes <= bytes_max) mask[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
  }
  return true;
}

void Machine::compute_mask(Config& at, ConfigId id) {
  std::vector<uint32_t> mask(vocabulary_.mask_words(), 0);
  const Vocabulary::Parts parts = vocabulary_.parts(at.plain_min, at.plain_max);
  const bool runs = !parts.only_odd && mask_by_runs(id, mask);
  const bool much = parts.trie->nodes.size() > vocabulary_.all().nodes.size() / 4;  // to be walked
  if (!runs && !(much && mask_by_likeness(id, mask))) {
    mask = *parts.mask;
    walk(*parts.trie, id, mask);
  }
  for (const Vocabulary::Twin& twin : vocabulary_.twins()) {
    const uint32_t set = mask[static_cast<size_t>(twin.of) / 32] >> (twin.of % 32) & 1;
    uint32_t& word = mask[static_cast<size_t>(twin.id) / 32];
    word = (word & ~(1u << (twin.id % 32))) | set << (twin.id % 32);
  }
  for (const Automaton::Token& token : at.tokens)
    mask[static_cast<size_t>(token.id) / 32] |= 1u << (token.id % 32);
  at.mask = std::move(mask);
  masks_kept_.push_back(id);
  while (masks_kept_.size() > 1 && masks_kept_.size() * at.mask.size() * sizeof(uint32_t) > kMaskBytesMax) {
    config(masks_kept_.front()).mask = {};
    masks_kept_.pop_front();
  }
}

void Machine::mask(ConfigId id, std::span<uint32_t> out, MatchWork& work) {
  const std::lock_guard lock(mutex_);
  work_ = &work;
  Config& at = config(id);
  if (at.mask.empty()) compute_mask(at, id);
  std::ranges::copy(at.mask, out.begin());
}

bool Machine::accepting(ConfigId id) {
  const std::lock_guard lock(mutex_);
  return config(id).accepting;
}

bool Machine::complete(ConfigId id) {
  const std::lock_guard lock(mutex_);
  return config(id).items->size() == 1;
}

size_t Machine::bytes_used() {
  const std::lock_guard lock(mutex_);
  size_t bytes = bytes_;
  for (const Run& run : runs_) {
    bytes += run.tokens.bytes_used() + run.steps.after.size() * sizeof(int32_t) +
             run.leaving.size() * vocabulary_.mask_words() * sizeof(uint32_t);
  }
  for (const SetSteps& kind : kinds_) bytes += kind.after.size() * sizeof(int32_t);
  return bytes;
}

}  // namespace minimax::grammar
