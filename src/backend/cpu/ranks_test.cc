// Layouts of ranks: each computes the bits of the whole model on one rank, in every arithmetic; so do the
// replicas of one that share the experts, each with sequences of its own.

#include "backend/cpu/ranks.h"

#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/executor.h"
#include "base/error.h"
#include "executor/group.h"
#include "executor/lockstep.h"
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

CpuOptions options_for(Arithmetic arithmetic, Isa isa, common::KvDtype kv_dtype = common::KvDtype::kBf16) {
  CpuOptions options;
  options.kv_dtype = kv_dtype;
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

std::vector<std::unique_ptr<executor::Executor>> make_replicas(const model::ModelView& model,
                                                               const model::ParallelLayout& layout,
                                                               CpuOptions options) {
  options.ranks = CpuExecutor::make_ranks(model, layout, options.arithmetic, 2);
  const auto make_rank = [&model, options](int32_t rank) {
    CpuOptions of_rank = options;
    of_rank.rank = rank;
    return std::make_unique<CpuExecutor>(model, of_rank);
  };
  return executor::make_lockstep(layout.dp,
                                 [&, make_rank](int32_t replica) -> std::unique_ptr<executor::Executor> {
                                   const int32_t first = replica * layout.tp;
                                   if (layout.tp == 1) return make_rank(first);
                                   return std::make_unique<executor::Group>(
                                       layout.tp, [&](int32_t rank) { return make_rank(first + rank); });
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

void expect_same_bits(const model::ModelShape& shape, const std::vector<model::ParallelLayout>& layouts,
                      common::KvDtype kv_dtype = common::KvDtype::kBf16) {
  const model::TestCheckpoint checkpoint(shape);
  for (const Isa isa : available_isas()) {
    for (const Arithmetic arithmetic : {Arithmetic::kW8a16, Arithmetic::kW8a8, Arithmetic::kBf16}) {
      const CpuOptions options = options_for(arithmetic, isa, kv_dtype);
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

// An engine that lives for some steps: sequences of random length come and go in its two slots, in chunks of
// random size; some steps have no rows, and between some the others go on without it.
std::vector<float> random_answers(executor::Executor& executor, uint32_t seed) {
  struct Running {
    std::vector<TokenId> tokens;
    int32_t prompt = 0, computed = 0, left = 0;
  };
  constexpr int32_t kBlocks = 8;  // of a sequence
  std::mt19937 random(seed);
  const auto below = [&random](int32_t limit) {
    return static_cast<int32_t>(random() % static_cast<uint32_t>(limit));
  };
  std::vector<float> seen;
  std::vector<Running> running(2);
  for (int32_t step = 0; step < 12; ++step) {
    StepBatch batch;
    for (int32_t slot = 0; slot < 2; ++slot) {
      Running& sequence = running[static_cast<size_t>(slot)];
      if (sequence.left == 0 && !sequence.tokens.empty()) {
        batch.slot_closes.push_back(slot);
        sequence = {};
      }
      if (below(4) == 0) continue;  // it has no rows in this step
      if (sequence.left == 0) {
        sequence.prompt = 1 + below(40);
        for (int32_t i = 0; i < sequence.prompt; ++i) sequence.tokens.push_back(below(kVocab));
        sequence.left = 1 + below(4);
        executor::SampleSpec spec;
        spec.temperature = below(2) == 0 ? 0.0f : 1.0f;
        spec.seed = seed;
        spec.logprobs = 3;
        batch.slot_opens.push_back({slot, sequence.tokens, sequence.prompt, spec});
      }
      executor::SequenceRows rows;
      rows.slot = slot;
      rows.row_begin = static_cast<int32_t>(batch.row_tokens.size());
      const auto known = static_cast<int32_t>(sequence.tokens.size());
      rows.row_count = std::min(1 + below(30), known - sequence.computed);
      rows.first_position = sequence.computed;
      rows.block_begin = static_cast<int32_t>(batch.block_table.size());
      sequence.computed += rows.row_count;
      rows.block_count = (sequence.computed + kBlockTokens - 1) / kBlockTokens;
      for (int32_t b = 0; b < rows.block_count; ++b) batch.block_table.push_back(slot * kBlocks + b);
      for (int32_t i = 0; i < rows.row_count; ++i)
        batch.row_tokens.push_back(sequence.tokens[static_cast<size_t>(rows.first_position + i)]);
      if (sequence.computed == known)
        batch.samples.push_back({rows.row_begin + rows.row_count - 1, slot, known - sequence.prompt, -1});
      batch.sequences.push_back(rows);
    }
    if (below(5) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(below(4)));
    StepResult result;
    executor.collect(executor.submit(batch), result);
    for (const executor::SampledToken& token : result.tokens) {
      Running& sequence = running[static_cast<size_t>(batch.samples[static_cast<size_t>(token.sample)].slot)];
      sequence.tokens.push_back(token.token);
      --sequence.left;
      seen.push_back(static_cast<float>(token.token));
      seen.push_back(token.logprob.logprob);
    }
    for (const executor::TopLogprob& top : result.top_logprobs) {
      seen.push_back(static_cast<float>(top.token));
      seen.push_back(top.logprob);
    }
  }
  return seen;
}

// idle: replicas whose engines do nothing at all.
void expect_same_bits_of_replicas(const model::ModelView& model, Arithmetic arithmetic, Isa isa,
                                  int32_t idle) {
  const CpuOptions options = options_for(arithmetic, isa);
  std::vector<std::vector<float>> alone;
  for (uint32_t seed = 0; seed < 4; ++seed) alone.push_back(random_answers(*make(model, {}, options), seed));
  const model::ParallelLayout layouts[] = {{.dp = 2, .ep = 2},
                                           {.dp = 4, .ep = 4},
                                           {.tp = 2, .dp = 2, .ep = 4},
                                           {.tp = 2, .dp = 2, .ep = 2},  // two ranks share each expert:
                                           {.dp = 4, .ep = 2}};          // of one replica, of two
  for (const model::ParallelLayout& layout : layouts) {
    SCOPED_TRACE(testing::Message() << "tp " << layout.tp << " dp " << layout.dp << " ep " << layout.ep
                                    << ", " << common::name_of(arithmetic) << ", " << name_of(isa));
    const auto busy = static_cast<size_t>(std::max(1, layout.dp - idle));
    const auto replicas = make_replicas(model, layout, options);
    std::vector<std::vector<float>> together(busy);
    std::vector<std::thread> engines;
    for (size_t r = 0; r < busy; ++r)
      engines.emplace_back([&, r] { together[r] = random_answers(*replicas[r], static_cast<uint32_t>(r)); });
    for (std::thread& engine : engines) engine.join();
    for (size_t r = 0; r < busy; ++r) ASSERT_EQ(together[r], alone[r]) << "replica " << r;
  }
}

TEST(CpuRanks, ReplicasThatShareTheExpertsComputeTheSameBits) {
  const model::TestCheckpoint checkpoint(shape_of_eight());
  const Isa best = available_isas().back();
  for (const Arithmetic arithmetic : {Arithmetic::kW8a16, Arithmetic::kW8a8, Arithmetic::kBf16})
    expect_same_bits_of_replicas(checkpoint.view(), arithmetic, best, 0);
}

TEST(CpuRanks, ReplicasWithoutRequestsTakePartInTheExperts) {
  const model::TestCheckpoint checkpoint(shape_of_two());
  expect_same_bits_of_replicas(checkpoint.view(), Arithmetic::kW8a16, available_isas().back(), 3);
}

// All rows of all replicas go to experts 0, 1 and 2; of four ranks two have nothing to do.
TEST(CpuRanks, ReplicasComputeTheSameBitsWhereAllRowsGoToThreeExperts) {
  model::ModelShape shape = shape_of_eight();
  shape.routing_bias = true;
  const model::TestCheckpoint checkpoint(shape);
  model::ModelView view = checkpoint.view();
  std::vector<float> bias(static_cast<size_t>(shape.experts), 0.0f);
  std::fill(bias.begin(), bias.begin() + 3, 2.0f);  // a score is 1 at most
  for (model::LayerView& layer : view.layers) {
    layer.router_bias.dtype = model::DType::kF32;
    layer.router_bias.data = reinterpret_cast<const std::byte*>(bias.data());
  }
  expect_same_bits_of_replicas(view, Arithmetic::kW8a8, available_isas().back(), 1);
}

// The other replica's rank waits in vain, and both engines hear why.
TEST(CpuRanks, AReplicaThatFailsEndsTheOthers) {
  const model::TestCheckpoint checkpoint(shape_of_two());
  const model::ModelView& model = checkpoint.view();
  class Failing final : public executor::Executor {
   public:
    explicit Failing(std::unique_ptr<executor::Executor> own) : own_(std::move(own)) {}
    const executor::Limits& limits() const override { return own_->limits(); }
    executor::StepId submit(const StepBatch& batch) override {
      if (steps_++ == 3) throw Error("lost");
      return own_->submit(batch);
    }
    void collect(executor::StepId step, StepResult& result) override { own_->collect(step, result); }
    executor::Report report() const override { return {}; }

   private:
    std::unique_ptr<executor::Executor> own_;
    int32_t steps_ = 0;
  };
  CpuOptions options = options_for(Arithmetic::kW8a16, available_isas().back());
  ThreadPool threads(1);
  options.ranks = std::make_shared<Ranks>(
      model::ParallelLayout{.dp = 2, .ep = 2}, comm::LocalOptions{.ranks = 2, .wait_s_max = 0.2},
      std::make_shared<const Weights>(model, options.arithmetic, threads));
  const auto replicas =
      executor::make_lockstep(2, [&](int32_t replica) -> std::unique_ptr<executor::Executor> {
        CpuOptions of_rank = options;
        of_rank.rank = replica;
        auto own = std::make_unique<CpuExecutor>(model, of_rank);
        if (replica == 0) return own;
        return std::make_unique<Failing>(std::move(own));
      });
  for (const auto& replica : replicas) {
    try {
      random_answers(*replica, 1);
      FAIL() << "came to its end";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "lost");
    }
  }
}

TEST(CpuRanks, LayoutsComputeTheSameBitsWithKvInFp8) {
  expect_same_bits(shape_of_eight(), {{.tp = 2}, {.tp = 8, .ep = 4}}, common::KvDtype::kFp8);
  expect_same_bits(shape_of_two(), {{.tp = 4}}, common::KvDtype::kFp8);
}

TEST(CpuRanks, SharesCoverTheModelOnce) {
  const model::ModelShape shape = shape_of_eight();
  for (const model::ParallelLayout& layout : {model::ParallelLayout{.tp = 8}, {.tp = 8, .ep = 4}}) {
    std::vector<int32_t> heads(16), columns(256);
    for (int32_t rank = 0; rank < 8; ++rank) {
      const Share share = share_of(shape, layout, rank, {});
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
