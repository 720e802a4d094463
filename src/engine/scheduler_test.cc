#include "engine/scheduler.h"

#include <numeric>

#include <gtest/gtest.h>

#include "engine/solo_run.h"
#include "executor/fake.h"

namespace minimax::engine {
namespace {

using executor::fake_limits;
using executor::FakeExecutor;
using executor::Limits;

// A scheduler and its executor, driven by hand. Blocks of 4 tokens.
struct World {
  explicit World(const Limits& limits = fake_limits(), const Options& options = {})
      : executor({.limits = limits}), scheduler(limits, options) {}

  // Plans, submits and collects one step. False: nothing to do.
  bool step() {
    if (!submit()) return false;
    collect();
    return true;
  }
  bool submit() {
    if (!scheduler.plan(batch, ++now)) return false;
    scheduler.submitted(executor.submit(batch));
    scheduler.check_invariants();
    return true;
  }
  void collect() {
    const executor::StepId step = scheduler.oldest_step();
    executor.collect(step, result);
    scheduler.collected(step, result, now, events);
    scheduler.check_invariants();
  }
  void run() {
    for (int i = 0; i < 10'000 && step(); ++i) {
    }
    EXPECT_TRUE(scheduler.idle());
  }
  std::vector<TokenEvent> events_of(RequestKey key, int32_t sample_idx = 0) const {
    std::vector<TokenEvent> out;
    for (const SchedulerEvent& event : events) {
      if (event.key == key && event.event.sample_idx == sample_idx) out.push_back(event.event);
    }
    return out;
  }
  std::vector<TokenId> tokens_of(RequestKey key, int32_t sample_idx = 0) const {
    std::vector<TokenId> out;
    for (const TokenEvent& event : events_of(key, sample_idx)) {
      if (event.has_token) out.push_back(event.token);
    }
    return out;
  }
  PromptInfo info_of(RequestKey key) const {
    for (const SchedulerEvent& event : events) {
      if (event.key == key && event.prompt_info) return *event.prompt_info;
    }
    ADD_FAILURE() << "no prompt info";
    return {};
  }

