#include "executor/fake.h"

#include <gtest/gtest.h>

namespace minimax::executor {
namespace {

SlotOpen opening(SlotId slot, std::vector<TokenId> tokens) {
  SlotOpen out;
  out.slot = slot;
  out.tokens = std::move(tokens);
  out.prompt_tokens = static_cast<int32_t>(out.tokens.size());
  out.spec.temperature = 0;
  return out;
}

// Adds rows [first, first + tokens) of a slot.
void add_rows(StepBatch& batch, SlotId slot, int32_t first, const std::vector<TokenId>& tokens,
              const std::vector<BlockId>& blocks) {
  batch.sequences.push_back({.slot = slot,
                             .row_begin = static_cast<int32_t>(batch.row_tokens.size()),
                             .row_count = static_cast<int32_t>(tokens.size()),
                             .first_position = first,
                             .block_begin = static_cast<int32_t>(batch.block_table.size()),
                             .block_count = static_cast<int32_t>(blocks.size())});
  batch.row_tokens.insert(batch.row_tokens.end(), tokens.begin(), tokens.end());
  batch.block_table.insert(batch.block_table.end(), blocks.begin(), blocks.end());
}

void add_sample(StepBatch& batch, SlotId slot, int32_t output_position = 0) {
  batch.samples.push_back({.row = static_cast<int32_t>(batch.row_tokens.size()) - 1,
                           .slot = slot,
                           .output_position = output_position});
}

SampledToken run(FakeExecutor& executor, const StepBatch& batch) {
  StepResult result;
  executor.collect(executor.submit(batch), result);
  return result.tokens.empty() ? SampledToken{} : result.tokens.front();
}

const std::vector<TokenId> kPrompt{1, 2, 3, 4, 5, 6};

SampledToken answer(const SlotOpen& slot, const std::vector<BlockId>& blocks = {0, 1}) {
  FakeExecutor executor({.limits = fake_limits()});
  StepBatch batch;
  batch.slot_opens.push_back(slot);
  add_rows(batch, slot.slot, 0, slot.tokens, blocks);
  add_sample(batch, slot.slot);
  return run(executor, batch);
}

TEST(FakeExecutor, TheTokenDependsOnThePromptAndNotOnBlocksSlotsOrChunks) {
  const TokenId whole = answer(opening(0, kPrompt)).token;
  EXPECT_EQ(answer(opening(5, kPrompt), {9, 3}).token, whole);
  FakeExecutor executor({.limits = fake_limits()});
  StepBatch batch;
  batch.slot_opens.push_back(opening(0, kPrompt));
  add_rows(batch, 0, 0, {1, 2, 3}, {0});
  run(executor, batch);
  batch.clear();
  add_rows(batch, 0, 3, {4, 5, 6}, {0, 1});
  add_sample(batch, 0);
  EXPECT_EQ(run(executor, batch).token, whole);
  EXPECT_NE(answer(opening(0, {2, 1, 3, 4, 5, 6})).token, whole);
}

TEST(FakeExecutor, SamplingHonoursTheSpec) {
  const TokenId greedy = answer(opening(0, kPrompt)).token;
  SlotOpen slot = opening(0, kPrompt);
  slot.spec.stop_ids = {greedy};
  EXPECT_EQ(answer(slot).outcome, SampleOutcome::kStop);
  slot.spec.min_tokens = 1;
  EXPECT_EQ(answer(slot).outcome, SampleOutcome::kToken);
  EXPECT_NE(answer(slot).token, greedy);
  slot = opening(0, kPrompt);
  slot.spec.allowed_ids = {17};
  EXPECT_EQ(answer(slot).token, 17);
  slot.spec.bad_words = {{6, 17}};
  EXPECT_EQ(answer(slot).outcome, SampleOutcome::kNotFinite);
  slot.spec.bad_words = {{5, 17}};
  EXPECT_EQ(answer(slot).token, 17);
  slot = opening(0, kPrompt);
  slot.spec.logit_bias = {{23, 100}};
  EXPECT_EQ(answer(slot).token, 23);
  slot.spec.logit_bias = {{greedy, -100}};
  EXPECT_NE(answer(slot).token, greedy);
}

TEST(FakeExecutor, SeedAndSampleIndexChangeTheDraw) {
  std::vector<TokenId> tokens;
  for (const auto& [seed, sample_idx] : {std::pair{1, 0}, std::pair{2, 0}, std::pair{1, 1}}) {
    SlotOpen slot = opening(0, kPrompt);
    slot.spec.temperature = 1;
    slot.spec.seed = static_cast<uint64_t>(seed);
    slot.spec.sample_idx = sample_idx;
    tokens.push_back(answer(slot).token);
    EXPECT_EQ(answer(slot).token, tokens.back());
  }
  EXPECT_NE(tokens[0], tokens[1]);
  EXPECT_NE(tokens[0], tokens[2]);
}

TEST(FakeExecutor, AtDepthTwoTheLastTokenIsResolvedInside) {
  Limits limits = fake_limits();
  limits.pipeline_depth = 2;
  std::vector<TokenId> tokens[2];
  for (const bool overlapped : {false, true}) {
    FakeExecutor executor({.limits = limits});
    StepBatch first, second;
    first.slot_opens.push_back(opening(0, kPrompt));
    add_rows(first, 0, 0, kPrompt, {0, 1});
    add_sample(first, 0);
    add_rows(second, 0, 6, {kLastSampledToken}, {0, 1});
    add_sample(second, 0, 1);
    StepResult result;
    const StepId a = executor.submit(first);
    const StepId b = overlapped ? executor.submit(second) : -1;
    executor.collect(a, result);
    tokens[overlapped].push_back(result.tokens[0].token);
    executor.collect(overlapped ? b : executor.submit(second), result);
    tokens[overlapped].push_back(result.tokens[0].token);
  }
  EXPECT_EQ(tokens[0], tokens[1]);
}

TEST(FakeExecutor, AForkDrawsFromItsSourcesRowAndACopyHoldsItsBlock) {
  FakeExecutor executor({.limits = fake_limits()});
  StepBatch batch;
  batch.slot_opens.push_back(opening(0, kPrompt));
  batch.slot_forks.push_back({0, 1, batch.slot_opens[0].spec});
  add_rows(batch, 0, 0, kPrompt, {0, 1});
  add_sample(batch, 0);
  add_sample(batch, 1);
  StepResult result;
  executor.collect(executor.submit(batch), result);
  ASSERT_EQ(result.tokens.size(), 2u);
  EXPECT_EQ(result.tokens[0].token, result.tokens[1].token);
  batch.clear();
  batch.block_copies.push_back({1, 2});
  add_rows(batch, 0, 6, {kLastSampledToken}, {0, 1});
  add_sample(batch, 0, 1);
  add_rows(batch, 1, 6, {kLastSampledToken}, {0, 2});
  add_sample(batch, 1, 1);
  executor.collect(executor.submit(batch), result);
  EXPECT_EQ(result.tokens[0].token, result.tokens[1].token);
}

TEST(FakeExecutor, MasksAndInjectedFaultsAreHonoured) {
  FakeExecutor executor({.limits = fake_limits()});
  StepBatch batch;
  batch.slot_opens.push_back(opening(0, kPrompt));
  add_rows(batch, 0, 0, kPrompt, {0, 1});
  add_sample(batch, 0);
  batch.masks = {0, 1u << 3};
  batch.samples[0].mask_idx = 0;
  EXPECT_EQ(run(executor, batch).token, 35);
  FakeExecutor faulty({.limits = fake_limits(), .not_finite_every = 1});
  EXPECT_EQ(run(faulty, batch).outcome, SampleOutcome::kNotFinite);
}

TEST(FakeExecutorDeathTest, BugsOfAnEngineEndTheProcess) {
  Limits limits = fake_limits();
  limits.pipeline_depth = 2;
  FakeExecutor executor({.limits = limits});
  StepBatch batch;
  EXPECT_DEATH(executor.submit([&] {
    StepBatch stale = batch;
    stale.slot_opens.push_back(opening(0, kPrompt));
    add_rows(stale, 0, 4, {5, 6}, {0, 1});  // block 0 was never written
    return stale;
  }()),
               "place.token");
  batch.slot_opens.push_back(opening(0, kPrompt));
  add_rows(batch, 0, 0, kPrompt, {0, 1});
  executor.submit(batch);
  batch.clear();
  batch.slot_opens.push_back(opening(1, kPrompt));
  EXPECT_DEATH(
      {
        add_rows(batch, 1, 0, kPrompt, {2, 1});  // block 1 is in flight
        executor.submit(batch);
      },
      "touched");
  EXPECT_DEATH(
      {
        add_rows(batch, 1, 4, {5, 6}, {0, 2});  // block 0 is cached too early
        executor.submit(batch);
      },
      "family");
  EXPECT_DEATH(
      {
        add_rows(batch, 1, 0, {2}, {2});  // not what the slot was opened with
        executor.submit(batch);
      },
      "history");
}

}  // namespace
}  // namespace minimax::executor
