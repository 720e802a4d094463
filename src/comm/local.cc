#include "comm/local.h"

#include <chrono>
#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace minimax::comm {

Local::Local(const LocalOptions& options)
    : options_(options), published_(static_cast<size_t>(options.ranks)) {
  CHECK_GE(options.ranks, 1);
  for (int32_t rank = 0; rank < options.ranks; ++rank) ranks_.emplace_back(*this, rank);
}

void Local::arrive_and_wait(int32_t rank) {
  const uint32_t round = round_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == options_.ranks) {
    arrived_.store(0, std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);  // a rank between its last look and its sleep must hear of it
      round_.store(round + 1, std::memory_order_release);
    }
    next_round_.notify_all();
    return;
  }
  const auto over = [&] { return round_.load(std::memory_order_acquire) != round; };
  for (int32_t i = 0; i < options_.spins; ++i)
    if (over()) return;
  std::unique_lock lock(mutex_);
  if (!next_round_.wait_for(lock, std::chrono::duration<double>(options_.wait_s_max), over))
    throw Error("rank {} waited {} s for the other ranks of {}: {} of them came", rank, options_.wait_s_max,
                options_.ranks, arrived_.load() - 1);
}

void Local::Rank::gather(std::span<const Gather> buffers) {
  if (ranks() == 1) return;
  group_.published_[static_cast<size_t>(rank_)] = buffers;
  group_.arrive_and_wait(rank_);
  for (int32_t peer = 0; peer < ranks(); ++peer) {
    if (peer == rank_) continue;
    const std::span<const Gather> theirs = group_.published_[static_cast<size_t>(peer)];
    CHECK_EQ(theirs.size(), buffers.size());
    for (size_t i = 0; i < buffers.size(); ++i) {
      const Gather& own = buffers[i];
      CHECK_EQ(theirs[i].rows, own.rows);
      const Slice& slice = own.slices[static_cast<size_t>(peer)];
      const auto bytes = static_cast<size_t>(slice.end - slice.begin);
      // What this rank holds itself others may be reading now.
      const Slice& mine = own.slices[static_cast<size_t>(rank_)];
      const bool held = slice.begin == mine.begin && slice.end == mine.end &&
                        (own.row_groups.empty() || slice.group == mine.group);
      if (bytes == 0 || held) continue;
      for (int64_t row = 0; row < own.rows; ++row) {
        if (!own.row_groups.empty() && own.row_groups[static_cast<size_t>(row)] != slice.group) continue;
        const int64_t at = row * own.stride + slice.begin;
        std::memcpy(own.data + at, theirs[i].data + at, bytes);
      }
    }
  }
  group_.arrive_and_wait(rank_);
}

}  // namespace minimax::comm
