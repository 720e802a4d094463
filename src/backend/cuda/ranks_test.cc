// Ranks of one model: on devices of their own where there are enough, always also sharing one device.

#include <cmath>
#include <random>
#include <thread>

#include <gmock/gmock.h>

#include "backend/cuda/forward.h"
#include "backend/cuda/test_sequences.h"
#include "base/error.h"
#include "base/float_types.h"
#include "executor/group.h"
#include "executor/lockstep.h"
#include "model/test_checkpoint.h"

namespace minimax::backend::cuda {
namespace {

// Heads for eight ranks with four KV heads between them; slices of 64 expert columns, half an fp8 block.
model::ModelShape ranks_shape() {
  model::ModelShape shape = model::small_test_shape();
  shape.q_heads = 8;
  shape.kv_heads = 4;
  shape.expert_width = 512;
  return shape;
}
const model::ModelView& fp8_model() {
  static const model::TestCheckpoint checkpoint(ranks_shape());
  return checkpoint.view();
}

// Where `ranks` ranks can be put.
std::vector<std::vector<int32_t>> placements(int32_t ranks) {
  std::vector<std::vector<int32_t>> out = {std::vector<int32_t>(static_cast<size_t>(ranks), 0)};
  if (device_count() >= ranks) {
    out.emplace_back();
    for (int32_t r = 0; r < ranks; ++r) out.back().push_back(r);
  }
  return out;
}

template <typename Work>
void on_ranks(int32_t ranks, Work work) {
  std::vector<std::thread> threads;
  for (int32_t r = 0; r < ranks; ++r) threads.emplace_back([&work, r] { work(r); });
  for (std::thread& thread : threads) thread.join();
}

// All ranks of a model. The group checks that they draw the same tokens.
executor::Group all_ranks(const model::ModelView& model, CudaOptions options,
                          const std::vector<int32_t>& devices) {
  options.shard.layout.tp = static_cast<int32_t>(devices.size());
  options.peers = make_peers(model.shape, options, devices);
  return executor::Group(options.shard.layout.tp, [&](int32_t rank) {
    CudaOptions own = options;
    own.shard.rank = rank;
    return std::make_unique<CudaExecutor>(model, own);
  });
}
Forward& forward_of(executor::Group& group, int32_t rank) {
  return dynamic_cast<CudaExecutor&>(group.rank(rank)).forward();
}

class RanksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (device_count() == 0) GTEST_SKIP() << "no CUDA device: nothing of backend/cuda was run";
  }
};

// ---------------------------------------------------------------------------------------------------------------
// The sum alone, against plain additions on the host: bits.

struct SumCase {
  int32_t ranks, rows;
  PeerForm form;
};

void expect_plain_sums(const std::vector<int32_t>& devices, const SumCase& sum_case) {
  constexpr int32_t kWidth = 768, kRounds = 5;
  const int64_t count = int64_t{sum_case.rows} * kWidth;
  PeerGroup group(devices, {.rows_max = 512, .hidden = kWidth, .parts_max = 512});
  std::vector<std::vector<float>> parts(devices.size());
  std::vector<uint16_t> before(static_cast<size_t>(count));
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (auto& part : parts)
    for (int64_t i = 0; i < count; ++i) part.push_back(normal(random));
  for (uint16_t& bits : before) bits = float_to_bf16(normal(random));
  std::vector<uint16_t> expected = before;
  for (int32_t round = 0; round < kRounds; ++round)
    for (size_t i = 0; i < expected.size(); ++i) {
      float sum = 0;
      for (const auto& part : parts) sum += part[i];
      expected[i] = float_to_bf16(bf16_to_float(expected[i]) + bf16_to_float(float_to_bf16(sum)));
    }
  std::vector<std::vector<uint16_t>> after(devices.size());
  on_ranks(sum_case.ranks, [&](int32_t r) {
    select_device(group.device(r));
    const Stream stream;
    DeviceMemory h(count * 2, "test");
    h.upload(0, before.data(), count * 2);
    const PeerView view = group.view(r);
    auto* const partial = reinterpret_cast<float*>(view.memory[r] + view.at.partials);
    PinnedMemory back(count * 4, "test");
    std::copy(parts[static_cast<size_t>(r)].begin(), parts[static_cast<size_t>(r)].end(), back.as<float>());
    stream.to_device(partial, back.data(), count * 4);
    stream.wait();
    group.meet();  // from here on a rank on the same device may wait for kernels alone
    for (int32_t round = 0; round < kRounds; ++round) {
      const ResidualTask task{.h = h.as<uint16_t>(), .rows = sum_case.rows, .width = kWidth};
      residual_norm_over_ranks(task, partial, view, sum_case.form, stream.handle());
    }
    stream.wait();
    stream.to_host(back.data(), h.data(), count * 2);
    stream.wait();
    after[static_cast<size_t>(r)].assign(back.as<uint16_t>(), back.as<uint16_t>() + count);
    group.meet();
  });
  for (const auto& own : after) ASSERT_EQ(own, expected);
}

