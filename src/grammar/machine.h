#pragma once
// A compiled grammar at work over a vocabulary: which bytes and tokens may follow what was read.
//
// A configuration is the set of all ways to read the text so far: pairs of an automaton state and what is to
// be done when its rule ends. The latter is a set of frames (state to go on in, frames of its own caller),
// shared by all who called the rule at the same place; so the number of pairs stays small where a grammar is
// ambiguous. Configurations and frame sets are numbered when first met, and the step from one configuration
// to another by a byte is looked up from the second time on: a deterministic automaton that is built as it is
// used. Masks are kept by configuration as well.
//
// May be used from several threads: one lock, held for one call.

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/byte_runs.h"
#include "grammar/limits.h"
#include "grammar/vocabulary.h"

namespace minimax::grammar {

using ConfigId = int32_t;
inline constexpr ConfigId kDead = -1;

class Machine {
 public:
  // The vocabulary must outlive the machine.
  Machine(Automaton automaton, const Vocabulary& vocabulary);

  ConfigId start() const { return start_; }

  // What follows token or text; kDead if it may not come. Throws Refusal beyond a limit (limits.h); so does
  // mask(). `work`: what may be spent, less what was; a sequence has one for all its calls.
  ConfigId after_token(ConfigId from, int32_t token, MatchWork& work);
  ConfigId after_bytes(ConfigId from, std::string_view bytes, MatchWork& work);

  // Sets the bits of all tokens that may follow; the others are cleared. REQUIRES: mask_words() words.
  void mask(ConfigId config, std::span<uint32_t> out, MatchWork& work);

  // For one call alone, and before anything runs: as much as a compilation (kCompileStepsMax).
  ConfigId after_token(ConfigId from, int32_t token);
  ConfigId after_bytes(ConfigId from, std::string_view bytes);
  void mask(ConfigId config, std::span<uint32_t> out);

  bool accepting(ConfigId config);  // the text may end here
  bool complete(ConfigId config);   // it must

  size_t bytes_used();  // of what was learnt
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  using Key = std::vector<uint64_t>;  // pairs (automaton state, frame set), or frames (state, frame set)
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  // Numbers of keys. In parts, each of which grows by itself: to move all of them at once takes milliseconds,
  // and a mask must not wait for that.
  class Numbers {
   public:
    // The key, which stays where it is, its number, and whether that is new.
    struct Known {
      const Key* key = nullptr;
      int32_t number = 0;
      bool inserted = false;
    };
    Known number(Key key, size_t next);

   private:
    static constexpr size_t kParts = 64;
    std::array<std::unordered_map<Key, int32_t, KeyHash>, kParts> parts_;
  };
  // Bytes, or characters, of a set that can be read one after the other, whichever they are.
  struct RunLength {
    int32_t bytes = -1;  // -1: not asked
    bool exact = true;   // none more; false: whether more can be read depends on the bytes
  };
  // What a closure has met. Its table stays, so that in the end nothing is allocated.
  class Met {
   public:
    void clear() {
      ++round_;
      count_ = 0;
    }
    bool insert(uint64_t item);  // false: it was there

   private:
    void grow();
    std::vector<std::pair<uint64_t, uint64_t>> table_;  // (item, round in which it came)
    uint64_t round_ = 0;
    size_t count_ = 0;
  };
  struct Config {
    const Key* items = nullptr;
    bool accepting = false;
    int32_t plain_min = 0, plain_max = 0;
    std::unique_ptr<int32_t[]> next;          // [256]: a configuration, kDead or kUnknown
    std::array<RunLength, kByteKinds> reads;  // of bytes of a kind; as far as TrieNode::kHeightMax
    std::vector<Automaton::Token> tokens;
    std::vector<uint32_t> mask;
  };
  static constexpr int32_t kUnknown = -2;
  static constexpr size_t kMaskBytesMax = 8 << 20;  // masks kept

  ConfigId after_known(ConfigId from, std::string_view bytes);
  ConfigId next_byte(ConfigId from, uint8_t byte);
  ConfigId compute_next(ConfigId from, uint8_t byte);
  ConfigId close(Key items);
  void add_call(const Automaton::Call& call, uint64_t frames);
  ConfigId intern_config(Key items, bool accepting);
  uint64_t intern_frames(Key frames);
  void compute_mask(Config& config, ConfigId id);
  void walk(const Trie& trie, ConfigId from, std::vector<uint32_t>& mask) {
    walk(trie, 0, trie.nodes.size(), from, mask);
  }
  // The nodes from `begin` to `end`, whole subtrees of one node; `from` is the place at that node.
  void walk(const Trie& trie, size_t begin, size_t end, ConfigId from, std::vector<uint32_t>& mask);
  void spend(int64_t steps);

