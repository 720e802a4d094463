// Replicas in lock step, over executors that really meet in every step.

#include "executor/lockstep.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "executor/test_steps.h"

namespace minimax::executor {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Where the fakes of all replicas meet, as ranks do in a step.
class Meeting {
 public:
  explicit Meeting(int32_t count, milliseconds limit = milliseconds(60000)) : count_(count), limit_(limit) {}

  void meet() {
    std::unique_lock lock(mutex_);
    const int64_t round = round_;
    if (++came_ == count_) {
      came_ = 0;
      ++round_;
      all_came_.notify_all();
    } else if (!all_came_.wait_for(lock, limit_, [&] { return round_ != round; })) {
      throw Error("some did not come");
    }
  }
  int64_t rounds() {
    const std::lock_guard lock(mutex_);
    return round_;
  }

 private:
  const int32_t count_;
  const milliseconds limit_;
  std::mutex mutex_;
  std::condition_variable all_came_;
  int32_t came_ = 0;
  int64_t round_ = 0;
};

// What a replica was given.
struct Seen {
  std::atomic<int32_t> steps = 0;
  std::atomic<int32_t> empty = 0;
  std::string kinds;  // of the steps in order: 'r' with rows, 'e' empty
};

struct Plan {
  int32_t fails_at = -1;  // step
  bool in_collect = false;
  bool meets = true;
};

class MeetingExecutor final : public Executor {
 public:
  MeetingExecutor(Meeting& meeting, Seen& seen, Plan plan) : meeting_(meeting), seen_(seen), plan_(plan) {}
  const Limits& limits() const override { return own_->limits(); }
  StepId submit(const StepBatch& batch) override {
    const int32_t step = seen_.steps++;
    seen_.kinds += batch.row_tokens.empty() ? 'e' : 'r';
    if (batch.row_tokens.empty()) ++seen_.empty;
    if (step == plan_.fails_at && !plan_.in_collect) throw Error("device error");
    if (plan_.meets) meeting_.meet();
    return own_->submit(batch);
  }
  void collect(StepId step, StepResult& result) override {
    if (step == plan_.fails_at) throw Error("device error");
    own_->collect(step, result);
  }
  Report report() const override { return {{"steps", std::to_string(seen_.steps)}}; }