TEST_F(RanksTest, SumsArePlainSumsInTheOrderOfRanks) {
  for (const int32_t ranks : {2, 4, 8})
    for (const auto& devices : placements(ranks))
      for (const SumCase& sum_case :
           {SumCase{ranks, 1, PeerForm::kWords}, SumCase{ranks, 32, PeerForm::kWords},
            SumCase{ranks, 1, PeerForm::kPush}, SumCase{ranks, 10, PeerForm::kPush},
            SumCase{ranks, 256, PeerForm::kPush}, SumCase{ranks, 1, PeerForm::kOwned},
            SumCase{ranks, 37, PeerForm::kOwned}, SumCase{ranks, 512, PeerForm::kOwned}}) {
        SCOPED_TRACE(
            fmt::format("{} ranks, {} rows, on devices up to {}", ranks, sum_case.rows, devices.back()));
        expect_plain_sums(devices, sum_case);
      }
}

// ---------------------------------------------------------------------------------------------------------------
// Whole models.

constexpr int32_t kPrompt = 300;

Sequence generated(executor::Executor& executor, const SampleSpec& spec, int32_t chunk = 1024,
                   int32_t outputs = 12) {
  Sequence sequence(0, some_tokens(kPrompt, 1), 3);
  generate(executor, sequence, spec, chunk, outputs);
  return sequence;
}

// Log-probabilities of the prompt's tokens: root mean square and largest difference.
struct Distance {
  double rms = 0, largest = 0;
};
Distance distance(const Sequence& a, const Sequence& b) {
  Distance out;
  for (size_t i = 0; i + 1 < kPrompt; ++i) {
    const double difference = std::abs(double{a.scores[i].logprob} - double{b.scores[i].logprob});
    out.rms += difference * difference / (kPrompt - 1);
    out.largest = std::max(out.largest, difference);
  }
  out.rms = std::sqrt(out.rms);
  return out;
}

TEST_F(RanksTest, ComputeTheFunctionOfOneDevice) {
  for (const Arithmetic arithmetic : {Arithmetic::kW8a8, Arithmetic::kW8a16, Arithmetic::kBf16}) {
    CudaOptions options = small_options();
    options.arithmetic = arithmetic;
    CudaExecutor one(fp8_model(), options);
    const Sequence whole = generated(one, seeded());
    // What it would be not to exchange anything.
    options.shard = {.layout = {.tp = 2}, .rank = 0};
    CudaExecutor alone(fp8_model(), options);
    const Distance unrelated = distance(generated(alone, seeded()), whole);
    options.shard = {};
    for (const int32_t ranks : {2, 4, 8})
      for (const auto& devices : placements(ranks)) {
        executor::Group executor = all_ranks(fp8_model(), options, devices);
        const Distance own = distance(generated(executor, seeded()), whole);
        fmt::print(
            "{}, {} ranks on devices up to {}: log-probabilities differ by {:.4f} rms, {:.4f} at most "
            "(a rank alone: {:.4f} rms)\n",
            common::name_of(arithmetic), ranks, devices.back(), own.rms, own.largest, unrelated.rms);
        EXPECT_LT(own.rms, 0.1);
        EXPECT_LT(own.rms * 10, unrelated.rms);
      }
  }
}

