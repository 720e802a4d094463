#include "backend/cuda/executor.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cuda/device.h"
#include "backend/cuda/forward.h"
#include "backend/cuda/test_sequences.h"
#include "base/error.h"
#include "model/test_checkpoint.h"

namespace minimax::backend::cuda {
namespace {

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

// Every combination that a promise is made for.
struct Setting {
  const model::ModelView* model;
  Arithmetic arithmetic;
  model::KvDtype kv_dtype = model::KvDtype::kBf16;
};
std::vector<Setting> settings() {
  return {{&fp8_model(), Arithmetic::kW8a8},
          {&fp8_model(), Arithmetic::kW8a8, model::KvDtype::kFp8},
          {&fp8_model(), Arithmetic::kW8a16},
          {&fp8_model(), Arithmetic::kBf16},
          {&bf16_model(), Arithmetic::kBf16}};
}
CudaOptions options_of(const Setting& setting) {
  CudaOptions options = small_options();
  options.arithmetic = setting.arithmetic;
  options.kv_dtype = setting.kv_dtype;
  return options;
}
std::string name_of(const Setting& setting) {
  return fmt::format("{}{}{}", common::name_of(setting.arithmetic),
                     setting.kv_dtype == model::KvDtype::kFp8 ? ", fp8 KV" : "",
                     setting.model == &bf16_model() ? ", bf16 checkpoint" : "");
}

class CudaExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    if (device_count() == 0) GTEST_SKIP() << "no CUDA device: nothing of backend/cuda was run";
  }
};

// Long enough for several tiles and leaves of the attention.
constexpr int32_t kPrompt = 600;

Sequence generated_alone(const Setting& setting, int32_t salt, int32_t chunk = 1024, int32_t block_step = 1,
                         AttentionForm form = AttentionForm::kBySize) {
  CudaExecutor executor(*setting.model, options_of(setting));
  executor.forward().set_attention_form(form);
  Sequence sequence(0, some_tokens(kPrompt, salt), 3, block_step);
  generate(executor, sequence, seeded(), chunk, 5);
  return sequence;
}

TEST_F(CudaExecutorTest, ChunksAndTablesChangeNoBit) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(name_of(setting));
    const Sequence whole = generated_alone(setting, 1);
    ASSERT_EQ(whole.known(), kPrompt + 5);
    expect_same(generated_alone(setting, 1, 37), whole);
    expect_same(generated_alone(setting, 1, 7), whole);
    expect_same(generated_alone(setting, 1, 20), whole);
    expect_same(generated_alone(setting, 1, 256, 5), whole);
  }
}

// Prompts that go to wgmma and to the router's blocks, by tiles of all widths, against chunks that do not.
// Wide enough for four segments of a sum.
TEST_F(CudaExecutorTest, ManyRowsAreTheSameTree) {
  model::ModelShape shape = model::small_test_shape();
  shape.hidden = 1536;
  shape.expert_width = 256;
  const model::TestCheckpoint checkpoint(shape);
  CudaOptions options = small_options();
  options.step_rows_max = 2048;
  const auto generated = [&](int32_t chunk) {
    CudaExecutor executor(checkpoint.view(), options);
    Sequence sequence(0, some_tokens(1100, 3), 3);
    generate(executor, sequence, seeded(), chunk, 5);
    return sequence;
  };
  const Sequence few = generated(64);
  for (const int32_t chunk : {1100, 1027, 600, 512, 300}) {
    SCOPED_TRACE(chunk);
    expect_same(generated(chunk), few);
  }
}

// Log-probabilities of the prompt, apart by what a cache of 4 significant bits costs, and no more.
TEST_F(CudaExecutorTest, Fp8KvIsNearBf16) {
  for (const Arithmetic arithmetic : {Arithmetic::kW8a8, Arithmetic::kW8a16}) {
    const Sequence bf16 = generated_alone({&fp8_model(), arithmetic}, 1),
                   fp8 = generated_alone({&fp8_model(), arithmetic, model::KvDtype::kFp8}, 1);
    double rms = 0;
    for (size_t i = 0; i + 1 < kPrompt; ++i) {
      const double difference = double{fp8.scores[i].logprob} - double{bf16.scores[i].logprob};
      rms += difference * difference / (kPrompt - 1);
    }
    rms = std::sqrt(rms);
    fmt::print("{}: log-probabilities with fp8 KV differ by {:.4f} rms\n", common::name_of(arithmetic), rms);
    EXPECT_GT(rms, 0);
    EXPECT_LT(rms, 0.1);
  }
}

TEST_F(CudaExecutorTest, FormsOfAttentionAreOneTree) {
  const Setting setting = settings()[0];
  const Sequence whole = generated_alone(setting, 1);
  for (const AttentionForm form : {AttentionForm::kWide, AttentionForm::kNarrow, AttentionForm::kNarrowLeaves,
                                   AttentionForm::kWideLeaves})
    expect_same(generated_alone(setting, 1, 1024, 1, form), whole);
}

