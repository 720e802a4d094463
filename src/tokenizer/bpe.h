#pragma once
// Byte-pair encoding of one piece of text: starting from single bytes, the pair with the lowest rank is
// merged until no pair has a rank; of equal pairs the leftmost goes first (as Hugging Face's tokenizers do).

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace minimax::tokenizer {

// Pairs of ids to the rank of their merge and the id it makes. Open addressing: one cache line a lookup.
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

 private:
  struct Cell {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;  // no pair: ids are not negative
  size_t cell_of(uint64_t key) const;

  std::vector<Cell> cells_;
  uint64_t mask_ = 0;
};

class Bpe {
 public:
  // Working memory of one thread, kept between pieces so that they allocate nothing.
  struct Scratch {
    std::vector<TokenId> ids;
    std::vector<uint32_t> ranks;
    std::vector<uint32_t> next, previous;
    std::vector<uint64_t> heap;
  };

  // byte_ids: the token of each byte value.
  Bpe(const std::array<TokenId, 256>& byte_ids, MergeTable merges)
      : byte_ids_(byte_ids), merges_(std::move(merges)) {}

  // Appends the ids of `piece`. Time O(n log n). REQUIRES: fewer than 2^32 - 1 bytes.
  void encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  void encode_short(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;
  void encode_long(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

  std::array<TokenId, 256> byte_ids_;
  MergeTable merges_;
};

}  // namespace minimax::tokenizer