TEST_F(RanksTest, FormsGraphsAndChunksChangeNoBit) {
  for (const int32_t ranks : {2, 8})
    for (const auto& devices : placements(ranks)) {
      SCOPED_TRACE(fmt::format("{} ranks, devices up to {}", ranks, devices.back()));
      CudaOptions options = small_options();
      executor::Group executor = all_ranks(fp8_model(), options, devices);
      const Sequence first = generated(executor, seeded(), 1024, 40);
      EXPECT_GT(forward_of(executor, 0).graph_launches(), 20);
      expect_same(generated(executor, seeded(), 1024, 40), first);
      expect_same(generated(executor, seeded(), 37, 40), first);
      options.graphs = false;
      executor::Group eager = all_ranks(fp8_model(), options, devices);
      for (int32_t r = 0; r < ranks; ++r) forward_of(eager, r).set_peer_form(PeerForm::kOwned);
      expect_same(generated(eager, seeded(), 64, 40), first);
    }
}

TEST_F(RanksTest, BatchMatesChangeNoBit) {
  for (const auto& devices : placements(4)) {
    executor::Group executor = all_ranks(fp8_model(), small_options(), devices);
    const Sequence alone = generated(executor, seeded());
    std::vector<Sequence> mates;
    StepBatch batch;
    for (int32_t i = 0; i < 4; ++i) {
      mates.emplace_back(i, some_tokens(i == 1 ? kPrompt : 20 + i, i), 50 * i);
      batch.slot_opens.push_back({i, mates.back().tokens, mates.back().prompt_tokens, seeded()});
      add_rows(batch, mates.back(), std::min(100, mates.back().known()));
    }
    while (mates[1].known() < alone.known()) {
      const StepResult result = run_step(executor, batch);
      for (const executor::SampledToken& token : result.tokens) {
        const auto slot = static_cast<size_t>(batch.samples[static_cast<size_t>(token.sample)].slot);
        mates[slot].tokens.push_back(token.token);
      }
      batch = {};
      for (Sequence& mate : mates)
        if (mate.known() < mate.prompt_tokens + 20)
          add_rows(batch, mate, std::min(100, mate.known() - mate.computed));
    }
    mates[1].tokens.resize(alone.tokens.size());
    EXPECT_EQ(mates[1].tokens, alone.tokens);
  }
}

TEST_F(RanksTest, MadeUpWeightsAreTheSameInAllLayouts) {
  const model::DescribedModel described(ranks_shape());
  CudaExecutor one(described.view(), small_options());
  const Sequence whole = generated(one, seeded());
  executor::Group two = all_ranks(described.view(), small_options(), {0, 0});
  EXPECT_LT(distance(generated(two, seeded()), whole).rms, 0.1);
}

// ---------------------------------------------------------------------------------------------------------------
// Whole experts on each rank.

std::unique_ptr<executor::Executor> replica_of(const model::ModelView& model, const CudaOptions& options) {
  const int32_t tp = options.shard.layout.tp, first = options.shard.rank;
  if (tp == 1) return std::make_unique<CudaExecutor>(model, options);
  return std::make_unique<executor::Group>(tp, [&](int32_t rank) {
    CudaOptions own = options;
    own.shard.rank = first + rank;
    return std::make_unique<CudaExecutor>(model, own);
  });
}

// An executor for each of layout.dp replicas. ep = tp * dp.
std::vector<std::unique_ptr<executor::Executor>> sharing_replicas(const model::ModelView& model,
                                                                  CudaOptions options, int32_t tp, int32_t dp,
                                                                  const std::vector<int32_t>& devices) {
  options.shard.layout = {.tp = tp, .dp = dp, .ep = tp * dp};
  options.world = make_world(model.shape, options, devices);
  std::vector<CudaOptions> each(static_cast<size_t>(dp), options);
  for (int32_t replica = 0; replica < dp; ++replica) {
    CudaOptions& own = each[static_cast<size_t>(replica)];
    own.shard.rank = replica * tp;
    own.peers = make_peers(model.shape, own, devices, replica);
  }
  const auto make = [&](int32_t replica) { return replica_of(model, each[static_cast<size_t>(replica)]); };
  if (dp > 1) return executor::make_lockstep(dp, make);
  std::vector<std::unique_ptr<executor::Executor>> one;
  one.push_back(make(0));
  return one;
}

