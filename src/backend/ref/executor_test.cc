#include "backend/ref/executor.h"

#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/test_checkpoint.h"

namespace minimax::backend::ref {
namespace {

using executor::BlockId;
using executor::SampleOutcome;
using executor::SampleSpec;
using executor::StepBatch;
using executor::StepResult;
using executor::TokenId;

constexpr int32_t kBlockTokens = 4;

const model::ModelView& small_model() {
  static const model::TestCheckpoint checkpoint(model::small_test_shape());
  return checkpoint.view();
}

RefOptions small_options() {
  RefOptions options;
  options.arithmetic = common::Arithmetic::kW8a8;
  options.block_tokens = kBlockTokens;
  options.block_count = 64;
  options.slot_count = 8;
  options.step_rows_max = 64;
  options.step_sequences_max = 8;
  options.context_tokens_max = 128;
  options.vocab_size = 500;  // of 512 rows
  return options;
}

std::vector<TokenId> some_tokens(int32_t count, int32_t salt) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back((i * 131 + salt * 17 + i * i) % 500);
  return tokens;
}

std::vector<BlockId> blocks_from(BlockId first, int32_t step = 1) {
  std::vector<BlockId> table;
  for (int32_t i = 0; i < 10; ++i) table.push_back((first + i * step) % 64);
  return table;
}

// What the engine knows of one sequence.
struct Sequence {
  executor::SlotId slot = 0;
  std::vector<TokenId> tokens;
  int32_t prompt_tokens = 0;
  std::vector<BlockId> table;
  int32_t computed = 0;
  std::vector<executor::TokenLogprob> scores;  // of each token but the first
  std::vector<executor::TopLogprob> top;

