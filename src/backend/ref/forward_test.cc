#include "backend/ref/forward.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/float_types.h"
#include "base/json.h"
#include "model/test_checkpoint.h"

namespace minimax::backend::ref {
namespace {

namespace taps = model::taps;

struct Recorder : model::TapSink {
  struct Tap {
    int64_t width = 0;
    std::vector<float> values;
  };
  std::map<std::string, Tap> seen;
  std::vector<std::string> order;

  void tap(std::string_view name, int32_t layer, int64_t rows, int64_t width, const float* values) override {
    const std::string full = layer < 0 ? std::string(name) : fmt::format("layers.{}.{}", layer, name);
    EXPECT_FALSE(seen.contains(full)) << full;
    seen[full] = {width, std::vector<float>(values, values + rows * width)};
    order.push_back(full);
  }
};

struct ForwardRun {
  Recorder recorder;
  std::vector<float> h, logits;

  explicit ForwardRun(const model::ModelView& model,
                      common::Arithmetic arithmetic = common::Arithmetic::kW8a8,
                      const std::vector<executor::TokenId>& ids = {5, 300, 7, 7, 511}) {
    const Forward forward(model, arithmetic, &recorder);
    KvCache kv(model.shape, 16, 1);
    const std::vector<executor::BlockId> table = {0};
    std::vector<RowPlace> places;
    for (size_t row = 0; row < ids.size(); ++row) places.push_back({static_cast<int32_t>(row), table});
    h = forward.run(ids, places, kv);
    logits = forward.head(h);
  }
};

const model::ModelView& small_model() {
  static const model::TestCheckpoint checkpoint(model::small_test_shape());
  return checkpoint.view();
}

TEST(Forward, ShowsEveryTapOfEveryLayerOnceWithItsWidth) {
  const model::ModelShape& shape = small_model().shape;
  const ForwardRun run(small_model());
  const std::map<std::string_view, int64_t> layer_widths = {
      {taps::kAttnNorm, shape.hidden},
      {taps::kQProj, shape.q_width()},
      {taps::kKProj, shape.kv_width()},
      {taps::kVProj, shape.kv_width()},
      {taps::kQNorm, shape.q_width()},
      {taps::kKNorm, shape.kv_width()},
      {taps::kQRope, shape.q_width()},
      {taps::kKRope, shape.kv_width()},
      {taps::kAttn, shape.q_width()},
      {taps::kOProj, shape.hidden},
      {taps::kAttnResidual, shape.hidden},
      {taps::kMlpNorm, shape.hidden},
      {taps::kRouterLogits, shape.experts},
      {taps::kRouterScores, shape.experts},
      {taps::kExpertIds, shape.experts_per_token},
      {taps::kExpertWeights, shape.experts_per_token},
      {taps::kExpertInner, int64_t{shape.experts_per_token} * shape.expert_width},
      {taps::kMoe, shape.hidden},
      {taps::kMlpResidual, shape.hidden}};
  const auto expect_tap = [&](const std::string& name, int64_t width) {
    ASSERT_TRUE(run.recorder.seen.contains(name)) << name;
    const Recorder::Tap& tap = run.recorder.seen.at(name);
    EXPECT_EQ(tap.width, width) << name;
    EXPECT_EQ(tap.values.size(), static_cast<size_t>(5 * width)) << name;
  };
  for (int32_t n = 0; n < shape.layers; ++n)
    for (const auto& [name, width] : layer_widths) expect_tap(fmt::format("layers.{}.{}", n, name), width);
  expect_tap("embed", shape.hidden);
  expect_tap("final_norm", shape.hidden);
  expect_tap("logits", shape.vocab_rows);
  EXPECT_EQ(run.recorder.order.size(), 3 + layer_widths.size() * static_cast<size_t>(shape.layers));
  EXPECT_EQ(run.recorder.order.front(), "embed");
  EXPECT_EQ(run.recorder.order.back(), "logits");
}

// docs/numerics.md: every stored activation is a bf16, but for the router's values and the logits.
TEST(Forward, StoresActivationsAsBf16) {
  const ForwardRun run(small_model());
  for (const auto& [name, tap] : run.recorder.seen) {
    if (name == "logits" || name.find("router") != std::string::npos ||
        name.find("weights") != std::string::npos)
      continue;
    for (const float value : tap.values) ASSERT_EQ(value, round_to_bf16(value)) << name;
  }
}

TEST(Forward, WeightsOfTheExpertsAddUpToOne) {
  const ForwardRun run(small_model());
  const std::vector<float>& weights = run.recorder.seen.at("layers.1.expert_weights").values;
  for (size_t i = 0; i < weights.size(); i += 2) EXPECT_NEAR(weights[i] + weights[i + 1], 1.0f, 1e-6f);
}

TEST(Forward, LayerFedByHandEqualsTheSameLayerOfTheRun) {
  const ForwardRun run(small_model());
  Recorder recorder;
  const Forward forward(small_model(), common::Arithmetic::kW8a8, &recorder);
  KvCache kv(small_model().shape, 2, 8);
  const std::vector<executor::BlockId> table = {7, 0, 3};
  std::vector<RowPlace> places;
  for (int32_t position = 0; position < 5; ++position) places.push_back({position, table});
  forward.layer(1, run.recorder.seen.at("layers.0.mlp_residual").values, places, kv.layer(1));
  for (const auto& [name, tap] : recorder.seen)
    EXPECT_EQ(tap.values, run.recorder.seen.at(name).values) << name;
}

TEST(Forward, ArithmeticsAreOneWithoutFp8Weights) {
  model::ModelShape shape = model::small_test_shape();
  shape.fp8_block_rows = shape.fp8_block_cols = 0;
  const model::TestCheckpoint checkpoint(shape);
  const ForwardRun bf16(checkpoint.view(), common::Arithmetic::kBf16);
  EXPECT_EQ(ForwardRun(checkpoint.view(), common::Arithmetic::kW8a16).logits, bf16.logits);
  EXPECT_EQ(ForwardRun(checkpoint.view(), common::Arithmetic::kW8a8).logits, bf16.logits);
}

TEST(Forward, ArithmeticsAreThreeWithFp8Weights) {
  const ForwardRun bf16(small_model(), common::Arithmetic::kBf16);
  const ForwardRun w8a16(small_model(), common::Arithmetic::kW8a16);
  const ForwardRun w8a8(small_model(), common::Arithmetic::kW8a8);
  EXPECT_NE(bf16.logits, w8a16.logits);
  EXPECT_NE(w8a16.logits, w8a8.logits);
}

// tests/golden/reference_taps.json holds what tools/reference.py, which shares no code with this program,
// finds at some places of every tap of the small checkpoint, seed 7. Written by tools/compare_taps.py
// --golden; bounds for every element, and larger models, are that script's work.
TEST(Forward, AgreesWithTheFloat64Reference) {
  std::ifstream file(MINIMAX_SOURCE_DIR "/tests/golden/reference_taps.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto golden = parse_json(text);
  ASSERT_TRUE(golden.ok()) << golden.failure().message;
  std::vector<executor::TokenId> ids;
  for (const Json& id : golden->find("ids")->as_array()) ids.push_back(static_cast<int32_t>(id.as_int64()));
  const model::TestCheckpoint checkpoint(model::small_test_shape(), 7);

  for (const auto& [arithmetic, taps] : golden->find("taps")->as_object()) {
    const ForwardRun run(checkpoint.view(), common::parse_arithmetic(arithmetic), ids);
    for (const auto& [name, values] : taps.as_object()) {
      SCOPED_TRACE(arithmetic + " " + name);
      ASSERT_TRUE(run.recorder.seen.contains(name));
      const std::vector<float>& own = run.recorder.seen.at(name).values;
      double squares = 0;
      for (const float value : own) squares += static_cast<double>(value) * value;
      const double rms = std::sqrt(squares / static_cast<double>(own.size()));
      for (size_t i = 0; i < values.as_array().size(); ++i) {
        const double want = values.as_array()[i].as_double();
        // Both round the same numbers to bf16, and may land on neighbours; what follows moves by such units.
        EXPECT_NEAR(own[i * 7919 % own.size()], want, 0x1p-7 * std::fabs(want) + 0x1p-6 * rms) << i;
      }
    }
  }
}

TEST(KvCache, CopiesABlockInEveryLayer) {
  const model::ModelShape& shape = small_model().shape;
  KvCache kv(shape, 2, 3);
  for (int32_t n = 0; n < shape.layers; ++n) {
    kv.layer(n).k[static_cast<size_t>(2 * shape.kv_width())] = static_cast<float>(n + 1);  // block 1
    kv.layer(n).v[static_cast<size_t>(2 * shape.kv_width())] = static_cast<float>(n + 11);
  }
  kv.copy_block(1, 2);
  for (int32_t n = 0; n < shape.layers; ++n) {
    EXPECT_EQ(kv.layer(n).k[static_cast<size_t>(4 * shape.kv_width())], static_cast<float>(n + 1));
    EXPECT_EQ(kv.layer(n).v[static_cast<size_t>(4 * shape.kv_width())], static_cast<float>(n + 11));
  }
}

TEST(KvCache, CopiesCodesAndScalesOfABlockInFp8) {
  const model::ModelShape& shape = small_model().shape;
  KvCache kv(shape, 2, 3, common::KvDtype::kFp8);
  const auto width = static_cast<size_t>(shape.kv_width());
  const std::vector<executor::BlockId> first = {1}, second = {2};
  std::vector<float> k(width), v(width);
  for (size_t i = 0; i < width; ++i) k[i] = static_cast<float>(i), v[i] = -static_cast<float>(i % 7);
  const std::vector<RowPlace> place = {{1, first}}, copied = {{1, second}};
  const std::vector<float> q(static_cast<size_t>(shape.q_width()), 0.5f);
  for (int32_t n = 0; n < shape.layers; ++n) write_kv(k, v, place, kv.layer(n));
  kv.copy_block(1, 2);
  for (int32_t n = 0; n < shape.layers; ++n) {
    const auto attend = [&](const std::vector<RowPlace>& at) {
      return attention(q, at, kv.layer(n), shape.q_heads, shape.kv_heads, shape.head_dim);
    };
    EXPECT_EQ(attend(copied), attend(place));
    EXPECT_THAT(attend(copied), testing::Contains(testing::Ne(0.0f)));
  }
}

TEST(KvCache, ABlockInFp8TakesAByteAValueAndAScaleAHead) {
  const model::ModelShape& shape = small_model().shape;
  EXPECT_EQ(KvCache::bytes_of_block(shape, 16, common::KvDtype::kFp8),
            int64_t{16} * shape.layers * 2 * (shape.kv_width() + 4 * shape.kv_heads));
}

}  // namespace
}  // namespace minimax::backend::ref
