#pragma once
// The tokens of a vocabulary by one set of characters: how many of a token's characters, from the first on,
// are of the set, and which byte comes behind them.
//
// For constraints that count characters of a class, [a-z ]{20,300} or [^,]{1,80}: as long as the count lasts,
// tokens of the set alone may come by their length, and of all others only those whose byte behind the run
// can be read somewhere along it. Nothing needs to be asked of the former, and there are few of the latter.
//
// One thread at a time.

#include <cstdint>
#include <vector>

#include "grammar/trie.h"
#include "grammar/vocabulary.h"

namespace minimax::grammar {

// Characters of one byte, and all of several or none: what a negated class has.
struct CountedSet {
  ByteSet bytes;  // below 128
  bool wide = false;
  bool operator==(const CountedSet&) const = default;
};

class ByteRuns {
 public:
  // The vocabulary must outlive it. REQUIRES: the set has a byte.
  ByteRuns(const Vocabulary& vocabulary, const CountedSet& set);

  int32_t run_max() const { return run_max_; }  // no token has more characters of the set at its front

  // Sets the bits of the tokens of at most `chars` characters, all of the set. Twins are left out, as in
  // tries.
  void add(int chars, std::vector<uint32_t>& mask) const;

  // The tokens with `exit` behind their run; made when it is first asked for.
  const Trie& leaving(uint8_t exit);
  size_t count_leaving(uint8_t exit) const { return leaving_[exit].size(); }
  // All of these tries are there, or quickly made.
  bool is_cheap(const ByteSet& exits) const;

  size_t bytes_used() const { return bytes_used_; }

 private:
  static constexpr size_t kLengths = 16;
  static constexpr size_t kQuickTokens = 1000;

  const Vocabulary& vocabulary_;
  int32_t run_max_ = 0;
  std::vector<std::vector<uint32_t>> up_to_;     // [characters], up to kLengths
  std::vector<std::pair<int, int32_t>> longer_;  // (characters, token), ascending
  std::vector<std::vector<int32_t>> leaving_;    // [256]: tokens in the order of their bytes
  std::vector<Trie> tries_;                      // [256]
  size_t bytes_used_ = 0;
};

}  // namespace minimax::grammar
