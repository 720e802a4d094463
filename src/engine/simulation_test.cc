#include "engine/simulation.h"

#include <gtest/gtest.h>

namespace minimax::engine {
namespace {

// 100 000 steps over many worlds. A failure prints the seed: engine_sim --seed S replays it.
TEST(Simulation, TokensNeverDependOnBatchMatesChunksCacheOrPreemption) {
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
  }
  // The traffic must have met what it is there for.
  EXPECT_EQ(sum.finished, sum.requests);
  EXPECT_GT(sum.requests, 5000);
  EXPECT_GT(sum.preemptions, 500);
  EXPECT_GT(sum.forks, 500);
  EXPECT_GT(sum.cancelled, 500);
  EXPECT_GT(sum.failed, 10);
}

}  // namespace
}  // namespace minimax::engine
