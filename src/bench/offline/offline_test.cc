#include "bench/offline/offline.h"

#include <gtest/gtest.h>

#include "executor/fake.h"

namespace minimax::bench {
namespace {

TEST(Offline, CountsWhatWasAskedForAndTellsWhatFailed) {
  executor::FakeExecutor executor({.limits = executor::fake_limits()});
  engine::Engine engine(executor, {});
  const OfflineRun run = run_offline(engine, offline_requests({{1, 2, 3}, {4, 5}, {49, 7, 8, 9}}, {5, 1, 7}));
  EXPECT_EQ(run.prompt_tokens, 9);
  EXPECT_EQ(run.output_tokens, 13);
  EXPECT_EQ(run.failed, 0);
  EXPECT_GT(run.seconds, 0);
  const OfflineRun bad = run_offline(engine, offline_requests({{1}, {50}}, {1, 1}));
  EXPECT_EQ(bad.failed, 1);
  EXPECT_EQ(bad.output_tokens, 1);
  EXPECT_FALSE(bad.error.empty());
}

}  // namespace
}  // namespace minimax::bench
