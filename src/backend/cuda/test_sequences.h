#pragma once
// For tests of executors on a device: sequences that are driven step by step, and what came back of them.

#include <algorithm>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backend/cuda/executor.h"
#include "executor/step.h"

namespace minimax::backend::cuda {

using common::Arithmetic;
using executor::BlockId;
using executor::SampleOutcome;
using executor::SampleSpec;
using executor::StepBatch;
using executor::StepResult;
using executor::TokenId;

constexpr int32_t kBlockTokens = 16;
constexpr int32_t kVocab = 500;  // of 512 rows

inline CudaOptions small_options() {
  CudaOptions options;
  options.arithmetic = Arithmetic::kW8a8;
  options.threads = 2;
  options.block_tokens = kBlockTokens;
  options.block_count = 256;
  options.slot_count = 8;
  options.step_rows_max = 1024;
  options.step_sequences_max = 8;
  options.context_tokens_max = 2048;
  options.vocab_size = kVocab;
  return options;
}

inline std::vector<TokenId> some_tokens(int32_t count, int32_t salt) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back((i * 131 + salt * 17 + i * i) % kVocab);
  return tokens;
}

// What the engine knows of one sequence, and all that came back about it.
struct Sequence {
  executor::SlotId slot = 0;
  std::vector<TokenId> tokens;
  int32_t prompt_tokens = 0;
  int32_t first_block = 0;
  int32_t block_step = 1;
  int32_t computed = 0;
  std::vector<executor::TokenLogprob> scores;
  std::vector<executor::TopLogprob> top;

  Sequence(executor::SlotId own_slot, std::vector<TokenId> prompt, int32_t block, int32_t step = 1)
      : slot(own_slot),
        tokens(std::move(prompt)),
        prompt_tokens(static_cast<int32_t>(tokens.size())),
        first_block(block),
        block_step(step) {}
  int32_t known() const { return static_cast<int32_t>(tokens.size()); }
};

// Adds the next `count` rows of the sequence; scores known tokens, samples after the last.
inline void add_rows(StepBatch& batch, Sequence& sequence, int32_t count) {
  executor::SequenceRows rows;
  rows.slot = sequence.slot;
  rows.row_begin = static_cast<int32_t>(batch.row_tokens.size());
  rows.row_count = count;
  rows.first_position = sequence.computed;
  rows.block_begin = static_cast<int32_t>(batch.block_table.size());
  rows.block_count = (sequence.computed + count + kBlockTokens - 1) / kBlockTokens;
  for (int32_t i = 0; i < rows.block_count; ++i)
    batch.block_table.push_back((sequence.first_block + i * sequence.block_step) % 256);
  for (int32_t i = 0; i < count; ++i) {
    const int32_t position = sequence.computed + i;
    batch.row_tokens.push_back(sequence.tokens[static_cast<size_t>(position)]);
    if (position + 1 < sequence.known())
      batch.prompt_scores.push_back(
          {rows.row_begin + i, sequence.tokens[static_cast<size_t>(position) + 1], 3});
  }
  sequence.computed += count;
  if (sequence.computed == sequence.known())
    batch.samples.push_back(
        {rows.row_begin + count - 1, sequence.slot, sequence.known() - sequence.prompt_tokens, -1});
  batch.sequences.push_back(rows);
}

inline StepResult run_step(executor::Executor& executor, const StepBatch& batch) {
  StepResult result;
  executor.collect(executor.submit(batch), result);
  return result;
}

// Runs one sequence alone: the prompt in chunks, then until `outputs` tokens are out.
inline void generate(executor::Executor& executor, Sequence& sequence, const SampleSpec& spec, int32_t chunk,
                     int32_t outputs) {
  StepBatch batch;
  batch.slot_opens.push_back({sequence.slot, sequence.tokens, sequence.prompt_tokens, spec});
  while (sequence.known() < sequence.prompt_tokens + outputs) {
    add_rows(batch, sequence, std::min(chunk, sequence.known() - sequence.computed));
    const StepResult result = run_step(executor, batch);
    sequence.scores.insert(sequence.scores.end(), result.prompt_logprobs.begin(),
                           result.prompt_logprobs.end());
    sequence.top.insert(sequence.top.end(), result.top_logprobs.begin(), result.top_logprobs.end());
    for (const executor::SampledToken& token : result.tokens) {
      ASSERT_NE(token.outcome, SampleOutcome::kNotFinite);
      sequence.tokens.push_back(token.token);
      sequence.scores.push_back(token.logprob);
    }
    batch = {};
  }
  batch.slot_closes.push_back(sequence.slot);
  run_step(executor, batch);
}

inline SampleSpec seeded() {
  SampleSpec spec;
  spec.seed = 77;
  spec.temperature = 1.5f;
  spec.top_k = 100;
  spec.top_p = 0.97f;
  spec.repetition_penalty = 1.2f;
  spec.presence_penalty = 0.4f;
  spec.logprobs = 3;
  return spec;
}

// Bits, not tolerances: floats are compared with ==.
inline void expect_same(const Sequence& a, const Sequence& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  ASSERT_EQ(a.scores.size(), b.scores.size());
  for (size_t i = 0; i < a.scores.size(); ++i) {
    ASSERT_EQ(a.scores[i].logprob, b.scores[i].logprob) << i;
    ASSERT_EQ(a.scores[i].rank, b.scores[i].rank) << i;
  }
  ASSERT_EQ(a.top.size(), b.top.size());
  for (size_t i = 0; i < a.top.size(); ++i) {
    ASSERT_EQ(a.top[i].token, b.top[i].token) << i;
    ASSERT_EQ(a.top[i].logprob, b.top[i].logprob) << i;
  }
}

}  // namespace minimax::backend::cuda
