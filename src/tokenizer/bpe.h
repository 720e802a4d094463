#pragma once
// Byte-pair encoding of one piece of text: starting from single bytes, the pair with the lowest rank is
// merged until no pair has a rank; of equal pairs the leftmost goes first (as Hugging Face's tokenizers do).

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace minimax::tokenizer {

// Pairs of ids to the rank of their merge and the id it makes. Open addressing: one cache line a lookup, and
// mostly not even that: of the pairs asked for most do not merge, and a filter small enough for the cache
// knows.
class MergeTable {
 public:
  static constexpr uint32_t kNoRank = UINT32_MAX;
  struct Merge {
    uint32_t rank = kNoRank;
    TokenId id = -1;
  };

  explicit MergeTable(size_t count);
  // A pair given twice keeps its last rank. REQUIRES: at most `count` pairs, ids >= 0.
  void add(TokenId left, TokenId right, Merge merge);
  // rank == kNoRank if the pair does not merge.
  Merge find(TokenId left, TokenId right) const;
  // Whether merging by rising rank never has to go back: each merge's parts are made by merges of lower
  // ranks, and two of one token by one merge alone. So it is in files that training wrote.
  bool ascending() const;

 private:
  struct Cell {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;  // no pair: ids are not negative
  static uint64_t hash_of(uint64_t key);
  size_t cell_of(uint64_t key, uint64_t hash) const;

  std::vector<Cell> cells_;
  uint64_t mask_;
  std::vector<uint64_t> filter_;  // a bit set for each pair, by other bits of its hash than the cell's
  uint64_t filter_mask_;
};

class Bpe {
 public:
  // Working memory of one thread, kept between pieces so that they allocate nothing.
  struct Entry {
    uint32_t rank = 0, place = 0;
  };
  struct Scratch {
    std::vector<TokenId> ids;
    std::vector<MergeTable::Merge> merges;
    std::vector<uint32_t> next, previous;
    std::array<std::vector<Entry>, 33> buckets;
    std::vector<uint64_t> heap;
  };

  // byte_ids: the token of each byte value.
  Bpe(const std::array<TokenId, 256>& byte_ids, MergeTable merges);

  // Appends the ids of `piece`. Time O(n) for a piece of n bytes where the merges are ascending(), else
  // O(n log n). REQUIRES: fewer than 2^32 - 1 bytes.
  void encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  MergeTable::Merge of_bytes(char left, char right) const {
    return of_bytes_[static_cast<size_t>(static_cast<uint8_t>(left)) << 8 | static_cast<uint8_t>(right)];
  }
  void encode_short(std::string_view piece, std::vector<TokenId>& out) const;
  template <typename Queue>
  void encode_long(std::string_view piece, Queue queue, Scratch& scratch, std::vector<TokenId>& out) const;

  std::array<TokenId, 256> byte_ids_;
  MergeTable merges_;
  // Every piece begins with as many looks at pairs of bytes as it has bytes: a table that stays in the cache.
  std::vector<MergeTable::Merge> of_bytes_;  // [left << 8 | right]
  bool ascending_;
};

}  // namespace minimax::tokenizer