TEST_F(CudaExecutorTest, GraphsChangeNoBit) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(name_of(setting));
    CudaOptions options = options_of(setting);
    // Over the border of a leaf, so that a recorded form is left for another one.
    constexpr int32_t kOutputs = 60, kStart = 4 * kLeafKeys - 30;
    Sequence with(0, some_tokens(kStart, 1), 3), without = with;
    CudaExecutor recording(*setting.model, options);
    generate(recording, with, seeded(), 1024, kOutputs);
    EXPECT_GT(recording.forward().graph_launches(), kOutputs / 2);
    options.graphs = false;
    CudaExecutor eager(*setting.model, options);
    generate(eager, without, seeded(), 1024, kOutputs);
    EXPECT_EQ(eager.forward().graph_launches(), 0);
    expect_same(with, without);
  }
}

TEST_F(CudaExecutorTest, BatchMatesChangeNoBit) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(name_of(setting));
    CudaExecutor executor(*setting.model, options_of(setting));
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

TEST_F(CudaExecutorTest, ResumedSequenceDrawsWhatItWouldHave) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(name_of(setting));
    const Sequence whole = generated_alone(setting, 1);
    CudaExecutor executor(*setting.model, options_of(setting));
    Sequence first(3, some_tokens(kPrompt, 1), 0);
    generate(executor, first, seeded(), 1024, 2);
    // Preempted after two tokens: another slot, other blocks, the history opened again and recomputed.
    Sequence second(5, first.tokens, 100, 3);
    second.prompt_tokens = kPrompt;
    generate(executor, second, seeded(), 333, 5);
    EXPECT_EQ(second.tokens, whole.tokens);
  }
}

TEST_F(CudaExecutorTest, CachedPrefixAndForkedSlotEqualRecomputation) {
  const Setting setting{&fp8_model(), Arithmetic::kW8a8};
  CudaExecutor executor(*setting.model, options_of(setting));
  Sequence first(0, some_tokens(kPrompt, 1), 3);
  generate(executor, first, seeded(), 1024, 1);
  // A new request finds the first 512 positions in the blocks of the first.
  Sequence cached(1, some_tokens(kPrompt, 1), 3);
  cached.computed = 512;
  generate(executor, cached, seeded(), 1024, 5);
  EXPECT_EQ(cached.tokens, generated_alone(setting, 1).tokens);

  // n = 2: both draw from the prompt's last row; the second goes on in a copy of the partly filled block.
  CudaExecutor fresh(*setting.model, options_of(setting));
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

  CudaExecutor alone(*setting.model, options_of(setting));
  Sequence twin(0, some_tokens(kPrompt, 1), 3);
  generate(alone, twin, other, 1024, 2);
  EXPECT_EQ(result.tokens[1].token, twin.tokens[kPrompt]);
  EXPECT_EQ(forked.tokens[0].token, twin.tokens[kPrompt + 1]);
}

TEST_F(CudaExecutorTest, MasksAndStopIdsAreObeyed) {
  CudaExecutor executor(fp8_model(), small_options());
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

TEST_F(CudaExecutorTest, NothingAllowedIsNotFinite) {
  CudaExecutor executor(fp8_model(), small_options());
  Sequence sequence(0, some_tokens(20, 1), 0);
  StepBatch batch;
  batch.slot_opens.push_back({0, sequence.tokens, 20, seeded()});
  add_rows(batch, sequence, 20);
  batch.samples[0].mask_idx = 0;
  batch.masks.assign(static_cast<size_t>(executor.limits().mask_words), 0);
  EXPECT_EQ(run_step(executor, batch).tokens[0].outcome, SampleOutcome::kNotFinite);
}

TEST_F(CudaExecutorTest, EmptyStepsAreLegal) {
  CudaExecutor executor(fp8_model(), small_options());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(run_step(executor, {}).tokens.empty());
}

TEST_F(CudaExecutorTest, RefusesOptionsItCannotObeyByName) {
  const auto message_of = [](auto change) {
    CudaOptions options = small_options();
    change(options);
    try {
      CudaExecutor executor(fp8_model(), options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message_of([](CudaOptions& o) { o.device = 99; }), testing::HasSubstr("device 99"));
  EXPECT_THAT(message_of([](CudaOptions& o) { o.block_count = 1 << 30; }), testing::HasSubstr("KV blocks"));
  EXPECT_THAT(message_of([](CudaOptions& o) { o.vocab_size = 513; }), testing::HasSubstr("vocab_size"));
  EXPECT_THAT(message_of([](CudaOptions& o) { o.block_count = 0; }), testing::HasSubstr("block_count"));
}

}  // namespace
}  // namespace minimax::backend::cuda
