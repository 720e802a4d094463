#include "executor/lockstep.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace minimax::executor {

namespace {

using Clock = std::chrono::steady_clock;

class Lockstep {
 public:
  Lockstep(int32_t count, const MakeReplica& make, std::chrono::microseconds grace);
  ~Lockstep() { end(); }

  const Limits& limits() const { return limits_; }
  StepId submit(int32_t idx, const StepBatch& batch);
  void collect(int32_t idx, StepId step, StepResult& result);
  Report report(int32_t idx);

 private:
  // A replica's part of the wave.
  enum class Part : uint8_t {
    kNone,  // there is no wave, or the part has ended
    kStep,  // of its engine
    kEmpty
  };
  struct Replica {
    std::unique_ptr<Executor> executor;
    Part part = Part::kNone;
    bool waits = false;        // its engine, with a step for the next wave
    bool brings_rows = false;  // that step
    bool had_rows = false;     // its part of the last wave
    StepResult result;         // of empty steps
    std::thread thread;
  };

  void serve(Replica& replica, const MakeReplica& make);
  void end();
  // The following need the mutex.
  bool all_came() const;
  void start_wave();
  void end_part(Replica& replica);
  void fail(const std::string& what);
  void throw_if_failed() const;
  // Calls without it, and ends all if the call throws.
  template <typename Call>
  void guarded(Replica& replica, const Call& call);

  Replica& at(int32_t idx) { return replicas_[static_cast<size_t>(idx)]; }

  const std::chrono::microseconds grace_;
  Limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;  // any of what follows
  std::vector<Replica> replicas_;
  int32_t made_ = 0;
  int32_t in_wave_ = 0;  // replicas whose part of the wave has not ended
  Clock::time_point wave_end_;
  bool failed_ = false;
  std::string failure_;
  bool ended_ = false;
};

Lockstep::Lockstep(int32_t count, const MakeReplica& make, std::chrono::microseconds grace)
    : grace_(grace), replicas_(static_cast<size_t>(count)) {
  CHECK_GE(count, 1);
  for (Replica& replica : replicas_)
    replica.thread = std::thread([this, &replica, &make] { serve(replica, make); });
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return made_ == count; });
  }
  if (failed_) {
    end();
    throw_if_failed();
  }
  limits_ = replicas_.front().executor->limits();
  limits_.pipeline_depth = 1;
}

void Lockstep::end() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  for (Replica& replica : replicas_)
    if (replica.thread.joinable()) replica.thread.join();
}

// The thread of a replica: makes it, joins waves for it while its engine has nothing to do, destroys it.
void Lockstep::serve(Replica& replica, const MakeReplica& make) {
  std::string failure;
  try {
    replica.executor = make(static_cast<int32_t>(&replica - replicas_.data()));
  } catch (const std::exception& error) {
    failure = error.what();
  }
  std::unique_lock lock(mutex_);
  if (replica.executor == nullptr) fail(failure);
  ++made_;
  changed_.notify_all();
  while (true) {
    changed_.wait(lock, [&] { return ended_ || replica.part == Part::kEmpty; });
    if (replica.part != Part::kEmpty) break;
    lock.unlock();
    try {
      guarded(replica, [&] { replica.executor->collect(replica.executor->submit({}), replica.result); });
      lock.lock();
      end_part(replica);
    } catch (const Error&) {  // the engines hear of it
      lock.lock();
    }
  }
  lock.unlock();
  replica.executor.reset();
}

bool Lockstep::all_came() const {
  return std::ranges::all_of(replicas_,
                             [](const Replica& replica) { return !replica.had_rows || replica.waits; });
}

void Lockstep::start_wave() {
  for (Replica& replica : replicas_) {
    replica.part = replica.waits ? Part::kStep : Part::kEmpty;
    replica.had_rows = replica.waits && replica.brings_rows;
    replica.waits = false;
  }
  in_wave_ = static_cast<int32_t>(replicas_.size());
  changed_.notify_all();
}

