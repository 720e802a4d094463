#include "comm/local.h"

#include <chrono>
#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace minimax::comm {

Local::Local(const LocalOptions& options)
    : options_(options),
      first_(options.hosts == nullptr ? 0 : options.hosts->rank() * options.ranks),
      published_(static_cast<size_t>(options.ranks)) {
  CHECK_GE(options.ranks, 1);
  for (int32_t i = 0; i < options.ranks; ++i) ranks_.emplace_back(*this, first_ + i);
  if (options.hosts != nullptr) parcels_.resize(static_cast<size_t>(options.hosts->count()));
}

void Local::throw_given_up(int32_t rank) const {
  throw Error("rank {}: another rank has given up waiting, after {} s", rank, options_.wait_s_max);
}

void Local::arrive_and_wait(int32_t rank) {
  const uint32_t round = round_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == options_.ranks) {
    {
      const std::lock_guard lock(mutex_);  // a rank between its last look and its sleep must hear of it
      if (given_up_) throw_given_up(rank);
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
    }
    next_round_.notify_all();
    return;
  }
  const auto over = [&] { return round_.load(std::memory_order_acquire) != round; };
  for (int32_t i = 0; i < options_.spins; ++i)
    if (over()) return;
  std::unique_lock lock(mutex_);
  const auto ended = [&] { return given_up_ || over(); };
  const bool in_time = next_round_.wait_for(lock, std::chrono::duration<double>(options_.wait_s_max), ended);
  if (over()) return;
  if (in_time) throw_given_up(rank);
  given_up_ = true;
  next_round_.notify_all();
  throw Error("rank {} waited {} s for the other ranks of {}: {} of them came", rank, options_.wait_s_max,
              options_.ranks, arrived_.load() - 1);
}

// Calls visit(buffer, byte of its data, bytes) for what `rank` holds, in an order that is the same on all
// hosts.
template <typename Visit>
static void for_each_part(std::span<const Gather> buffers, int32_t rank, const Visit& visit) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    const Gather& buffer = buffers[i];
    const Slice& slice = buffer.slices[static_cast<size_t>(rank)];
    const auto bytes = static_cast<size_t>(slice.end - slice.begin);
    if (bytes == 0) continue;
    for (int64_t row = 0; row < buffer.rows; ++row) {
      if (!buffer.row_groups.empty() && buffer.row_groups[static_cast<size_t>(row)] != slice.group) continue;
      visit(i, row * buffer.stride + slice.begin, bytes);
    }
  }
}

// A rank that holds the same as this one: others may be reading that now.
static bool is_held(const Gather& buffer, int32_t rank, int32_t own) {
  const Slice& slice = buffer.slices[static_cast<size_t>(rank)];
  const Slice& mine = buffer.slices[static_cast<size_t>(own)];
  return slice.begin == mine.begin && slice.end == mine.end &&
         (buffer.row_groups.empty() || slice.group == mine.group);
}

std::span<const Gather> Local::Rank::published(int32_t rank) const {
  return group_.published_[static_cast<size_t>(rank - group_.first_)];
}

// What another rank of this process has made of its buffers.
static void copy_parts(std::span<const Gather> own, std::span<const Gather> from, int32_t own_rank,
                       int32_t rank) {
  CHECK_EQ(from.size(), own.size());
  for (size_t i = 0; i < own.size(); ++i) CHECK_EQ(from[i].rows, own[i].rows);
  for_each_part(own, rank, [&](size_t i, int64_t at, size_t bytes) {
    if (!is_held(own[i], rank, own_rank)) std::memcpy(own[i].data + at, from[i].data + at, bytes);
  });
}

// The first rank of the process, whose buffers hold all that its ranks have: those of the other hosts too.
void Local::exchange(std::span<const Gather> buffers) {
  Hosts& hosts = *options_.hosts;
  std::vector<std::span<std::byte>> theirs(parcels_.size());
  for (int32_t host = 0; host < hosts.count(); ++host) {
    std::vector<std::byte>& parcel = parcels_[static_cast<size_t>(host)];
    parcel.clear();
    for (int32_t rank = host * ranks(); rank < (host + 1) * ranks(); ++rank) {
      for_each_part(buffers, rank, [&](size_t i, int64_t at, size_t bytes) {
        if (host == hosts.rank()) {
          parcel.insert(parcel.end(), buffers[i].data + at, buffers[i].data + at + bytes);
        } else {
          parcel.resize(parcel.size() + bytes);
        }
      });
    }
    theirs[static_cast<size_t>(host)] = parcel;
  }
  hosts.exchange(parcels_[static_cast<size_t>(hosts.rank())], theirs);
  for (int32_t host = 0; host < hosts.count(); ++host) {
    if (host == hosts.rank()) continue;
    const std::byte* from = parcels_[static_cast<size_t>(host)].data();
    for (int32_t rank = host * ranks(); rank < (host + 1) * ranks(); ++rank) {
      for_each_part(buffers, rank, [&](size_t i, int64_t at, size_t bytes) {
        if (!is_held(buffers[i], rank, first_)) std::memcpy(buffers[i].data + at, from, bytes);
        from += bytes;
      });
    }
  }
}

void Local::Rank::gather(std::span<const Gather> buffers) {
  if (ranks() == 1) return;
  const int32_t first = group_.first_, end = first + group_.ranks();
  group_.published_[static_cast<size_t>(rank_ - first)].assign(buffers.begin(), buffers.end());
  group_.arrive_and_wait(rank_);
  for (int32_t peer = first; peer < end; ++peer)
    if (peer != rank_) copy_parts(buffers, published(peer), rank_, peer);
  if (group_.options_.hosts != nullptr) {
    if (rank_ == first) group_.exchange(buffers);
    group_.arrive_and_wait(rank_);
    for (int32_t far = 0; far < ranks() && rank_ != first; ++far)
      if (far < first || far >= end) copy_parts(buffers, published(first), rank_, far);
  }
  group_.arrive_and_wait(rank_);
}

}  // namespace minimax::comm
