#include "engine/simulation.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace minimax::engine {
namespace {

// 100 000 steps over many worlds. A failure prints the seed: engine_sim --seed S replays it.
TEST(Simulation, TokensNeverDependOnBatchMatesChunksCacheOrPreemption) {
  tell_seed_on_abort();
  SimulationReport sum;
  for (uint64_t seed = 1; sum.steps < 100'000; ++seed) {
    const SimulationReport report = simulate(seed, 500);
    ASSERT_EQ(report.violation, "") << "seed " << seed;
    sum.steps += report.steps;
    sum.requests += report.requests;
    sum.finished += report.finished;
    sum.cancelled += report.cancelled;
    sum.preemptions += report.preemptions;
    sum.forks += report.forks;
    sum.failed += report.failed;
    sum.cached_tokens += report.cached_tokens;
  }
  // The traffic must have met what it is there for.
  EXPECT_EQ(sum.finished, sum.requests);
  EXPECT_GT(sum.requests, 5000);
  EXPECT_GT(sum.preemptions, 500);
  EXPECT_GT(sum.forks, 500);
  EXPECT_GT(sum.cancelled, 500);
  EXPECT_GT(sum.failed, 10);
  EXPECT_GT(sum.cached_tokens, 5000);
}

TEST(SimulationDeathTest, AnAbortTellsItsSeed) {
  EXPECT_DEATH(
      {
        tell_seed_on_abort();
        simulate(12345, 1);
        std::abort();
      },
      "seed 00000000000000012345");
}

}  // namespace
}  // namespace minimax::engine