  Sequence(executor::SlotId slot_, std::vector<TokenId> prompt, std::vector<BlockId> table_)
      : slot(slot_),
        tokens(std::move(prompt)),
        prompt_tokens(static_cast<int32_t>(tokens.size())),
        table(std::move(table_)) {}
};

// Adds the next `count` rows of the sequence; samples after its last known token.
void add_rows(StepBatch& batch, Sequence& sequence, int32_t count) {
  executor::SequenceRows rows;
  rows.slot = sequence.slot;
  rows.row_begin = static_cast<int32_t>(batch.row_tokens.size());
  rows.row_count = count;
  rows.first_position = sequence.computed;
  rows.block_begin = static_cast<int32_t>(batch.block_table.size());
  rows.block_count = (sequence.computed + count + kBlockTokens - 1) / kBlockTokens;
  batch.block_table.insert(batch.block_table.end(), sequence.table.begin(),
                           sequence.table.begin() + rows.block_count);
  for (int32_t i = 0; i < count; ++i) {
    const auto position = static_cast<size_t>(sequence.computed + i);
    batch.row_tokens.push_back(sequence.tokens[position]);
    if (position + 1 < sequence.tokens.size())
      batch.prompt_scores.push_back({rows.row_begin + i, sequence.tokens[position + 1], 3});
  }
  sequence.computed += count;
  if (sequence.computed == static_cast<int32_t>(sequence.tokens.size())) {
    const auto output = static_cast<int32_t>(sequence.tokens.size()) - sequence.prompt_tokens;
    batch.samples.push_back({rows.row_begin + count - 1, sequence.slot, output, -1});
  }
  batch.sequences.push_back(rows);
}

StepResult run_step(RefExecutor& executor, const StepBatch& batch) {
  StepResult result;
  executor.collect(executor.submit(batch), result);
  return result;
}

// Runs one sequence alone: the prompt in chunks, then `outputs` tokens in all. The logprobs of all steps are
// kept in the sequence.
void generate(RefExecutor& executor, Sequence& sequence, const SampleSpec& spec, int32_t chunk,
              int32_t outputs) {
  StepBatch batch;
  batch.slot_opens.push_back({sequence.slot, sequence.tokens, sequence.prompt_tokens, spec});
  const auto goal = sequence.prompt_tokens + outputs;
  while (static_cast<int32_t>(sequence.tokens.size()) < goal) {
    add_rows(batch, sequence,
             std::min(chunk, static_cast<int32_t>(sequence.tokens.size()) - sequence.computed));
    const StepResult result = run_step(executor, batch);
    sequence.scores.insert(sequence.scores.end(), result.prompt_logprobs.begin(),
                           result.prompt_logprobs.end());
    sequence.top.insert(sequence.top.end(), result.top_logprobs.begin(), result.top_logprobs.end());
    for (const executor::SampledToken& token : result.tokens) {
      sequence.tokens.push_back(token.token);
      sequence.scores.push_back(token.logprob);
    }
    batch = {};
  }
  batch.slot_closes.push_back(sequence.slot);
  run_step(executor, batch);
}

SampleSpec seeded() {
  SampleSpec spec;
  spec.seed = 77;
  spec.temperature = 1.5f;
  spec.repetition_penalty = 1.2f;
  spec.presence_penalty = 0.4f;
  spec.logprobs = 3;
  return spec;
}

void expect_same(const Sequence& a, const Sequence& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  ASSERT_EQ(a.scores.size(), b.scores.size());
  for (size_t i = 0; i < a.scores.size(); ++i) {
    EXPECT_EQ(a.scores[i].logprob, b.scores[i].logprob) << i;
    EXPECT_EQ(a.scores[i].rank, b.scores[i].rank) << i;
  }
  ASSERT_EQ(a.top.size(), b.top.size());
  for (size_t i = 0; i < a.top.size(); ++i) {
    EXPECT_EQ(a.top[i].token, b.top[i].token) << i;
    EXPECT_EQ(a.top[i].logprob, b.top[i].logprob) << i;
  }
}

Sequence generated_alone(int32_t salt, const SampleSpec& spec, int32_t chunk = 64,
                         const std::vector<BlockId>& table = blocks_from(0)) {
  RefExecutor executor(small_model(), small_options());
  Sequence sequence(0, some_tokens(19, salt), table);
  generate(executor, sequence, spec, chunk, 6);
  return sequence;
}

TEST(RefExecutor, ChunkedPrefillEqualsTheWhole) {
  const Sequence whole = generated_alone(1, seeded());
  EXPECT_EQ(whole.tokens.size(), 25u);
  for (const int32_t chunk : {1, 5, 16}) expect_same(generated_alone(1, seeded(), chunk), whole);
}

TEST(RefExecutor, ShuffledBlockTablesEqualContiguousOnes) {
  expect_same(generated_alone(1, seeded(), 64, blocks_from(63, 37)), generated_alone(1, seeded()));
}

TEST(RefExecutor, BatchMatesChangeNothing) {
  RefExecutor executor(small_model(), small_options());
  std::vector<Sequence> mates;
  StepBatch batch;
  for (int32_t i = 0; i < 4; ++i) {
    mates.emplace_back(i, some_tokens(19, i), blocks_from(10 * i));
    batch.slot_opens.push_back({i, mates.back().tokens, 19, seeded()});
    add_rows(batch, mates.back(), i == 2 ? 7 : 10);  // 2 lags behind the others
  }
  for (int32_t step = 0; step < 9; ++step) {
    const StepResult result = run_step(executor, batch);
    for (const executor::SampledToken& token : result.tokens) {
      const auto slot = static_cast<size_t>(batch.samples[static_cast<size_t>(token.sample)].slot);
      mates[slot].tokens.push_back(token.token);
    }
    batch = {};
    for (Sequence& mate : mates) {
      const auto missing = static_cast<int32_t>(mate.tokens.size()) - mate.computed;
      if (mate.tokens.size() < 25) add_rows(batch, mate, mate.slot == 2 ? std::min(missing, 6) : missing);
    }
    std::reverse(batch.samples.begin(), batch.samples.end());
  }
  for (int32_t i = 0; i < 4; ++i)
    EXPECT_EQ(mates[static_cast<size_t>(i)].tokens, generated_alone(i, seeded()).tokens);
}

TEST(RefExecutor, ResumedSequenceDrawsWhatItWouldHave) {
  const Sequence whole = generated_alone(1, seeded());
  RefExecutor executor(small_model(), small_options());
  Sequence first(3, some_tokens(19, 1), blocks_from(0));
  generate(executor, first, seeded(), 64, 2);
  // Preempted after two tokens: another slot, other blocks, the history opened again and recomputed.
  Sequence second(5, first.tokens, blocks_from(40));
  second.prompt_tokens = 19;
  generate(executor, second, seeded(), 8, 6);
  EXPECT_EQ(second.tokens, whole.tokens);
}

TEST(RefExecutor, PrefixInSharedBlocksEqualsItsRecomputation) {
  RefExecutor executor(small_model(), small_options());
  Sequence first(0, some_tokens(19, 1), blocks_from(0));
  generate(executor, first, seeded(), 64, 6);
  Sequence second(1, some_tokens(19, 1), blocks_from(30));
  for (size_t i = 0; i < 3; ++i) second.table[i] = first.table[i];
  second.computed = 3 * kBlockTokens;
  generate(executor, second, seeded(), 64, 6);
  EXPECT_EQ(second.tokens, first.tokens);
}

TEST(RefExecutor, SiblingsForkFromOneRowAndOneCopiedBlock) {
  RefExecutor executor(small_model(), small_options());
  SampleSpec sibling_spec = seeded();
  sibling_spec.sample_idx = 1;
  Sequence first(0, some_tokens(19, 1), blocks_from(0));
  Sequence sibling(1, some_tokens(19, 1), blocks_from(20));
  for (size_t i = 0; i < 4; ++i) sibling.table[i] = first.table[i];  // the fifth block is half full: copied

  StepBatch batch;
  batch.slot_opens.push_back({0, first.tokens, 19, seeded()});
  batch.slot_forks.push_back({0, 1, sibling_spec});
  add_rows(batch, first, 19);
  batch.samples.push_back({batch.samples[0].row, 1, 0, -1});
  sibling.computed = 19;
  StepResult result = run_step(executor, batch);
  ASSERT_EQ(result.tokens.size(), 2u);
  first.tokens.push_back(result.tokens[0].token);
  sibling.tokens.push_back(result.tokens[1].token);
  batch = {};
  batch.block_copies.push_back({first.table[4], sibling.table[4]});
  for (int32_t step = 0; step < 5; ++step) {
    add_rows(batch, first, 1);
    add_rows(batch, sibling, 1);
    result = run_step(executor, batch);
    first.tokens.push_back(result.tokens[0].token);
    sibling.tokens.push_back(result.tokens[1].token);
    batch = {};
  }
  EXPECT_EQ(first.tokens, generated_alone(1, seeded()).tokens);
  EXPECT_EQ(sibling.tokens, generated_alone(1, sibling_spec).tokens);
  EXPECT_NE(first.tokens, sibling.tokens);
}

TEST(RefExecutor, LastSampledTokenStandsForItsId) {
  RefExecutor executor(small_model(), small_options());
  Sequence sequence(0, some_tokens(19, 1), blocks_from(0));
  StepBatch batch;
  batch.slot_opens.push_back({0, sequence.tokens, 19, seeded()});
  add_rows(batch, sequence, 19);
  sequence.tokens.push_back(run_step(executor, batch).tokens[0].token);
  batch = {};
  add_rows(batch, sequence, 1);
  batch.row_tokens[0] = executor::kLastSampledToken;
  sequence.tokens.push_back(run_step(executor, batch).tokens[0].token);
  const Sequence whole = generated_alone(1, seeded());
  EXPECT_TRUE(std::equal(sequence.tokens.begin(), sequence.tokens.end(), whole.tokens.begin()));
}

TEST(RefExecutor, MasksStopsAndLogprobsReachTheResult) {
  RefExecutor executor(small_model(), small_options());
  Sequence sequence(0, some_tokens(5, 1), blocks_from(0));
  SampleSpec spec;
  spec.stop_ids = {33};
  spec.logprobs = 2;
  StepBatch batch;
  batch.slot_opens.push_back({0, sequence.tokens, 5, spec});
  add_rows(batch, sequence, 5);
  batch.prompt_scores.clear();
  batch.masks.assign(16, 0);
  batch.masks[1] = 0b10;  // id 33 alone
  batch.samples[0].mask_idx = 0;
  const StepResult result = run_step(executor, batch);
  ASSERT_EQ(result.tokens.size(), 1u);
  EXPECT_EQ(result.tokens[0].token, 33);
  EXPECT_EQ(result.tokens[0].outcome, SampleOutcome::kStop);
  EXPECT_EQ(result.tokens[0].logprob.top_count, 2);
  // Raw, before the mask: one of 500 ids has not all of the probability.
  EXPECT_LT(result.tokens[0].logprob.logprob, 0);
  EXPECT_GE(result.top_logprobs[0].logprob, result.tokens[0].logprob.logprob);
}

TEST(RefExecutor, EmptyMaskYieldsNoTokenAndLeavesTheHistory) {
  RefExecutor executor(small_model(), small_options());
  Sequence sequence(0, some_tokens(5, 1), blocks_from(0));
  StepBatch batch;
  batch.slot_opens.push_back({0, sequence.tokens, 5, {}});
  add_rows(batch, sequence, 5);
  batch.masks.assign(16, 0);
  batch.samples[0].mask_idx = 0;
  EXPECT_EQ(run_step(executor, batch).tokens[0].outcome, SampleOutcome::kNotFinite);
  // The next draw is again the first of the output: submit() checks that against the history.
  batch.slot_opens.clear();
  batch.masks.assign(16, 1);
  EXPECT_NE(run_step(executor, batch).tokens[0].outcome, SampleOutcome::kNotFinite);
}

TEST(RefExecutor, NothingBeyondTheTokenizersIdsIsDrawn) {
  RefOptions options = small_options();
  options.vocab_size = 3;
  RefExecutor executor(small_model(), options);
  StepBatch batch;
  SampleSpec spec;
  spec.temperature = 100;
  Sequence sequence(0, {0, 1, 2}, blocks_from(0));
  batch.slot_opens.push_back({0, sequence.tokens, 3, spec});
  for (int32_t step = 0; step < 20; ++step) {
    add_rows(batch, sequence, static_cast<int32_t>(sequence.tokens.size()) - sequence.computed);
    batch.prompt_scores.clear();
    const StepResult result = run_step(executor, batch);
    ASSERT_LT(result.tokens[0].token, 3);
    sequence.tokens.push_back(result.tokens[0].token);
    batch = {};
  }
}

TEST(RefExecutor, EmptyBatchIsLegal) {
  RefExecutor executor(small_model(), small_options());
  EXPECT_TRUE(run_step(executor, {}).tokens.empty());
}

TEST(RefExecutor, RefusesImpossibleOptionsByName) {
  RefOptions options = small_options();
  options.vocab_size = 513;
  try {
    RefExecutor executor(small_model(), options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("vocab_size"), testing::HasSubstr("512"),
                                             testing::HasSubstr("513")));
  }
  options = small_options();
  options.block_count = 0;
  EXPECT_THROW(RefExecutor(small_model(), options), Error);
}

TEST(RefExecutorDeathTest, RefusesAViolatedContract) {
  RefExecutor executor(small_model(), small_options());
  StepBatch batch;
  batch.slot_closes.push_back(99);
  EXPECT_DEATH(executor.submit(batch), "find_violation");
}

}  // namespace
}  // namespace minimax::backend::ref
