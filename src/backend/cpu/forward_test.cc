// The forward against the oracle, layer by layer, each fed with the oracle's input; and op by op, the
// oracle's op applied to the CPU's own taps. tools/compare_taps.py does the same with bounds for every
// element against a float64 forward that shares no code.

#include "backend/cpu/forward.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/test_ops.h"
#include "backend/ref/forward.h"
#include "model/test_checkpoint.h"

namespace minimax::backend::cpu {
namespace {

using common::Arithmetic;
using executor::TokenId;
namespace taps = model::taps;

struct Recorder : model::TapSink {
  std::map<std::string, std::vector<float>> seen;
  std::vector<std::string> order;
  void tap(std::string_view name, int32_t layer, int64_t rows, int64_t width, const float* values) override {
    const std::string full = layer < 0 ? std::string(name) : fmt::format("layers.{}.{}", layer, name);
    if (order.empty() || order.back() != full) order.push_back(full);
    seen[full].insert(seen[full].end(), values, values + rows * width);
  }
};

constexpr int32_t kRows = 21;  // more than a block, and no multiple of anything

std::vector<TokenId> some_ids(int32_t vocab) {
  std::vector<TokenId> ids;
  for (int32_t i = 0; i < kRows; ++i) ids.push_back((i * i * 37 + 11 * i + 5) % vocab);
  return ids;
}

// Both forwards over one sequence, with the taps of each.
struct Pair {
  const model::ModelView& model;
  Arithmetic arithmetic;
  ThreadPool threads{2};
  Weights weights;
  KvPool kv;
  Forward forward;
  std::vector<TokenId> ids;
  std::vector<executor::BlockId> table = {5, 2};
  std::vector<executor::SequenceRows> sequences;

  Pair(const model::ModelView& view, Arithmetic how, Isa isa, common::KvDtype kv_dtype)
      : model(view),
        arithmetic(how),
        weights(view, how, threads),
        kv(view.shape, 16, 8, kv_dtype),
        forward({weights, kv, kernels_of(isa), threads}, kRows, 64),
        ids(some_ids(view.shape.vocab_rows)) {
    sequences.push_back({.slot = 0,
                         .row_begin = 0,
                         .row_count = kRows,
                         .first_position = 0,
                         .block_begin = 0,
                         .block_count = 2});
  }
  StepRows step() const { return {ids, sequences, table}; }

  Recorder reference() const {
    Recorder recorder;
    const ref::Forward oracle(model, arithmetic, &recorder);
    ref::KvCache cache(model.shape, kRows, 1, kv.dtype());
    const std::vector<executor::BlockId> one = {0};
    std::vector<ref::RowPlace> places;
    for (int32_t i = 0; i < kRows; ++i) places.push_back({i, one});
    oracle.head(oracle.run(ids, places, cache));
    return recorder;
  }