struct SharedLayout {
  int32_t tp, dp;
};
constexpr SharedLayout kSharedLayouts[] = {{2, 1}, {8, 1}, {1, 2}, {1, 4}, {2, 2}, {1, 8}, {2, 4}};

TEST_F(RanksTest, WholeExpertsComputeTheFunctionOfOneDevice) {
  for (const Arithmetic arithmetic : {Arithmetic::kW8a8, Arithmetic::kW8a16}) {
    CudaOptions options = small_options();
    options.arithmetic = arithmetic;
    CudaExecutor one(fp8_model(), options);
    const Sequence whole = generated(one, seeded());
    for (const SharedLayout& layout : kSharedLayouts)
      for (const auto& devices : placements(layout.tp * layout.dp)) {
        auto replicas = sharing_replicas(fp8_model(), options, layout.tp, layout.dp, devices);
        const Sequence first = generated(*replicas.front(), seeded());  // the others join empty
        const Distance own = distance(first, whole);
        fmt::print(
            "{}, tp {}, dp {}, whole experts, devices up to {}: log-probabilities differ by {:.4f} rms\n",
            common::name_of(arithmetic), layout.tp, layout.dp, devices.back(), own.rms);
        EXPECT_LT(own.rms, 0.1);
        expect_same(generated(*replicas.back(), seeded(), 64), first);
      }
  }
}

// What other replicas do at the same time, how it is launched and cut changes no bit.
TEST_F(RanksTest, OtherReplicasChangeNoBit) {
  for (const SharedLayout& layout : {SharedLayout{1, 4}, SharedLayout{2, 2}})
    for (const auto& devices : placements(layout.tp * layout.dp)) {
      SCOPED_TRACE(fmt::format("tp {}, dp {}, devices up to {}", layout.tp, layout.dp, devices.back()));
      CudaOptions options = small_options();
      auto replicas = sharing_replicas(fp8_model(), options, layout.tp, layout.dp, devices);
      const Sequence alone = generated(*replicas.front(), seeded(), 1024, 40);
      const auto all_at_once = [&] {
        std::vector<std::thread> threads;
        for (size_t i = 0; i < replicas.size(); ++i)
          threads.emplace_back([&, i] {
            for (int32_t round = 0; round < 3; ++round) {
              Sequence other(0, some_tokens(100 + 90 * static_cast<int32_t>(i), 7 + round), 3);
              generate(*replicas[i], other, seeded(), 40 + 30 * round, 15);
              expect_same(generated(*replicas[i], seeded(), 37 + 100 * static_cast<int32_t>(i), 40), alone);
            }
          });
        for (std::thread& thread : threads) thread.join();
      };
      all_at_once();
      replicas.clear();
      options.graphs = false;
      replicas = sharing_replicas(fp8_model(), options, layout.tp, layout.dp, devices);
      all_at_once();
    }
}

// A rank that never comes: the others' kernels end, and the process with them.
void wait_for_nobody() {
  PeerGroup group({0, 0}, {.rows_max = 16, .hidden = 256, .parts_max = 16}, 1);
  select_device(0);
  const Stream stream;
  const DeviceMemory h(16 * 256 * 2, "test");
  const PeerView view = group.view(0);
  ResidualTask task;
  task.h = h.as<uint16_t>();
  task.rows = 16;
  task.width = 256;
  residual_norm_over_ranks(task, reinterpret_cast<float*>(view.memory[0] + view.at.partials), view,
                           PeerForm::kPush, stream.handle());
  stream.wait();
}

TEST_F(RanksTest, AWaitHasAnEnd) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(wait_for_nobody(), testing::ExitedWithCode(kDeviceFailed), "cannot be used further");
}

TEST_F(RanksTest, RefusesLayoutsByName) {
  const auto message_of = [](model::ParallelLayout layout) {
    CudaOptions options = small_options();
    options.shard.layout = layout;
    try {
      CudaExecutor executor(fp8_model(), options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message_of({.tp = 3}), testing::HasSubstr("num_attention_heads"));
  EXPECT_THAT(message_of({.tp = 4, .ep = 2}), testing::HasSubstr("expert parallel size 2"));
  EXPECT_THAT(message_of({.dp = 3, .ep = 3}), testing::HasSubstr("8 experts over 3 ranks"));
}

}  // namespace
}  // namespace minimax::backend::cuda