  FakeExecutor executor;
  Scheduler scheduler;
  executor::StepBatch batch;
  executor::StepResult result;
  std::vector<SchedulerEvent> events;
  int64_t now = 0;
};

Request request(int32_t prompt_tokens, int32_t max_tokens, TokenId first = 1) {
  Request out;
  out.prompt.resize(static_cast<size_t>(prompt_tokens));
  std::iota(out.prompt.begin(), out.prompt.end(), first);
  out.max_tokens = max_tokens;
  out.spec.temperature = 0;
  return out;
}

std::vector<TokenId> solo_tokens(const Request& wanted, int32_t sample_idx = 0) {
  Limits limits = fake_limits();
  limits.step_rows_max = limits.step_samples_max = 64;
  FakeExecutor executor({.limits = limits});
  std::vector<TokenId> out;
  for (const TokenEvent& event : run_solo(executor, wanted, sample_idx, 64).events)
    out.push_back(event.token);
  return out;
}

TEST(Scheduler, OfACachedPromptOnlyTheEndIsComputedAgain) {
  World world;
  const RequestKey first = world.scheduler.add(request(8, 2), 0);
  world.run();
  EXPECT_EQ(world.info_of(first).cached_tokens, 0);
  const RequestKey second = world.scheduler.add(request(8, 2), 0);
  ASSERT_TRUE(world.step());
  // Both blocks are full and known, but the last token's row is needed for its logits.
  EXPECT_EQ(world.batch.row_tokens.size(), 4u);
  world.run();
  EXPECT_EQ(world.info_of(second).cached_tokens, 4);
  EXPECT_EQ(world.tokens_of(second), world.tokens_of(first));
  EXPECT_EQ(world.scheduler.stats().prefix_hits, 4);
}

TEST(Scheduler, AnAnswerIsCachedForTheNextTurn) {
  World world;
  const RequestKey first = world.scheduler.add(request(6, 7), 0);
  world.run();
  Request next = request(6, 2);
  for (const TokenId token : world.tokens_of(first)) next.prompt.push_back(token);
  next.prompt.push_back(40);
  const RequestKey second = world.scheduler.add(next, 0);
  world.run();
  // 6 + 7 tokens, the last of which was never computed: 12 positions, 3 blocks.
  EXPECT_EQ(world.info_of(second).cached_tokens, 12);
  EXPECT_EQ(world.tokens_of(second), solo_tokens(next));
}

TEST(Scheduler, BlocksAreSharedOnlyUnderOneSalt) {
  World world;
  Request salted = request(9, 1);
  salted.cache_salt = "tenant a";
  world.scheduler.add(salted, 0);
  world.run();
  Request other = request(9, 1);
  other.cache_salt = "tenant b";
  const RequestKey b = world.scheduler.add(other, 0);
  world.run();
  EXPECT_EQ(world.info_of(b).cached_tokens, 0);
  const RequestKey a = world.scheduler.add(salted, 0);
  world.run();
  EXPECT_EQ(world.info_of(a).cached_tokens, 8);
}

TEST(Scheduler, WithoutPrefixCachingNothingIsReused) {
  World world(fake_limits(), {.prefix_caching = false});
  world.scheduler.add(request(9, 1), 0);
  world.run();
  const RequestKey again = world.scheduler.add(request(9, 1), 0);
  world.run();
  EXPECT_EQ(world.info_of(again).cached_tokens, 0);
}

TEST(Scheduler, PromptLogprobsNeedEveryRowAndComeOnceEach) {
  Limits limits = fake_limits();
  limits.step_samples_max = 4;  // scores and samples a step
  World world(limits);
  world.scheduler.add(request(12, 1), 0);
  world.run();
  Request scored = request(12, 1);
  scored.prompt_logprobs = 2;
  const RequestKey key = world.scheduler.add(scored, 0);
  world.run();
  EXPECT_EQ(world.info_of(key).cached_tokens, 0);
  ASSERT_EQ(world.info_of(key).prompt_logprobs.size(), 11u);
  for (const TokenLogprobs& entry : world.info_of(key).prompt_logprobs) EXPECT_EQ(entry.top.size(), 2u);
}

TEST(Scheduler, SamplesShareThePromptAndCopyItsLastBlock) {
  World world;
  Request many = request(6, 3);  // one full block, one half
  many.n = 3;
  many.spec.temperature = 1;
  many.spec.seed = 5;
  const RequestKey key = world.scheduler.add(many, 0);
  ASSERT_TRUE(world.step());
  EXPECT_EQ(world.batch.row_tokens.size(), 6u);  // the prompt once
  EXPECT_EQ(world.batch.samples.size(), 3u);
  EXPECT_EQ(world.batch.slot_forks.size(), 2u);
  ASSERT_TRUE(world.step());
  EXPECT_GE(world.batch.block_copies.size(), 2u);
  world.run();
  for (int32_t sample = 0; sample < 3; ++sample)
    EXPECT_EQ(world.tokens_of(key, sample), solo_tokens(many, sample)) << "sample " << sample;
  EXPECT_NE(world.tokens_of(key, 0), world.tokens_of(key, 1));
  EXPECT_EQ(world.scheduler.stats().kv_cache_usage, 0);
}

TEST(Scheduler, APreemptedSequenceLosesNothing) {
  Limits limits = fake_limits();
  limits.block_count = 5;  // 20 positions for two sequences that want 16 each
  limits.context_tokens_max = 20;
  World world(limits);
  const RequestKey a = world.scheduler.add(request(6, 10, 1), 0);
  const RequestKey b = world.scheduler.add(request(6, 10, 20), 0);
  world.run();
  EXPECT_GT(world.scheduler.stats().preemptions, 0);
  EXPECT_EQ(world.tokens_of(a), solo_tokens(request(6, 10, 1)));
  EXPECT_EQ(world.tokens_of(b), solo_tokens(request(6, 10, 20)));
}

TEST(Scheduler, DecodeComesBeforePromptsAndPromptsComeInChunks) {
  Limits limits = fake_limits();
  limits.step_rows_max = 5;
  World world(limits);
  world.scheduler.add(request(4, 10), 0);
  ASSERT_TRUE(world.step());
  world.scheduler.add(request(9, 2, 20), 0);
  std::vector<std::vector<int32_t>> rows;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(world.step());
    rows.emplace_back();
    for (const auto& sequence : world.batch.sequences) rows.back().push_back(sequence.row_count);
  }
  EXPECT_EQ(rows, (std::vector<std::vector<int32_t>>{{1, 4}, {1, 4}, {1, 1}}));
}

TEST(Scheduler, PriorityGoesFirstAndFcfsIgnoresIt) {
  for (const SchedulingPolicy policy : {SchedulingPolicy::kFcfs, SchedulingPolicy::kPriority}) {
    World world(fake_limits(), {.policy = policy, .running_max = 1});
    Request late = request(3, 1, 20);
    late.priority = -1;
    const RequestKey a = world.scheduler.add(request(3, 1), 0);
    const RequestKey b = world.scheduler.add(late, 0);
    world.run();
    const bool priority = policy == SchedulingPolicy::kPriority;
    EXPECT_EQ(world.events.front().key, priority ? b : a);
  }
}

TEST(Scheduler, StopIdsEndASequenceAndAreToldAsItsLastToken) {
  Request stopping = request(5, 20);
  const TokenId third = solo_tokens(stopping)[2];
  stopping.spec.stop_ids = {third};
  World world;
  const RequestKey key = world.scheduler.add(stopping, 0);
  world.run();
  const TokenEvent last = world.events_of(key).back();
  EXPECT_EQ(last.finish, FinishReason::kStop);
  EXPECT_TRUE(last.has_token);
  EXPECT_EQ(last.token, third);
  EXPECT_EQ(last.stop_token, third);
}

TEST(Scheduler, TheEndOfTheContextIsALength) {
  World world(fake_limits(), {.context_tokens_max = 10});
  const RequestKey key = world.scheduler.add(request(6, 100), 0);
  world.run();
  EXPECT_EQ(world.tokens_of(key).size(), 4u);
  EXPECT_EQ(world.events_of(key).back().finish, FinishReason::kLength);
}

TEST(Scheduler, AContextBeyondThePoolEndsAtThePool) {
  Limits limits = fake_limits();
  limits.block_count = 3;
  World world(limits);
  EXPECT_EQ(world.scheduler.context_tokens_max(), 12);
  const RequestKey key = world.scheduler.add(request(11, 100), 0);
  world.run();
  EXPECT_EQ(world.tokens_of(key).size(), 1u);
  EXPECT_EQ(world.scheduler.check(request(12, 1)).failure().param, "prompt");
}

TEST(Scheduler, ANumberThatIsNoneEndsThatSequenceAlone) {
  World world;
  Request excluded = request(4, 5);
  excluded.spec.allowed_ids = {7};
  excluded.spec.bad_words = {{7}};
  const RequestKey bad = world.scheduler.add(excluded, 0);
  const RequestKey good = world.scheduler.add(request(4, 5, 9), 0);
  world.run();
  EXPECT_EQ(world.events_of(bad).back().finish, FinishReason::kError);
  EXPECT_FALSE(world.events_of(bad).back().error.empty());
  EXPECT_EQ(world.events_of(good).back().finish, FinishReason::kLength);
}

// Depth 2: the next row is under way before the stop is known.
TEST(Scheduler, ATokenDrawnAfterTheEndIsDropped) {
  Limits limits = fake_limits();
  limits.pipeline_depth = 2;
  Request stopping = request(5, 20);
  const TokenId second = solo_tokens(stopping)[1];
  stopping.spec.stop_ids = {second};
  World world(limits);
  const RequestKey key = world.scheduler.add(stopping, 0);
  ASSERT_TRUE(world.submit());
  ASSERT_TRUE(world.submit());
  EXPECT_EQ(world.batch.row_tokens, std::vector<TokenId>{executor::kLastSampledToken});
  world.collect();
  ASSERT_TRUE(world.submit());
  world.collect();  // the stop
  EXPECT_EQ(world.events_of(key).back().finish, FinishReason::kStop);
  EXPECT_GT(world.scheduler.stats().kv_cache_usage, 0) << "blocks reused under a step in flight";
  world.collect();
  EXPECT_EQ(world.scheduler.stats().kv_cache_usage, 0);
  EXPECT_EQ(world.tokens_of(key).size(), 2u);
  EXPECT_TRUE(world.scheduler.idle());
}

TEST(Scheduler, CancellingTheLeaderBeforeTheForkLeavesItsSiblings) {
  Limits limits = fake_limits();
  limits.step_rows_max = 3;
  World world(limits);
  Request many = request(8, 3);
  many.n = 2;
  const RequestKey key = world.scheduler.add(many, 0);
  ASSERT_TRUE(world.step());
  world.scheduler.cancel(key, 0, world.events);
  world.run();
  ASSERT_EQ(world.events_of(key, 0).size(), 1u);
  EXPECT_EQ(world.events_of(key, 0).front().finish, FinishReason::kCancelled);
  EXPECT_EQ(world.tokens_of(key, 1), solo_tokens(many, 1));
}

TEST(Scheduler, CancellingAllGivesEverythingBack) {
  Limits limits = fake_limits();
  limits.step_rows_max = 3;
  World world(limits);
  Request many = request(8, 3);
  many.n = 4;
  const RequestKey key = world.scheduler.add(many, 0);
  ASSERT_TRUE(world.step());
  world.scheduler.cancel(key, -1, world.events);
  EXPECT_EQ(world.events.size(), 4u);
  EXPECT_TRUE(world.events.back().request_done);
  EXPECT_TRUE(world.scheduler.idle());
  EXPECT_EQ(world.scheduler.stats().kv_cache_usage, 0);
  world.scheduler.check_invariants();
}

TEST(Scheduler, RefusesWhatCannotBeServed) {
  World world;
  const auto param_of = [&](const Request& refused) {
    const Status status = world.scheduler.check(refused);
    return status.ok() ? "accepted" : status.failure().param;
  };
  EXPECT_EQ(param_of(request(0, 1)), "prompt");
  EXPECT_EQ(param_of(request(64, 1, -20)), "prompt");
  EXPECT_EQ(param_of(request(3, 0)), "max_tokens");
  Request many = request(3, 1);
  many.n = 9;
  EXPECT_EQ(param_of(many), "n");
  Request scored = request(3, 1);
  scored.prompt_logprobs = 6;
  EXPECT_EQ(param_of(scored), "prompt_logprobs");
  EXPECT_FALSE(world.scheduler.check(request(3, 1, 48)).ok()) << "id 50 of a vocabulary of 50";
  Request biased = request(3, 1);
  biased.spec.logit_bias.resize(2000);
  EXPECT_FALSE(world.scheduler.check(biased).ok());
}

}  // namespace
}  // namespace minimax::engine
