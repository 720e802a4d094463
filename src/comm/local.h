#pragma once
// Ranks that are threads of one process: they read each other's buffers between two barriers. Where a model's
// ranks are spread over hosts, the first of each process exchanges with the others', and the rest read from
// it.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "comm/hosts.h"

namespace minimax::comm {

struct LocalOptions {
  int32_t ranks = 1;       // of this process
  Hosts* hosts = nullptr;  // that have as many each, host 0 the first; nullptr: there is one. Borrowed
  // Times a waiting rank looks before it sleeps. 0 where there are more threads than cores: the one waited
  // for may need this core.
  int32_t spins = 0;
  // For the slowest rank to arrive. One that waited longer throws Error, and from then on so does every rank
  // that arrives: a round without it must not be ended by one that is late.
  double wait_s_max = 60;
};

// Owns the ranks' communicators; outlives their use.
class Local {
 public:
  explicit Local(const LocalOptions& options);
  Communicator& of(int32_t rank) { return ranks_[static_cast<size_t>(rank - first_)]; }
  int32_t ranks() const { return options_.ranks; }  // of this process, from first() on
  int32_t first() const { return first_; }
  int32_t ranks_in_all() const {
    return options_.hosts == nullptr ? ranks() : ranks() * options_.hosts->count();
  }

 private:
  class Rank final : public Communicator {
   public:
    Rank(Local& group, int32_t rank) : group_(group), rank_(rank) {}
    int32_t rank() const override { return rank_; }
    int32_t ranks() const override { return group_.ranks_in_all(); }
    void gather(std::span<const Gather> buffers) override;

   private:
    std::span<const Gather> published(int32_t rank) const;
    Local& group_;
    int32_t rank_;
  };

  void arrive_and_wait(int32_t rank);
  [[noreturn]] void throw_given_up(int32_t rank) const;
  void exchange(std::span<const Gather> buffers);

  LocalOptions options_;
  int32_t first_ = 0;
  std::deque<Rank> ranks_;
  std::vector<std::vector<Gather>> published_;   // [ranks], read between the two barriers of a gather
  std::vector<std::vector<std::byte>> parcels_;  // [hosts]: what each host's ranks hold, the first rank's
  // The barrier: the last rank to arrive begins the next round.
  alignas(64) std::atomic<int32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> round_{0};
  std::mutex mutex_;
  bool given_up_ = false;  // guarded by mutex_
  std::condition_variable next_round_;
};

}  // namespace minimax::comm
