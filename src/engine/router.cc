#include "engine/router.h"

#include <vector>

#include "base/check.h"

namespace minimax::engine {

Router::Router(const RouterOptions& options) : options_(options) {
  CHECK_GE(options.replicas, 1);
  CHECK_GE(options.block_tokens, 1);
}

void Router::clear() {
  hints_.clear();
  places_.clear();
}

int32_t Router::least_busy(std::span<const int64_t> open) {
  int32_t best = -1;
  for (int32_t i = 0; i < options_.replicas; ++i) {
    const int32_t replica = (next_ + i) % options_.replicas;
    const int64_t own = open[static_cast<size_t>(replica)];
    if (own != kFull && (best < 0 || own < open[static_cast<size_t>(best)])) best = replica;
  }
  return best;
}

void Router::remember(const BlockHash& block, int32_t replica) {
  if (const auto place = places_.find(block); place != places_.end()) {
    place->second->replica = replica;
    hints_.splice(hints_.begin(), hints_, place->second);
    return;
  }
  hints_.push_front({block, replica});
  places_.emplace(block, hints_.begin());
  if (static_cast<int64_t>(hints_.size()) > options_.hints_max) {
    places_.erase(hints_.back().block);
    hints_.pop_back();
  }
}

int32_t Router::choose(std::string_view salt, std::span<const executor::TokenId> prompt,
                       std::span<const int64_t> open) {
  CHECK_EQ(static_cast<int32_t>(open.size()), options_.replicas);
  int32_t chosen = least_busy(open);
  if (chosen < 0) return -1;
  const int64_t least = open[static_cast<size_t>(chosen)];

  std::vector<BlockHash> chain;
  int32_t known = -1;  // where the longest known prefix is
  if (options_.prefixes) {
    const auto block_tokens = static_cast<size_t>(options_.block_tokens);
    BlockHash hash = hash_salt(salt);
    bool unbroken = true;
    for (size_t at = 0; at + block_tokens <= prompt.size(); at += block_tokens) {
      hash = hash_block(hash, prompt.subspan(at, block_tokens));
      chain.push_back(hash);
      const auto place = unbroken ? places_.find(hash) : places_.end();
      unbroken = place != places_.end();
      if (unbroken) known = place->second->replica;
    }
  }
  // Full replicas are out of reach of the slack, and no sum overflows: kFull is compared, not added to.
  if (known >= 0 && open[static_cast<size_t>(known)] <= least + kOpenSlack) {
    chosen = known;
    ++by_prefix_;
  } else {
    ++by_load_;
    next_ = (chosen + 1) % options_.replicas;
  }
  // From the end, so that the beginnings of prompts, which many share, are forgotten last.
  for (size_t i = chain.size(); i-- > 0;) remember(chain[i], chosen);
  return chosen;
}

}  // namespace minimax::engine
