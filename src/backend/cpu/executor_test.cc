#include "backend/cpu/executor.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/test_checkpoint.h"

namespace minimax::backend::cpu {
namespace {

using common::Arithmetic;
using executor::BlockId;
using executor::SampleOutcome;
using executor::SampleSpec;
using executor::StepBatch;
using executor::StepResult;
using executor::TokenId;

constexpr int32_t kBlockTokens = 16;
constexpr int32_t kVocab = 500;  // of 512 rows

const model::ModelView& fp8_model() {
  static const model::TestCheckpoint checkpoint(model::small_test_shape());
  return checkpoint.view();
}

const model::ModelView& bf16_model() {
  static const model::TestCheckpoint checkpoint([] {
    model::ModelShape shape = model::small_test_shape();
    shape.fp8_block_rows = shape.fp8_block_cols = 0;
    return shape;
  }());
  return checkpoint.view();
}

CpuOptions small_options() {
  CpuOptions options;
  options.arithmetic = Arithmetic::kW8a16;
  options.isa = choose_isa("");
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

std::vector<TokenId> some_tokens(int32_t count, int32_t salt) {
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
void add_rows(StepBatch& batch, Sequence& sequence, int32_t count) {
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

StepResult run_step(executor::Executor& executor, const StepBatch& batch) {
  StepResult result;
  executor.collect(executor.submit(batch), result);
  return result;
}

// Runs one sequence alone: the prompt in chunks, then until `outputs` tokens are out.
void generate(executor::Executor& executor, Sequence& sequence, const SampleSpec& spec, int32_t chunk,
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

SampleSpec seeded() {
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
void expect_same(const Sequence& a, const Sequence& b) {
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

// Every combination that a promise is made for.
struct Setting {
  const model::ModelView* model;
  Isa isa;
  Arithmetic arithmetic;
  common::KvDtype kv_dtype = common::KvDtype::kBf16;
};
std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Isa isa : available_isas()) {
    all.push_back({&fp8_model(), isa, Arithmetic::kW8a16});
    all.push_back({&fp8_model(), isa, Arithmetic::kW8a16, common::KvDtype::kFp8});
    if (isa == Isa::kScalar) continue;  // slow, and the same source
    all.push_back({&fp8_model(), isa, Arithmetic::kW8a8});
    all.push_back({&bf16_model(), isa, Arithmetic::kBf16});
  }
  return all;
}
CpuOptions options_of(const Setting& setting) {
  CpuOptions options = small_options();
  options.isa = setting.isa;
  options.arithmetic = setting.arithmetic;
  options.kv_dtype = setting.kv_dtype;
  return options;
}
std::string name_of(const Setting& setting) {
  return fmt::format("{} {}, KV in {}{}", name_of(setting.isa), common::name_of(setting.arithmetic),
                     model::name_of(setting.kv_dtype),
                     setting.model == &bf16_model() ? ", bf16 checkpoint" : "");
}

// Long enough for several tiles and two splits of the attention.
constexpr int32_t kPrompt = 600;

Sequence generated_alone(const Setting& setting, int32_t salt, int32_t chunk = 1024, int32_t block_step = 1,
                         int32_t threads = 2) {
  CpuOptions options = options_of(setting);
  options.threads = threads;
  CpuExecutor executor(*setting.model, options);
  Sequence sequence(0, some_tokens(kPrompt, salt), 3, block_step);
  generate(executor, sequence, seeded(), chunk, 5);
  return sequence;
}

TEST(CpuExecutor, ChunksTablesAndThreadsChangeNoBit) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(name_of(setting));
    const Sequence whole = generated_alone(setting, 1);
    ASSERT_EQ(whole.known(), kPrompt + 5);
    expect_same(generated_alone(setting, 1, 37), whole);
    expect_same(generated_alone(setting, 1, 256, 5), whole);
    expect_same(generated_alone(setting, 1, 1024, 1, 1), whole);
    expect_same(generated_alone(setting, 1, 1024, 1, 5), whole);
  }
}

TEST(CpuExecutor, BatchMatesChangeNoBit) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(name_of(setting));
    CpuExecutor executor(*setting.model, options_of(setting));
    std::vector<Sequence> mates;
    StepBatch batch;
    for (int32_t i = 0; i < 5; ++i) {
      mates.emplace_back(i, some_tokens(i == 1 ? kPrompt : 20 + i, i), 50 * i);
      batch.slot_opens.push_back({i, mates.back().tokens, mates.back().prompt_tokens, seeded()});
      add_rows(batch, mates.back(), i == 2 ? 7 : std::min(100, mates.back().known()));
    }
    while (mates[1].known() < kPrompt + 5) {
      const StepResult result = run_step(executor, batch);
      for (const executor::SampledToken& token : result.tokens) {
        const auto slot = static_cast<size_t>(batch.samples[static_cast<size_t>(token.sample)].slot);
        mates[slot].tokens.push_back(token.token);
      }
      batch = {};
      for (Sequence& mate : mates) {
        if (mate.known() < mate.prompt_tokens + 30)
          add_rows(batch, mate, std::min(100, mate.known() - mate.computed));
      }
      std::reverse(batch.samples.begin(), batch.samples.end());
    }
    EXPECT_EQ(mates[1].tokens, generated_alone(setting, 1).tokens);
  }
}

TEST(CpuExecutor, ResumedSequenceDrawsWhatItWouldHave) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(name_of(setting));
    const Sequence whole = generated_alone(setting, 1);
    CpuExecutor executor(*setting.model, options_of(setting));
    Sequence first(3, some_tokens(kPrompt, 1), 0);
    generate(executor, first, seeded(), 1024, 2);
    // Preempted after two tokens: another slot, other blocks, the history opened again and recomputed.
    Sequence second(5, first.tokens, 100, 3);
    second.prompt_tokens = kPrompt;
    generate(executor, second, seeded(), 333, 5);
    EXPECT_EQ(second.tokens, whole.tokens);
  }
}

