#include "executor/host_group.h"

#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "executor/test_steps.h"

namespace minimax::executor {
namespace {

using testing::HasSubstr;

const std::string kHere = "127.0.0.1";

// Runs the others in threads; what follow() threw, or "" for each.
std::vector<std::string> with_hosts(int32_t count,
                                    const std::function<std::unique_ptr<Executor>(int32_t)>& make,
                                    const std::function<void(HostGroup&)>& body) {
  const comm::Listener listener(kHere, 0);
  std::vector<std::string> failures(static_cast<size_t>(count));
  std::vector<std::thread> others;
  for (int32_t rank = 1; rank < count; ++rank) {
    others.emplace_back([&, rank] {
      comm::Hosts hosts({.rank = rank, .count = count}, std::span(&kHere, 1), listener.port());
      const std::unique_ptr<Executor> own = make(rank);
      try {
        follow(*own, hosts);
      } catch (const Error& error) {
        failures[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  {
    comm::Hosts hosts({.rank = 0, .count = count}, listener);
    HostGroup group(make(0), hosts);
    body(group);
  }
  for (std::thread& other : others) other.join();
  return failures;
}

void run_steps(Executor& executor, int32_t steps) {
  const std::unique_ptr<Executor> alone = fake();
  for (int32_t step = 0; step < steps; ++step) {
    const StepBatch batch = step == 0 ? first_step() : next_step(step);
    StepResult own, expected;
    executor.collect(executor.submit(batch), own);
    alone->collect(alone->submit(batch), expected);
    ASSERT_EQ(own.tokens.size(), 1u);
    ASSERT_EQ(own.tokens[0].token, expected.tokens[0].token);
  }
}

TEST(HostGroup, EveryHostComputesEveryStep) {
  const auto failures = with_hosts(
      3, [](int32_t) { return fake(); }, [](HostGroup& group) { run_steps(group, 20); });
  EXPECT_THAT(failures, testing::Each(""));
}

TEST(HostGroup, OtherTokensAreNoticed) {
  class Astray final : public Executor {
   public:
    const Limits& limits() const override { return own_->limits(); }
    StepId submit(const StepBatch& batch) override { return own_->submit(batch); }
    void collect(StepId step, StepResult& result) override {
      own_->collect(step, result);
      for (SampledToken& token : result.tokens) token.token ^= 1;
    }
    Report report() const override { return {}; }

   private:
    std::unique_ptr<Executor> own_ = fake();
  };
  const auto make = [](int32_t rank) -> std::unique_ptr<Executor> {
    if (rank == 1) return std::make_unique<Astray>();
    return fake();
  };
  const auto failures = with_hosts(2, make, [](HostGroup& group) { run_steps(group, 2); });
  EXPECT_THAT(failures[1], HasSubstr("they compute different things"));
}

TEST(HostGroup, ALostHostEndsTheStep) {
  class Lost final : public Executor {
   public:
    const Limits& limits() const override { return limits_; }
    StepId submit(const StepBatch&) override { throw Error("the card has fallen off the bus"); }
    void collect(StepId, StepResult&) override {}
    Report report() const override { return {}; }

   private:
    Limits limits_ = fake_limits();
  };
  const auto make = [](int32_t rank) -> std::unique_ptr<Executor> {
    if (rank == 1) return std::make_unique<Lost>();
    return fake();
  };
  const auto failures = with_hosts(2, make, [](HostGroup& group) {
    std::string failure;
    try {
      for (int step = 0; step < 1000; ++step) {
        StepResult result;
        group.collect(group.submit({}), result);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    } catch (const Error& error) {
      failure = error.what();
    }
    EXPECT_THAT(failure, HasSubstr("host 1 (127.0.0.1) "));
  });
  EXPECT_EQ(failures[1], "the card has fallen off the bus");
}

}  // namespace
}  // namespace minimax::executor
