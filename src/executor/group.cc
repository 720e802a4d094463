#include "executor/group.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

#include <fmt/format.h>

#include "base/check.h"

namespace minimax::executor {

struct Group::Impl {
  struct Rank {
    std::unique_ptr<Executor> executor;
    std::exception_ptr failure;
    StepId step = 0;
    StepResult result;
    std::thread thread;
  };

  explicit Impl(int32_t count) : ranks(static_cast<size_t>(count)) {
    for (Rank& rank : ranks) rank.thread = std::thread([this, &rank] { serve(rank); });
  }
  ~Impl() {
    ended = true;
    run([](Rank& rank, int32_t) { rank.executor.reset(); });
    for (Rank& rank : ranks) rank.thread.join();
  }

  // Gives the task to all threads and waits for them.
  void run(const std::function<void(Rank&, int32_t)>& own_task) {
    task = &own_task;
    left = static_cast<int32_t>(ranks.size());
    ++round;
    round.notify_all();
    for (int32_t still = left; still > 0; still = left) left.wait(still);
  }

  void serve(Rank& rank) {
    const auto idx = static_cast<int32_t>(&rank - ranks.data());
    for (uint32_t seen = 0;; ++seen) {
      round.wait(seen);
      (*task)(rank, idx);
      const bool last = ended;
      if (--left == 0) left.notify_one();
      if (last) return;
    }
  }

  std::vector<Rank> ranks;
  const std::function<void(Rank&, int32_t)>* task = nullptr;
  std::atomic<uint32_t> round = 0;
  std::atomic<int32_t> left = 0;
  std::atomic<bool> ended = false;
};

Group::Group(int32_t ranks, const Make& make) : impl_(std::make_unique<Impl>(ranks)) {
  impl_->run([&make](Impl::Rank& rank, int32_t idx) {
    try {
      rank.executor = make(idx);
    } catch (...) {
      rank.failure = std::current_exception();
    }
  });
  for (const Impl::Rank& rank : impl_->ranks)
    if (rank.failure) std::rethrow_exception(rank.failure);
}

Group::~Group() = default;

const Limits& Group::limits() const {
  return impl_->ranks.front().executor->limits();
}

StepId Group::submit(const StepBatch& batch) {
  impl_->run([&batch](Impl::Rank& rank, int32_t) { rank.step = rank.executor->submit(batch); });
  for (const Impl::Rank& rank : impl_->ranks) CHECK_EQ(rank.step, impl_->ranks.front().step);
  return impl_->ranks.front().step;
}

void Group::collect(StepId step, StepResult& result) {
  impl_->run([&result, step](Impl::Rank& rank, int32_t idx) {
    rank.executor->collect(step, idx == 0 ? result : rank.result);
  });
  for (size_t r = 1; r < impl_->ranks.size(); ++r) {
    const StepResult& other = impl_->ranks[r].result;
    CHECK_EQ(other.tokens.size(), result.tokens.size());
    for (size_t i = 0; i < other.tokens.size(); ++i) CHECK_EQ(other.tokens[i].token, result.tokens[i].token);
  }
}

Report Group::report() const {
  Report report = impl_->ranks.front().executor->report();
  const Report first = report;
  for (size_t r = 1; r < impl_->ranks.size(); ++r)
    for (const auto& entry : impl_->ranks[r].executor->report())
      if (std::find(first.begin(), first.end(), entry) == first.end())
        report.emplace_back(fmt::format("{} (rank {})", entry.first, r), entry.second);
  return report;
}

int32_t Group::ranks() const {
  return static_cast<int32_t>(impl_->ranks.size());
}

Executor& Group::rank(int32_t rank) {
  return *impl_->ranks[static_cast<size_t>(rank)].executor;
}

}  // namespace minimax::executor
