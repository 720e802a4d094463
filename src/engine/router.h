#pragma once
// Which replica a request goes to: where its prefix was sent before, unless that one has much more to do than
// the least busy one. Prompts are remembered by the chain of their block hashes (prefix_index.h). What a
// replica has really kept is its own affair: a wrong guess costs a recomputed prefix, never a wrong token.

#include <cstdint>
#include <list>
#include <span>
#include <string_view>
#include <unordered_map>

#include "engine/prefix_index.h"
#include "executor/step.h"

namespace minimax::engine {

struct RouterOptions {
  int32_t replicas = 1;
  int32_t block_tokens = 16;
  int64_t hints_max = 0;  // blocks remembered, the least recently used forgotten first
  bool prefixes = true;   // false: by load alone
};

// Threads: one at a time.
class Router {
 public:
  static constexpr int64_t kFull = INT64_MAX;  // takes no request
  // How many more open requests than the least busy replica one may have and still get what it has cached.
  static constexpr int64_t kOpenSlack = 4;

  explicit Router(const RouterOptions& options);

  // open [replicas]: requests of each, or kFull. -1: all are full. Ties go round.
  int32_t choose(std::string_view salt, std::span<const executor::TokenId> prompt,
                 std::span<const int64_t> open);
  void clear();

  int64_t by_prefix() const { return by_prefix_; }
  int64_t by_load() const { return by_load_; }
  int64_t hints() const { return static_cast<int64_t>(hints_.size()); }

 private:
  struct Hasher {
    size_t operator()(const BlockHash& hash) const { return static_cast<size_t>(hash.low); }
  };
  struct Hint {
    BlockHash block;
    int32_t replica = 0;  // the last that was given it
  };

  int32_t least_busy(std::span<const int64_t> open);
  void remember(const BlockHash& block, int32_t replica);

  RouterOptions options_;
  std::list<Hint> hints_;  // the most recently used first
  std::unordered_map<BlockHash, std::list<Hint>::iterator, Hasher> places_;
  int32_t next_ = 0;  // where ties begin
  int64_t by_prefix_ = 0, by_load_ = 0;
};

}  // namespace minimax::engine