  // machine_runs.cc: sets of bytes that states read whichever they are, and those that the automaton counts.
  struct SetSteps {
    CountedSet set;
    uint8_t any = 0;             // a byte of it
    std::vector<int32_t> after;  // [states]: where all characters of the set lead, or one of the below
  };
  struct Candidate {
    CountedSet set;
    ByteSet exits;   // what else its states read
    int states = 0;  // with the set
  };
  // The tokens with one byte behind their run, as far as they can be read on from where it leads.
  struct Leaving {
    uint8_t exit = 0;
    ConfigId to = kDead;
    std::vector<uint32_t> tokens;  // a mask
  };
  struct Run {
    ByteRuns tokens;
    SetSteps steps;
    std::vector<Leaving> leaving;  // the one made first comes first
  };
  // Where a run goes along: the last place stands for all behind it.
  struct Way {
    RunLength length;
    std::vector<ConfigId> places;
    ByteSet exits;  // all that can be read at some place, but for the bytes of the set below 128
  };
  static constexpr size_t kLeavingBytesMax = 2 << 20;  // masks of tokens that leave a run, kept for each run
  static constexpr int32_t kNowhere = -1, kApart = -2, kNotAsked = -3;
  static constexpr int64_t kNodesAStep = 32;  // of a trie, walked
  // Beyond so many tokens that leave a run everything is to be walked.
  size_t too_many_leaving() const { return static_cast<size_t>(vocabulary_.size()) / 3 * 2; }
  static constexpr uint32_t kSubtreeMin = 16;  // nodes: smaller ones are walked
  std::vector<Candidate> find_counted_sets() const;
  void find_runs();
  SetSteps steps_of(const CountedSet& set) const;
  int32_t after_set(const CountedSet& set, int32_t state) const;
  int32_t after_range(int32_t state, int first, int last) const;
  ByteSet leads_to(int32_t state, int32_t to) const;
  RunLength run_from(SetSteps& steps, int32_t most, ConfigId from, std::vector<ConfigId>* places);
  RunLength reads(ConfigId from, uint8_t kind);
  bool take_subtree(const Trie& trie, const TrieNode& node, ConfigId at, std::vector<uint32_t>& mask);
  bool mask_by_runs(ConfigId from, std::vector<uint32_t>& mask);
  Way way_of(Run& run, ConfigId from);
  void mask_leaving(Run& run, uint8_t exit, const Way& way, std::vector<uint32_t>& mask);
  const std::vector<uint32_t>& leaving_to(Run& run, uint8_t exit, ConfigId to);
  std::optional<std::vector<uint32_t>> leaving_by_length(Run& run, uint8_t exit, ConfigId to);
  std::vector<uint32_t> leaving_by_walk(Run& run, uint8_t exit, ConfigId to);
  void walk_below(const Trie& trie, size_t node, ConfigId at, std::vector<uint32_t>& mask);
  std::optional<ByteSet> differing(ConfigId one, ConfigId other);
  bool mask_by_likeness(ConfigId from, std::vector<uint32_t>& mask);

  static constexpr int32_t state_of(uint64_t item) { return static_cast<int32_t>(item >> 32); }
  Config& config(ConfigId id) { return configs_[static_cast<size_t>(id)]; }

  const Automaton automaton_;
  const Vocabulary& vocabulary_;
  std::mutex mutex_;
  Numbers config_ids_, frame_ids_;
  std::deque<Config> configs_;
  std::vector<const Key*> frames_;
  size_t bytes_ = 0;
  std::deque<ConfigId> masks_kept_;
  std::vector<Run> runs_;
  std::vector<SetSteps> kinds_;  // [kByteKinds]
  MatchWork* work_ = nullptr;    // of the call under way
  // Of the walk under way, for each depth of the path to the present node: the configuration there, and its
  // row of known steps; a row stays where it is once it is made.
  std::vector<ConfigId> path_;
  std::vector<const int32_t*> rows_;
  ConfigId start_ = 0;
  std::vector<std::pair<int32_t, uint64_t>> calls_;  // (rank, frame) of the closure under way
  Met met_;
};

}  // namespace minimax::grammar
