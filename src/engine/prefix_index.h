#pragma once
// Full blocks by what they hold: a chain of hashes, each over the one before and the block's tokens, started
// by the request's salt. A hit is believed only if the tokens and the chain before it agree, so a collision
// of hashes can cost a hit and never give a wrong block. Entries of blocks that are taken for new content are
// dropped.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "executor/step.h"

namespace minimax::engine {

struct BlockHash {
  uint64_t low = 0, high = 0;
  bool operator==(const BlockHash&) const = default;
};

BlockHash hash_salt(std::string_view salt);
BlockHash hash_block(const BlockHash& before, std::span<const executor::TokenId> tokens);

// A whole block of tokens and its place in the chain.
struct BlockContent {
  BlockHash before;
  BlockHash hash;  // hash_block(before, tokens), computed once by the caller, who keeps the chain
  std::span<const executor::TokenId> tokens;
};

class PrefixIndex {
 public:
  PrefixIndex(int32_t block_count, int32_t block_tokens);

  // The block that holds `content`.
  std::optional<executor::BlockId> find(const BlockContent& content) const;
  // `block` holds `content` from now on. An equal entry of another block stays in its place.
  void insert(const BlockContent& content, executor::BlockId block);
  // The block gets new content.
  void forget(executor::BlockId block);
  void clear();
  size_t size() const { return blocks_.size(); }

 private:
  struct Entry {
    bool indexed = false;
    BlockHash before, hash;
  };
  struct Hasher {
    size_t operator()(const BlockHash& hash) const { return static_cast<size_t>(hash.low); }
  };
  std::span<const executor::TokenId> tokens_of(executor::BlockId block) const;

  int32_t block_tokens_;
  std::vector<Entry> entries_;             // by block
  std::vector<executor::TokenId> tokens_;  // [block_count, block_tokens]
  std::unordered_map<BlockHash, executor::BlockId, Hasher> blocks_;
};

}  // namespace minimax::engine