class CpuExecutorPrefix : public testing::TestWithParam<common::KvDtype> {};

TEST_P(CpuExecutorPrefix, CachedPrefixAndForkedSlotEqualRecomputation) {
  const Setting setting{&fp8_model(), choose_isa(""), Arithmetic::kW8a16, GetParam()};
  CpuExecutor executor(*setting.model, options_of(setting));
  Sequence first(0, some_tokens(kPrompt, 1), 3);
  generate(executor, first, seeded(), 1024, 1);
  // A new request finds the first 512 positions in the blocks of the first.
  Sequence cached(1, some_tokens(kPrompt, 1), 3);
  cached.computed = 512;
  generate(executor, cached, seeded(), 1024, 5);
  EXPECT_EQ(cached.tokens, generated_alone(setting, 1).tokens);

  // n = 2: both draw from the prompt's last row; the second goes on in a copy of the partly filled block.
  CpuExecutor fresh(*setting.model, options_of(setting));
  SampleSpec other = seeded();
  other.sample_idx = 1;
  Sequence sibling(0, some_tokens(kPrompt, 1), 3);
  StepBatch batch;
  batch.slot_opens.push_back({0, sibling.tokens, kPrompt, seeded()});
  batch.slot_forks.push_back({0, 1, other});
  add_rows(batch, sibling, kPrompt);
  batch.samples.push_back({kPrompt - 1, 1, 0, -1});
  const StepResult result = run_step(fresh, batch);
  ASSERT_EQ(result.tokens.size(), 2u);
  EXPECT_EQ(result.tokens[0].token, cached.tokens[kPrompt]);
  batch = {};
  batch.block_copies.push_back({3 + kPrompt / kBlockTokens, 200});
  batch.row_tokens = {executor::kLastSampledToken};
  for (int32_t i = 0; i < kPrompt / kBlockTokens; ++i) batch.block_table.push_back(3 + i);
  batch.block_table.push_back(200);
  batch.sequences.push_back({.slot = 1,
                             .row_begin = 0,
                             .row_count = 1,
                             .first_position = kPrompt,
                             .block_begin = 0,
                             .block_count = static_cast<int32_t>(batch.block_table.size())});
  batch.samples.push_back({0, 1, 1, -1});
  const StepResult forked = run_step(fresh, batch);

  CpuExecutor alone(*setting.model, options_of(setting));
  Sequence twin(0, some_tokens(kPrompt, 1), 3);
  generate(alone, twin, other, 1024, 2);
  EXPECT_EQ(result.tokens[1].token, twin.tokens[kPrompt]);
  EXPECT_EQ(forked.tokens[0].token, twin.tokens[kPrompt + 1]);
}