void Lockstep::end_part(Replica& replica) {
  replica.part = Part::kNone;
  if (--in_wave_ == 0) wave_end_ = Clock::now();
  changed_.notify_all();
}

void Lockstep::fail(const std::string& what) {
  if (!failed_) failure_ = what;
  failed_ = true;
  changed_.notify_all();
}

void Lockstep::throw_if_failed() const {
  if (failed_) throw Error("{}", failure_);
}

template <typename Call>
void Lockstep::guarded(Replica& replica, const Call& call) {
  std::string failure;
  try {
    call();
    return;
  } catch (const std::exception& error) {
    failure = error.what();
  }
  const std::lock_guard lock(mutex_);
  fail(failure);
  end_part(replica);
  throw_if_failed();
}

StepId Lockstep::submit(int32_t idx, const StepBatch& batch) {
  Replica& replica = at(idx);
  {
    std::unique_lock lock(mutex_);
    throw_if_failed();
    CHECK(!replica.waits && replica.part != Part::kStep);  // one step in flight
    // From now on, even if an empty step of its is under way: or a wave might start before this thread wakes.
    replica.waits = true;
    replica.brings_rows = !batch.row_tokens.empty();
    while (replica.waits && !failed_) {
      if (in_wave_ > 0) {
        changed_.wait(lock);
      } else if (all_came() || Clock::now() >= wave_end_ + grace_) {
        start_wave();
      } else {
        changed_.wait_until(lock, wave_end_ + grace_);
      }
    }
    if (replica.waits) {
      replica.waits = false;
      throw_if_failed();
    }
  }
  StepId step = 0;
  guarded(replica, [&] { step = replica.executor->submit(batch); });
  return step;
}

void Lockstep::collect(int32_t idx, StepId step, StepResult& result) {
  Replica& replica = at(idx);
  guarded(replica, [&] { replica.executor->collect(step, result); });
  const std::lock_guard lock(mutex_);
  end_part(replica);
  throw_if_failed();
}

Report Lockstep::report(int32_t idx) {
  Replica& replica = at(idx);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return replica.part == Part::kNone; });
  Report report = replica.executor->report();
  report.emplace_back("replicas in lock step", std::to_string(replicas_.size()));
  return report;
}

// What the engine of one replica sees.
class Facade final : public Executor {
 public:
  Facade(std::shared_ptr<Lockstep> replicas, int32_t idx) : replicas_(std::move(replicas)), idx_(idx) {}
  ~Facade() override {
    if (in_flight_ < 0) return;
    try {  // or the others' wave would never end
      StepResult result;
      replicas_->collect(idx_, in_flight_, result);
    } catch (const Error&) {  // they hear of it
    }
  }

  const Limits& limits() const override { return replicas_->limits(); }
  StepId submit(const StepBatch& batch) override { return in_flight_ = replicas_->submit(idx_, batch); }
  void collect(StepId step, StepResult& result) override {
    CHECK_EQ(step, in_flight_);
    in_flight_ = -1;
    replicas_->collect(idx_, step, result);
  }
  Report report() const override { return replicas_->report(idx_); }

 private:
  std::shared_ptr<Lockstep> replicas_;  // shared: the last facade ends them
  int32_t idx_;
  StepId in_flight_ = -1;
};

}  // namespace

std::vector<std::unique_ptr<Executor>> make_lockstep(int32_t replicas, const MakeReplica& make,
                                                     std::chrono::microseconds grace) {
  const auto lockstep = std::make_shared<Lockstep>(replicas, make, grace);
  std::vector<std::unique_ptr<Executor>> facades;
  facades.reserve(static_cast<size_t>(replicas));
  for (int32_t i = 0; i < replicas; ++i) facades.push_back(std::make_unique<Facade>(lockstep, i));
  return facades;
}

}  // namespace minimax::executor