 private:
  Meeting& meeting_;
  Seen& seen_;
  const Plan plan_;
  std::unique_ptr<Executor> own_ = fake();
};

struct Fixture {
  explicit Fixture(int32_t count, std::chrono::microseconds grace = kLockstepGrace,
                   const std::vector<Plan>& plans = {}, milliseconds limit = milliseconds(60000))
      : meeting(count, limit), seen(static_cast<size_t>(count)) {
    facades = make_lockstep(
        count,
        [&](int32_t replica) {
          const auto idx = static_cast<size_t>(replica);
          return std::make_unique<MeetingExecutor>(meeting, seen[idx], plans.empty() ? Plan{} : plans[idx]);
        },
        grace);
  }
  Meeting meeting;
  std::vector<Seen> seen;
  std::vector<std::unique_ptr<Executor>> facades;
};

TokenId run(Executor& executor, const StepBatch& batch) {
  StepResult result;
  executor.collect(executor.submit(batch), result);
  return result.tokens.empty() ? -1 : result.tokens.front().token;
}

// Tokens of one sequence; `pause` is what its engine does between steps.
std::vector<TokenId> run_sequence(Executor& executor, int32_t steps, const std::function<void()>& pause) {
  std::vector<TokenId> tokens;
  for (int32_t step = 0; step < steps; ++step) {
    pause();
    tokens.push_back(run(executor, step == 0 ? first_step() : next_step(step)));
  }
  return tokens;
}

std::vector<TokenId> alone(int32_t steps) {
  return run_sequence(*fake(), steps, [] {});
}

TEST(Lockstep, IdleReplicasJoinEmpty) {
  Fixture fixture(3);
  EXPECT_EQ(run_sequence(*fixture.facades[1], 20, [] {}), alone(20));
  fixture.facades.clear();  // the empty steps of the last wave have ended
  for (const Seen& seen : fixture.seen) EXPECT_EQ(seen.steps, 20);
  EXPECT_EQ(fixture.seen[0].empty, 20);
  EXPECT_EQ(fixture.seen[1].empty, 0);
  EXPECT_EQ(fixture.seen[2].empty, 20);
}

TEST(Lockstep, NothingRunsWhileNobodySubmits) {
  Fixture fixture(2);
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_EQ(fixture.meeting.rounds(), 0);
  run(*fixture.facades[0], first_step());
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_EQ(fixture.meeting.rounds(), 1);
}

TEST(Lockstep, AStepWithoutRowsIsAStep) {
  Fixture fixture(2);
  run(*fixture.facades[0], {});
  EXPECT_EQ(fixture.meeting.rounds(), 1);
}

TEST(Lockstep, OneReplicaIsPossible) {
  Fixture fixture(1);
  EXPECT_EQ(run_sequence(*fixture.facades[0], 10, [] {}), alone(10));
}

TEST(Lockstep, ShowsOneStepInFlight) {
  Fixture fixture(2);
  ASSERT_EQ(find_violation(fixture.facades[1]->limits()), "");
  EXPECT_EQ(fixture.facades[1]->limits().pipeline_depth, 1);
  EXPECT_EQ(fixture.facades[1]->limits().block_count, fake_limits().block_count);
  run(*fixture.facades[0], first_step());
  EXPECT_THAT(fixture.facades[1]->report(),
              testing::ElementsAre(std::pair("steps", "1"), std::pair("replicas in lock step", "2")));
}

TEST(Lockstep, AWaveWaitsForReplicasThatComeBackSoon) {
  constexpr int32_t kSteps = 20;
  Fixture fixture(3, std::chrono::seconds(20));
  std::vector<std::thread> engines;
  for (auto& facade : fixture.facades) {
    engines.emplace_back([&facade] {
      EXPECT_EQ(run_sequence(*facade, kSteps, [] {}), alone(kSteps));
      run(*facade, {});  // without rows: the others need not wait for more
    });
  }
  for (std::thread& engine : engines) engine.join();
  fixture.facades.clear();
  // One may begin before another; from its first step to its last none misses a wave.
  for (const Seen& seen : fixture.seen)
    EXPECT_THAT(seen.kinds, testing::MatchesRegex("e*" + std::string(kSteps, 'r') + "e*"));
}

TEST(Lockstep, ASlowReplicaHoldsUpTheOthersForTheGraceAtMost) {
  Fixture fixture(2, milliseconds(1));
  std::atomic<bool> fast_ended = false;
  std::thread slow([&] {
    bool first = true;
    run_sequence(*fixture.facades[1], 4, [&] {
      while (!std::exchange(first, false) && !fast_ended) std::this_thread::sleep_for(milliseconds(1));
    });
  });
  EXPECT_EQ(run_sequence(*fixture.facades[0], 20, [] {}), alone(20));
  fast_ended = true;  // hangs before, if it waits for the other
  slow.join();
  EXPECT_GE(fixture.meeting.rounds(), 20);
}

TEST(Lockstep, RandomWavesGiveTheTokensOfReplicasAlone) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const int32_t replicas = 1 + static_cast<int32_t>(random() % 5);
    Fixture fixture(replicas, std::chrono::microseconds(random() % 300));
    std::vector<std::thread> engines;
    for (auto& facade : fixture.facades) {
      engines.emplace_back([&facade, own = std::mt19937(random())]() mutable {
        const int32_t steps = 2 + static_cast<int32_t>(own() % 17);
        const auto pause = [&own] {
          if (own() % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(own() % 1500));
        };
        EXPECT_EQ(run_sequence(*facade, steps, pause), alone(steps));
      });
    }
    for (std::thread& engine : engines) engine.join();
    fixture.facades.clear();
    for (const Seen& seen : fixture.seen) EXPECT_EQ(seen.steps, fixture.meeting.rounds());
  }
}