INSTANTIATE_TEST_SUITE_P(KvDtypes, CpuExecutorPrefix,
                         testing::Values(common::KvDtype::kBf16, common::KvDtype::kFp8),
                         [](const auto& param) { return std::string(model::name_of(param.param)); });

// Otherwise the tests above compare bf16 with bf16.
TEST(CpuExecutor, KvDtypesAreTwoFunctions) {
  const Setting bf16{&fp8_model(), choose_isa(""), Arithmetic::kW8a16};
  const Setting fp8{&fp8_model(), choose_isa(""), Arithmetic::kW8a16, common::KvDtype::kFp8};
  EXPECT_NE(generated_alone(bf16, 1).scores.front().logprob, 0.0f);
  EXPECT_NE(generated_alone(bf16, 1).scores.back().logprob, generated_alone(fp8, 1).scores.back().logprob);
}

TEST(CpuExecutor, MasksAndStopIdsAreObeyed) {
  CpuExecutor executor(fp8_model(), small_options());
  Sequence sequence(0, some_tokens(20, 1), 0);
  SampleSpec spec = seeded();
  spec.stop_ids = {7};
  StepBatch batch;
  batch.slot_opens.push_back({0, sequence.tokens, 20, spec});
  add_rows(batch, sequence, 20);
  batch.prompt_scores.clear();
  batch.samples[0].mask_idx = 1;
  batch.masks.assign(static_cast<size_t>(2 * executor.limits().mask_words), 0);
  batch.masks[static_cast<size_t>(executor.limits().mask_words)] = 1u << 7;
  const StepResult result = run_step(executor, batch);
  ASSERT_EQ(result.tokens.size(), 1u);
  EXPECT_EQ(result.tokens[0].token, 7);
  EXPECT_EQ(result.tokens[0].outcome, SampleOutcome::kStop);
}

TEST(CpuExecutor, NothingAllowedIsNotFinite) {
  CpuExecutor executor(fp8_model(), small_options());
  Sequence sequence(0, some_tokens(20, 1), 0);
  StepBatch batch;
  batch.slot_opens.push_back({0, sequence.tokens, 20, seeded()});
  add_rows(batch, sequence, 20);
  batch.samples[0].mask_idx = 0;
  batch.masks.assign(static_cast<size_t>(executor.limits().mask_words), 0);
  EXPECT_EQ(run_step(executor, batch).tokens[0].outcome, SampleOutcome::kNotFinite);
}

TEST(CpuExecutor, EmptyStepsAreLegal) {
  CpuExecutor executor(fp8_model(), small_options());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(run_step(executor, {}).tokens.empty());
}

TEST(CpuExecutor, RefusesOptionsItCannotObeyByName) {
  const auto message_of = [](auto change) {
    CpuOptions options = small_options();
    change(options);
    try {
      CpuExecutor executor(fp8_model(), options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message_of([](CpuOptions& o) { o.block_tokens = 8; }), testing::HasSubstr("block_tokens"));
  EXPECT_THAT(message_of([](CpuOptions& o) { o.vocab_size = 513; }), testing::HasSubstr("vocab_size"));
  EXPECT_THAT(message_of([](CpuOptions& o) { o.block_count = 0; }), testing::HasSubstr("block_count"));
  EXPECT_THROW(choose_isa("sse"), Error);
}

}  // namespace
}  // namespace minimax::backend::cpu
