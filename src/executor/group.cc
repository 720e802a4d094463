#include "executor/group.h"

#include <algorithm>
#include <atomic>
#include <chrono>
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
    std::atomic<uint32_t> rounds = 0;  // done
    std::thread thread;
  };

  explicit Impl(int32_t count) : ranks(static_cast<size_t>(count)) {
    for (Rank& rank : ranks) rank.thread = std::thread([this, &rank] { serve(rank); });
  }
  ~Impl() {
    while (!all_done()) std::this_thread::sleep_for(kPoll);  // of a round that failed
    ended = true;
    for (Rank& rank : ranks) rank.failure = nullptr;
    any_failed = false;
    run([](Rank& rank, int32_t) { rank.executor.reset(); });
    for (Rank& rank : ranks) rank.thread.join();
  }

  static constexpr std::chrono::milliseconds kPoll{5};
  using Task = std::function<void(Rank&, int32_t)>;

  // Gives the task to all threads and waits for them; throws the failure of the first rank that has one,
  // `grace` after it at the latest.
  void run(Task own_task, std::chrono::steady_clock::duration grace = kGrace) {
    task = std::move(own_task);  // kept: a rank that hangs may look at it later
    left = static_cast<int32_t>(ranks.size());
    ++round;
    round.notify_all();
    for (int32_t still = left; still > 0; still = left) left.wait(still);
    if (!any_failed) return;
    for (const auto start = std::chrono::steady_clock::now();
         !all_done() && std::chrono::steady_clock::now() - start < grace;)
      std::this_thread::sleep_for(kPoll);
    for (Rank& rank : ranks)
      if (rank.rounds == round && rank.failure) std::rethrow_exception(rank.failure);
  }

  bool all_done() const {
    return std::ranges::all_of(ranks, [&](const Rank& rank) { return rank.rounds == round; });
  }

  void serve(Rank& rank) {
    const auto idx = static_cast<int32_t>(&rank - ranks.data());
    for (uint32_t seen = 0;; ++seen) {
      round.wait(seen);
      try {
        task(rank, idx);
      } catch (...) {
        rank.failure = std::current_exception();
      }
      const bool last = ended, failed = rank.failure != nullptr;
      ++rank.rounds;
      if (failed) {
        any_failed = true;
        left = 0;  // others may never come
        left.notify_one();
      } else if (--left == 0) {
        left.notify_one();
      }
      if (last) return;
    }
  }

  std::vector<Rank> ranks;
  Task task;
  std::atomic<bool> any_failed = false;
  std::atomic<uint32_t> round = 0;
  std::atomic<int32_t> left = 0;
  std::atomic<bool> ended = false;
};

Group::Group(int32_t ranks, const Make& make) : impl_(std::make_unique<Impl>(ranks)) {
  impl_->run([&make](Impl::Rank& rank, int32_t idx) { rank.executor = make(idx); },
             std::chrono::steady_clock::duration::max());  // others may read a checkpoint for minutes
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