// What a facade throws within its next steps; empty if nothing.
std::string failure_of(Executor& executor, int32_t steps) {
  try {
    run_sequence(executor, steps, [] {});
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(Lockstep, AnErrorOfOneIsThrownByAll) {
  for (const bool in_collect : {false, true}) {
    for (const bool busy : {false, true}) {
      SCOPED_TRACE(testing::Message() << "in collect " << in_collect << ", of a busy replica " << busy);
      Fixture fixture(3, kLockstepGrace, {{}, {.fails_at = 3, .in_collect = in_collect}, {}},
                      milliseconds(200));
      std::vector<std::string> failures(3);
      std::vector<std::thread> engines;
      for (const size_t idx : {0u, 1u, 2u}) {
        if (idx == 1 && !busy) continue;
        engines.emplace_back([&, idx] { failures[idx] = failure_of(*fixture.facades[idx], 20); });
      }
      for (std::thread& engine : engines) engine.join();
      for (const size_t idx : {0u, 1u, 2u}) {
        if (idx == 1 && !busy) failures[idx] = failure_of(*fixture.facades[idx], 1);
        EXPECT_EQ(failures[idx], "device error") << idx;
      }
    }
  }
}

TEST(Lockstep, NoStepBeginsAfterAnError) {
  Fixture fixture(2, kLockstepGrace, {{.fails_at = 0, .meets = false}, {.meets = false}});
  EXPECT_EQ(failure_of(*fixture.facades[0], 1), "device error");
  EXPECT_EQ(failure_of(*fixture.facades[1], 1), "device error");
  EXPECT_EQ(failure_of(*fixture.facades[1], 1), "device error");
  fixture.facades.clear();
  EXPECT_LE(fixture.seen[1].steps, 1);
}

TEST(Lockstep, ReplicasLiveUntilTheLastFacadeIsGone) {
  Fixture fixture(3);
  fixture.facades[0].reset();
  EXPECT_EQ(run_sequence(*fixture.facades[2], 5, [] {}), alone(5));
  fixture.facades[2].reset();
  EXPECT_EQ(run_sequence(*fixture.facades[1], 5, [] {}), alone(5));
}

TEST(Lockstep, AFacadeMayGoWithItsStepInFlight) {
  Fixture fixture(2);
  fixture.facades[0]->submit(first_step());
  fixture.facades[0].reset();
  EXPECT_EQ(run_sequence(*fixture.facades[1], 5, [] {}), alone(5));
}

TEST(Lockstep, ReplicasAreMadeAndDestroyedTogether) {
  class Collective final : public Executor {
   public:
    explicit Collective(Meeting& meeting) : meeting_(meeting) { meeting_.meet(); }
    ~Collective() override { meeting_.meet(); }
    const Limits& limits() const override { return limits_; }
    StepId submit(const StepBatch&) override { return 0; }
    void collect(StepId, StepResult&) override {}
    Report report() const override { return {}; }

   private:
    Meeting& meeting_;
    Limits limits_ = fake_limits();
  };
  Meeting meeting(4);
  auto facades = make_lockstep(4, [&](int32_t) { return std::make_unique<Collective>(meeting); });
  EXPECT_EQ(meeting.rounds(), 1);
  facades.clear();
  EXPECT_EQ(meeting.rounds(), 2);
}

TEST(Lockstep, ThrowsWhatAReplicaThrowsWhenItIsMade) {
  try {
    make_lockstep(3, [](int32_t replica) {
      if (replica == 1) throw Error("replica 1 cannot be had");
      return fake();
    });
    FAIL() << "made";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "replica 1 cannot be had");
  }
}

}  // namespace
}  // namespace minimax::executor
