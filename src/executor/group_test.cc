#include "executor/group.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "executor/test_steps.h"

namespace minimax::executor {
namespace {

TEST(Group, GivesEveryRankEveryStep) {
  Group group(3, [](int32_t) { return fake(); });
  const std::unique_ptr<Executor> alone = fake();
  StepBatch batch = first_step();
  for (int32_t step = 0; step < 20; ++step) {
    StepResult own, expected;
    group.collect(group.submit(batch), own);
    alone->collect(alone->submit(batch), expected);
    ASSERT_EQ(own.tokens.size(), 1u);
    EXPECT_EQ(own.tokens[0].token, expected.tokens[0].token);
    batch = next_step(step + 1);
  }
}

TEST(Group, MakesAndRunsEachRankInOneThread) {
  class Watching final : public Executor {
   public:
    const Limits& limits() const override { return limits_; }
    StepId submit(const StepBatch&) override {
      EXPECT_EQ(std::this_thread::get_id(), thread_);
      return next_++;
    }
    void collect(StepId, StepResult&) override { EXPECT_EQ(std::this_thread::get_id(), thread_); }
    Report report() const override { return {}; }

   private:
    Limits limits_ = fake_limits();
    std::thread::id thread_ = std::this_thread::get_id();
    StepId next_ = 0;
  };
  Group group(4, [](int32_t) { return std::make_unique<Watching>(); });
  StepResult result;
  for (int i = 0; i < 3; ++i) group.collect(group.submit({}), result);
}

TEST(Group, ThrowsWhatARankThrows) {
  try {
    Group group(3, [](int32_t rank) {
      if (rank == 1) throw Error("rank 1 cannot be had");
      return fake();
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 1 cannot be had");
  }
}

// A rank that throws at its third step, or hangs there until it is let go.
class Failing final : public Executor {
 public:
  Failing(bool hangs, std::atomic<bool>* let_go) : hangs_(hangs), let_go_(let_go) {}
  const Limits& limits() const override { return limits_; }
  StepId submit(const StepBatch&) override {
    if (next_ == 2 && !hangs_) throw Error("rank 2: device error");
    while (next_ == 2 && !*let_go_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return next_++;
  }
  void collect(StepId, StepResult&) override {}
  Report report() const override { return {}; }

 private:
  Limits limits_ = fake_limits();
  bool hangs_;
  std::atomic<bool>* let_go_;
  StepId next_ = 0;
};

TEST(Group, AStepThrowsWhatARankThrowsEvenIfAnotherHangs) {
  for (const bool hang : {false, true}) {
    std::atomic<bool> let_go = !hang;
    Group group(3, [&](int32_t rank) { return std::make_unique<Failing>(rank != 2, &let_go); });
    StepResult result;
    for (int i = 0; i < 2; ++i) group.collect(group.submit({}), result);
    try {
      group.submit({});
      FAIL() << "came back";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "rank 2: device error");
    }
    let_go = true;  // or the destructor would wait for ever
  }
}

TEST(GroupDeathTest, EndsWhereRanksDrawOtherTokens) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        Group group(2, [](int32_t rank) { return fake(rank == 1 ? 1 : 0); });
        StepResult result;
        group.collect(group.submit(first_step()), result);
      },
      "");
}

}  // namespace
}  // namespace minimax::executor