  // Layer n, fed with the oracle's hidden states.
  Recorder layer_fed_with(int32_t n, const std::vector<float>& input) {
    Recorder recorder;
    forward.prepare(step());
    for (int32_t row = 0; row < kRows; ++row)
      for (int32_t i = 0; i < model.shape.hidden; ++i)
        forward.hidden(row)[i] = float_to_bf16(input[static_cast<size_t>(row * model.shape.hidden + i)]);
    forward.set_taps(&recorder);
    forward.layer(n);
    forward.set_taps(nullptr);
    return recorder;
  }
};

double rms(const std::vector<float>& values) {
  double sum = 0;
  for (const float x : values) sum += static_cast<double>(x) * x;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> difference;
  for (size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  return rms(difference) / rms(b);
}

// Both round the same real number, known to them within `slack` of each other, to bf16: they get it to the
// nearest value or a neighbour.
void expect_rounded_alike(const std::vector<float>& own, const std::vector<float>& oracle, double slack,
                          const std::string& what) {
  ASSERT_EQ(own.size(), oracle.size()) << what;
  for (size_t i = 0; i < own.size(); ++i) {
    const double largest = std::max(std::fabs(own[i]), std::fabs(oracle[i]));
    const double step = std::ldexp(1.0, std::ilogb(std::max(largest, 1e-30)) - 7);
    ASSERT_LE(std::fabs(static_cast<double>(own[i]) - oracle[i]), step + slack) << what << " element " << i;
  }
}

struct Case {
  std::string name;
  const model::ModelView* model;
  Arithmetic arithmetic;
  Isa isa;
  common::KvDtype kv_dtype = common::KvDtype::kBf16;
};

std::vector<Case> cases() {
  static const model::TestCheckpoint fp8(model::small_test_shape());
  static const model::TestCheckpoint bf16([] {
    model::ModelShape shape = model::small_test_shape();
    shape.fp8_block_rows = shape.fp8_block_cols = 0;
    return shape;
  }());
  static const model::TestCheckpoint odd([] {  // ragged fp8 blocks, narrow heads, three query heads a KV head
    model::ModelShape shape = model::small_test_shape();
    shape.hidden = 200;
    shape.q_heads = 6;
    shape.kv_heads = 2;
    shape.head_dim = 48;
    shape.rotary_dim = 24;
    shape.experts = 5;
    shape.experts_per_token = 3;
    shape.expert_width = 72;
    shape.vocab_rows = 301;
    return shape;
  }());
  std::vector<Case> all;
  for (const Isa isa : available_isas()) {
    for (const Arithmetic how : {Arithmetic::kBf16, Arithmetic::kW8a16, Arithmetic::kW8a8}) {
      const std::string tail = fmt::format(" {} {}", name_of(isa), common::name_of(how));
      all.push_back({"fp8" + tail, &fp8.view(), how, isa});
      all.push_back({"odd" + tail, &odd.view(), how, isa});
    }
    const std::string tail = fmt::format(" {} w8a16, KV in fp8", name_of(isa));
    all.push_back({"fp8" + tail, &fp8.view(), Arithmetic::kW8a16, isa, common::KvDtype::kFp8});
    all.push_back({"odd" + tail, &odd.view(), Arithmetic::kW8a16, isa, common::KvDtype::kFp8});
    all.push_back({fmt::format("bf16 {}", name_of(isa)), &bf16.view(), Arithmetic::kBf16, isa});
  }
  return all;
}

// Each op on the CPU's own inputs. Where the bf16 result differs at all, it is by one step: what remains of
// the difference is what f32 sums lose, which is small against a step but for cancelling sums; `slack` is
// 2^-16 of the tap's root mean square, which covers sums of a few hundred terms (docs/numerics.md).
TEST(CpuForward, EveryOpRoundsWhatTheOracleRounds) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Pair pair(*c.model, c.arithmetic, c.isa, c.kv_dtype);
    const model::ModelShape& shape = c.model->shape;
    const Recorder reference = pair.reference();
    for (int32_t n = 0; n < shape.layers; ++n) {
      const std::string previous = n == 0 ? "embed" : fmt::format("layers.{}.mlp_residual", n - 1);
      const std::vector<float>& h = reference.seen.at(previous);
      const Recorder own = pair.layer_fed_with(n, h);
      const auto at = [&](std::string_view name) -> const std::vector<float>& {
        return own.seen.at(fmt::format("layers.{}.{}", n, name));
      };
      const auto expect = [&](std::string_view name, const std::vector<float>& oracle) {
        expect_rounded_alike(at(name), oracle, 0x1p-16 * rms(oracle), fmt::format("layer {} {}", n, name));
      };
      const auto expect_near = [&](std::string_view name, const std::vector<float>& oracle, double slack) {
        expect_rounded_alike(at(name), oracle, slack * rms(oracle), fmt::format("layer {} {}", n, name));
      };
      const model::LayerView& view = c.model->layers[static_cast<size_t>(n)];
      const ref::LinearFormat format{c.arithmetic, std::max(shape.fp8_block_rows, 1),
                                     std::max(shape.fp8_block_cols, 1)};
      expect(taps::kAttnNorm, ref::rms_norm(h, view.attn_norm, shape.rms_eps));
      expect(taps::kQProj, ref::linear(at(taps::kAttnNorm), view.q, format));
      expect(taps::kKProj, ref::linear(at(taps::kAttnNorm), view.k, format));
      expect(taps::kVProj, ref::linear(at(taps::kAttnNorm), view.v, format));
      expect(taps::kQNorm, ref::rms_norm(at(taps::kQProj), view.q_norm, shape.rms_eps));
      expect(taps::kKNorm, ref::rms_norm(at(taps::kKProj), view.k_norm, shape.rms_eps));
      std::vector<int32_t> positions;
      std::vector<ref::RowPlace> places;
      const std::vector<executor::BlockId> one = {0};
      for (int32_t i = 0; i < kRows; ++i) {
        positions.push_back(i);
        places.push_back({i, one});
      }
      const auto rope = [&](const std::vector<float>& x) {
        return ref::rope(x, positions, shape.head_dim, shape.rotary_dim, shape.rope_theta);
      };
      expect(taps::kQRope, rope(at(taps::kQNorm)));
      expect(taps::kKRope, rope(at(taps::kKNorm)));
      ref::KvCache cache(shape, kRows, 1, c.kv_dtype);
      ref::write_kv(at(taps::kKRope), at(taps::kVProj), places, cache.layer(n));
      expect(taps::kAttn, ref::attention(at(taps::kQRope), places, cache.layer(n), shape.q_heads,
                                         shape.kv_heads, shape.head_dim));
      expect(taps::kOProj, ref::linear(at(taps::kAttn), view.o, format));
      expect(taps::kAttnResidual, ref::add(h, at(taps::kOProj)));
      expect(taps::kMlpNorm, ref::rms_norm(at(taps::kAttnResidual), view.mlp_norm, shape.rms_eps));
      const std::vector<float> logits =
          ref::linear_f32(at(taps::kMlpNorm), {view.router, false, {}}, {Arithmetic::kW8a16, 128, 128});
      for (size_t i = 0; i < logits.size(); ++i)
        ASSERT_NEAR(at(taps::kRouterLogits)[i], logits[i], 0x1p-18 * rms(logits)) << i;
      // Routing is exact: the same float formulas on the same logits.
      const ref::Routing routing =
          ref::route(at(taps::kRouterLogits), view.router_bias, shape.experts, shape.experts_per_token);
      EXPECT_EQ(at(taps::kRouterScores), routing.scores);
      EXPECT_EQ(at(taps::kExpertIds), std::vector<float>(routing.ids.begin(), routing.ids.end()));
      EXPECT_EQ(at(taps::kExpertWeights), routing.weights);
      std::vector<float> inners, outputs;
      for (size_t part = 0; part < routing.ids.size(); ++part) {
        const model::ExpertView& expert = view.experts[static_cast<size_t>(routing.ids[part])];
        const auto slots = static_cast<size_t>(shape.experts_per_token);
        const auto x =
            std::span(at(taps::kMlpNorm))
                .subspan(part / slots * static_cast<size_t>(shape.hidden), static_cast<size_t>(shape.hidden));
        const auto inner =
            ref::swiglu(ref::linear(x, expert.gate, format), ref::linear(x, expert.up, format));
        inners.insert(inners.end(), inner.begin(), inner.end());
        const auto width = static_cast<size_t>(shape.expert_width);
        const auto output =
            ref::linear(std::span(at(taps::kExpertInner)).subspan(part * width, width), expert.down, format);
        outputs.insert(outputs.end(), output.begin(), output.end());
      }
      // Two roundings before the last: each may fall the other way by a step of its own.
      expect_near(taps::kExpertInner, inners, 0x1p-7);
      expect_near(taps::kMoe, ref::combine(outputs, routing.weights, kRows, shape.experts_per_token), 0x1p-7);
      expect(taps::kMlpResidual, ref::add(at(taps::kAttnResidual), at(taps::kMoe)));
    }
  }
}

// The experts have no taps inside, so the whole block is measured: gate, up, inner and output are each
// rounded to bf16 (2^-9 of the value at most, an error of about 2^-9.8 root mean square), and each of these
// roundings can fall the other way for some elements, in w8a8 the quantisation too.
TEST(CpuForward, LayersStayNearTheOracles) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Pair pair(*c.model, c.arithmetic, c.isa, c.kv_dtype);
    const Recorder reference = pair.reference();
    for (int32_t n = 0; n < c.model->shape.layers; ++n) {
      const std::string previous = n == 0 ? "embed" : fmt::format("layers.{}.mlp_residual", n - 1);
      const Recorder own = pair.layer_fed_with(n, reference.seen.at(previous));
      const double limit = c.arithmetic == Arithmetic::kW8a8 ? 0x1p-7 : 0x1p-9;
      for (const auto& [name, values] : own.seen) {
        if (name.find("expert_ids") != std::string::npos) continue;
        EXPECT_LT(distance(values, reference.seen.at(name)), limit) << name;
      }
    }
  }
}

TEST(CpuForward, ShowsTheTapsOfTheOracleInItsOrder) {
  const Case c = cases().back();
  Pair pair(*c.model, c.arithmetic, c.isa, c.kv_dtype);
  const Recorder reference = pair.reference();
  Recorder own;
  pair.forward.set_taps(&own);
  pair.forward.run(pair.step());
  std::vector<int32_t> rows;
  for (int32_t i = 0; i < kRows; ++i) rows.push_back(i);
  std::vector<float> logits(static_cast<size_t>(kRows * c.model->shape.vocab_rows));
  pair.forward.logits(rows, c.model->shape.vocab_rows, logits.data(), c.model->shape.vocab_rows);
  EXPECT_EQ(own.order, reference.order);
  for (const auto& [name, values] : own.seen)
    EXPECT_EQ(values.size(), reference.seen.at(name).size()) << name;
  EXPECT_LT(distance(own.seen.at("logits"), reference.seen.at("logits")), 0x1p-6);
}

}  // namespace
}  // namespace minimax::backend::cpu
