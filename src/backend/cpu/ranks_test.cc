// Layouts of ranks: each computes the bits of the whole model on one rank, in every arithmetic.

#include "backend/cpu/ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/executor.h"
#include "base/error.h"
#include "executor/group.h"
#include "model/test_checkpoint.h"

namespace minimax::backend::cpu {
namespace {

using common::Arithmetic;
using executor::StepBatch;
using executor::StepResult;
using executor::TokenId;

constexpr int32_t kBlockTokens = 16;
constexpr int32_t kVocab = 397;  // no multiple of any number of ranks

// An eighth of 1536 is 192: a block of 128 and a half.
model::ModelShape shape_of_eight() {
  model::ModelShape shape = model::small_test_shape();
  shape.layers = 2;
  shape.hidden = 256;
  shape.q_heads = 16;
  shape.kv_heads = 8;
  shape.head_dim = 32;
  shape.rotary_dim = 16;
  shape.experts = 8;
  shape.experts_per_token = 3;
  shape.expert_width = 1536;
  shape.vocab_rows = 400;
  return shape;
}

// Fewer KV heads than ranks.
model::ModelShape shape_of_two() {
  model::ModelShape shape = shape_of_eight();
  shape.kv_heads = 2;
  shape.expert_width = 384;
  return shape;
}

CpuOptions options_for(Arithmetic arithmetic, Isa isa) {
  CpuOptions options;
  options.arithmetic = arithmetic;
  options.isa = isa;
  options.threads = 1;
  options.block_tokens = kBlockTokens;
  options.block_count = 64;
  options.slot_count = 4;
  options.step_rows_max = 128;
  options.step_sequences_max = 4;
  options.context_tokens_max = 512;
  options.vocab_size = kVocab;
  return options;
}

std::unique_ptr<executor::Executor> make(const model::ModelView& model, const model::ParallelLayout& layout,
                                         CpuOptions options) {
  if (layout.tp == 1) return std::make_unique<CpuExecutor>(model, options);
  options.ranks = CpuExecutor::make_ranks(model, layout, options.arithmetic, 2);
  return std::make_unique<executor::Group>(layout.tp, [&](int32_t rank) {
    CpuOptions of_rank = options;
    of_rank.rank = rank;
    return std::make_unique<CpuExecutor>(model, of_rank);
  });
}

// Everything that comes back of two sequences: one of 150 tokens in chunks of 100, one of 9, then together.
std::vector<float> answers(executor::Executor& executor) {
  std::vector<float> seen;
  std::vector<std::vector<TokenId>> tokens(2);
  for (int32_t i = 0; i < 150; ++i) tokens[0].push_back((i * 131 + i * i) % kVocab);
  for (int32_t i = 0; i < 9; ++i) tokens[1].push_back((i * 71 + 5) % kVocab);
  std::vector<int32_t> computed(2, 0);
  const std::vector<size_t> prompts = {tokens[0].size(), tokens[1].size()};
  for (int32_t step = 0; step < 8; ++step) {
    StepBatch batch;
    for (size_t s = 0; s < 2; ++s) {
      if (step == 0) {
        executor::SampleSpec spec;
        spec.temperature = s == 0 ? 0.0f : 1.0f;
        spec.seed = 5;
        spec.logprobs = 4;
        batch.slot_opens.push_back(
            {static_cast<int32_t>(s), tokens[s], static_cast<int32_t>(prompts[s]), spec});
      }
      executor::SequenceRows rows;
      rows.slot = static_cast<int32_t>(s);
      rows.row_begin = static_cast<int32_t>(batch.row_tokens.size());
      rows.row_count = std::min(100, static_cast<int32_t>(tokens[s].size()) - computed[s]);
      rows.first_position = computed[s];
      rows.block_begin = static_cast<int32_t>(batch.block_table.size());
      computed[s] += rows.row_count;
      rows.block_count = (computed[s] + kBlockTokens - 1) / kBlockTokens;
      for (int32_t b = 0; b < rows.block_count; ++b)
        batch.block_table.push_back((b * 3 + static_cast<int32_t>(s) * 40) % 64);
      for (int32_t i = 0; i < rows.row_count; ++i)
        batch.row_tokens.push_back(tokens[s][static_cast<size_t>(rows.first_position + i)]);
      const int32_t last = rows.row_begin + rows.row_count - 1;
      if (computed[s] == static_cast<int32_t>(tokens[s].size()))
        batch.samples.push_back({last, rows.slot, static_cast<int32_t>(tokens[s].size() - prompts[s]), -1});
      else
        batch.prompt_scores.push_back({last, tokens[s][static_cast<size_t>(computed[s])], 3});
      batch.sequences.push_back(rows);
    }
    StepResult result;
    executor.collect(executor.submit(batch), result);
    for (const executor::SampledToken& token : result.tokens) {
      const executor::SlotId slot = batch.samples[static_cast<size_t>(token.sample)].slot;
      EXPECT_NE(token.outcome, executor::SampleOutcome::kNotFinite);
      tokens[static_cast<size_t>(slot)].push_back(token.token);
      seen.push_back(static_cast<float>(token.token));
      seen.push_back(token.logprob.logprob);
    }
    for (const executor::TopLogprob& top : result.top_logprobs) {
      seen.push_back(static_cast<float>(top.token));
      seen.push_back(top.logprob);
    }
    for (const executor::TokenLogprob& score : result.prompt_logprobs) seen.push_back(score.logprob);
  }
  return seen;
}

void expect_same_bits(const model::ModelShape& shape, const std::vector<model::ParallelLayout>& layouts) {
  const model::TestCheckpoint checkpoint(shape);
  for (const Isa isa : available_isas()) {
    for (const Arithmetic arithmetic : {Arithmetic::kW8a16, Arithmetic::kW8a8, Arithmetic::kBf16}) {
      const CpuOptions options = options_for(arithmetic, isa);
      const std::vector<float> alone = answers(*make(checkpoint.view(), {}, options));
      for (const model::ParallelLayout& layout : layouts) {
        const std::vector<float> together = answers(*make(checkpoint.view(), layout, options));
        ASSERT_EQ(together, alone) << "tp " << layout.tp << " ep " << layout.ep << ", "
                                   << common::name_of(arithmetic) << ", " << name_of(isa);
      }
      if (isa == Isa::kScalar) break;  // slow, and the same source
    }
  }
}

TEST(CpuRanks, TensorParallelLayoutsComputeTheSameBits) {
  expect_same_bits(shape_of_eight(), {{.tp = 2}, {.tp = 4}, {.tp = 8}});
}

TEST(CpuRanks, ExpertParallelLayoutsComputeTheSameBits) {
  // ep 2 of 4 ranks: two ranks share each expert.
  expect_same_bits(shape_of_eight(),
                   {{.tp = 2, .ep = 2}, {.tp = 4, .ep = 2}, {.tp = 4, .ep = 4}, {.tp = 8, .ep = 8}});
}

TEST(CpuRanks, KvHeadsAreCopiedWhereThereAreMoreRanks) {
  expect_same_bits(shape_of_two(), {{.tp = 2}, {.tp = 4}, {.tp = 8, .ep = 8}});
}

TEST(CpuRanks, SharesCoverTheModelOnce) {
  const model::ModelShape shape = shape_of_eight();
  for (const model::ParallelLayout& layout : {model::ParallelLayout{.tp = 8}, {.tp = 8, .ep = 4}}) {
    std::vector<int32_t> heads(16), columns(256);
    for (int32_t rank = 0; rank < 8; ++rank) {
      const Share share = share_of(shape, layout, rank, nullptr);
      for (int64_t h = share.q_heads.begin; h < share.q_heads.end; ++h) ++heads[static_cast<size_t>(h)];
      for (int64_t c = share.attention_out.begin; c < share.attention_out.end; ++c)
        ++columns[static_cast<size_t>(c)];
    }
    EXPECT_THAT(heads, testing::Each(1));
    EXPECT_THAT(columns, testing::Each(1));
  }
}

TEST(CpuRanks, RefusesLayoutsByName) {
  const model::TestCheckpoint checkpoint(shape_of_eight());
  try {
    CpuExecutor::make_ranks(checkpoint.view(), {.tp = 3}, Arithmetic::kW8a16, 1);
    FAIL() << "taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("num_attention_heads"));
  }
}

}  // namespace
}  // namespace minimax::backend::cpu
