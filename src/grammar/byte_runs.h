#pragma once
// The tokens of a vocabulary by one set of characters: how many of a token's characters, from the first on,
// are of the set, and which byte comes behind them.
//
// For constraints that count characters of a class, [a-z ]{20,300} or [^,]{1,80}: as long as the count lasts,
// tokens of the set alone may come by their length, and of all others only those whose byte behind the run
// can be read somewhere along it. Nothing needs to be asked of the former. Of the latter those with one byte
// behind the run are asked once for each place that this byte leads to, for it is mostly the same place from
// all along the count.
//
// One thread at a time.

#include <cstdint>
#include <deque>
#include <vector>

#include "grammar/trie.h"
#include "grammar/vocabulary.h"

namespace minimax::grammar {

// Characters of one byte; and from 0xC2 on: all characters of several bytes that begin with this one. Negated
// classes have most of these, \S all but those that begin as some space does.
struct CountedSet {
  ByteSet bytes;
  bool operator==(const CountedSet&) const = default;
};

class ByteRuns {
 public:
  // The vocabulary must outlive it. REQUIRES: the set has a byte below 128.
  ByteRuns(const Vocabulary& vocabulary, const CountedSet& set);

  // No token has more characters of the set at its front, nor behind an exit.
  int32_t run_max() const { return run_max_; }

  // Sets the bits of the tokens of at most `chars` characters, all of the set. Twins are left out, as in
  // tries.
  void add(int chars, std::vector<uint32_t>& mask) const;

  // The tokens that begin with a run and go on with `exit`; made when it is first asked for. Those that begin
  // with it are not among them if it is below 128: the vocabulary has their trie (Vocabulary::beginning).
  // count_leaving() counts both.
  const Trie& leaving(uint8_t exit);
  size_t count_leaving(uint8_t exit) const { return leaving_[exit].size() + without_run_[exit]; }
  size_t count_sorted(uint8_t exit) const { return leaving_[exit].size(); }  // of leaving()
  // All of these tries are there, or quickly made.
  bool is_cheap(const ByteSet& exits) const;
  // Adds to `mask` those of `tokens`, all with something behind their run, that have first to last characters
  // in it.
  void add_leaving(const std::vector<uint32_t>& tokens, int first, int last,
                   std::vector<uint32_t>& mask) const;

  // What stands behind `exit`, a byte below 128: of the tokens that leave by it, with a run before it or
  // without. Bits of those with `chars` characters behind it at most, all of the set; kept.
  const std::vector<uint32_t>& behind(uint8_t exit, int chars);
  // And those with something else behind it, after characters of the set: one group after the other of those
  // with the same byte there. `begin`: where in the token what stands behind `exit` begins.
  struct Further {
    int32_t token = 0;
    uint32_t begin = 0;
  };
  struct Group {
    uint8_t exit = 0;
    std::vector<Further> tokens;
  };
  const std::vector<Group>& further(uint8_t exit) const { return further_[exit]; }

  size_t bytes_used() const { return bytes_used_; }

 private:
  static constexpr size_t kLengths = 16;
  static constexpr size_t kQuickTokens = 1000;

  using Longer = std::vector<std::pair<int, int32_t>>;  // (characters, token), ascending

  const Vocabulary& vocabulary_;
  int32_t run_max_ = 0;
  std::vector<std::vector<uint32_t>> up_to_;  // [characters], up to kLengths: tokens of the set alone ...
  std::vector<std::vector<uint32_t>> leaving_up_to_;  // ... and those with something behind their run
  Longer longer_, leaving_longer_;
  std::vector<std::vector<int32_t>> leaving_;  // [256]: the tokens of leaving(), in the order of their bytes
  std::vector<size_t> without_run_;            // [256]: tokens that begin with a byte below 128
  struct Behind {
    int32_t token = 0, chars = 0;
  };
  std::vector<std::vector<Behind>> behind_;  // [128]
  std::vector<std::vector<Group>> further_;  // [128]
  struct Known {
    uint8_t exit = 0;
    int chars = 0;
    std::vector<uint32_t> mask;
  };
  static constexpr size_t kKnownMax = 16;
  std::deque<Known> known_;  // of behind(); the one made first comes first
  std::vector<Trie> tries_;  // [256]
  size_t bytes_used_ = 0;
};

}  // namespace minimax::grammar
