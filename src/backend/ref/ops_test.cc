#include "backend/ref/ops.h"

#include <cmath>
#include <cstring>
#include <deque>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/float_types.h"

namespace minimax::backend::ref {
namespace {

using model::DType;
using model::LinearView;
using model::TensorView;
using testing::ElementsAre;
using testing::ElementsAreArray;

// Tensors in memory. A deque, so that growing does not move them.
class Tensors {
 public:
  TensorView f32(std::vector<int64_t> shape, const std::vector<float>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return keep(DType::kF32, std::move(shape), std::move(bytes));
  }
  TensorView e4m3(std::vector<int64_t> shape, const std::vector<float>& values) {
    std::vector<std::byte> bytes;
    for (const float value : values) {
      bytes.push_back(static_cast<std::byte>(float_to_e4m3(value)));
      CHECK_EQ(e4m3_to_float(static_cast<uint8_t>(bytes.back())), value);
    }
    return keep(DType::kE4m3, std::move(shape), std::move(bytes));
  }

 private:
  TensorView keep(DType dtype, std::vector<int64_t> shape, std::vector<std::byte> bytes) {
    storage_.push_back(std::move(bytes));
    TensorView view;
    view.name = "in memory";
    view.dtype = dtype;
    view.shape = std::move(shape);
    view.data = storage_.back().data();
    view.bytes = storage_.back().size();
    return view;
  }
  std::deque<std::vector<std::byte>> storage_;
};

using F = std::vector<float>;

TEST(Ops, EmbedTakesTheRowsOfItsIds) {
  Tensors tensors;
  const TensorView table = tensors.f32({3, 2}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(embed(table, std::vector<int32_t>{2, 0, 2}), ElementsAre(5, 6, 1, 2, 5, 6));
}

TEST(Ops, RmsNormDividesByTheRootMeanSquareAndScales) {
  Tensors tensors;
  // mean square 12.5; a second row shows that rows are independent.
  const F y = rms_norm(F{3, 4, 1, 1}, tensors.f32({2}, {1, 2}), 0.0);
  const double root = std::sqrt(12.5);
  EXPECT_THAT(y, ElementsAre(round_to_bf16(static_cast<float>(3 / root)),
                             round_to_bf16(static_cast<float>(8 / root)), 1, 2));
  // eps is added to the mean square.
  EXPECT_THAT(rms_norm(F{0, 0, 1, 1}, tensors.f32({2}, {1, 1}), 3.0), ElementsAre(0, 0, 0.5, 0.5));
}

TEST(Ops, LinearMultipliesByTheTransposedWeight) {
  Tensors tensors;
  const LinearView w{tensors.f32({2, 3}, {1, 2, 3, -1, 0, 1}), false, {}};
  EXPECT_THAT(linear(F{1, 10, 100, 2, 0, 1}, w, {}), ElementsAre(round_to_bf16(321), 99, 5, -1));
  EXPECT_THAT(linear_f32(F{1, 10, 100}, w, {}), ElementsAre(321, 99));
}

TEST(Ops, QuantisedLinearScalesEachBlockWithRaggedEdges) {
  Tensors tensors;
  // 3 x 3 in blocks of 2 x 2: scales [[0.5, 4], [2, 8]].
  const LinearView w{tensors.e4m3({3, 3}, {1, 2, 0.5, -1, 1, 1, 1, 1, 1}), true,
                     tensors.f32({2, 2}, {0.5, 4, 2, 8})};
  for (const Arithmetic arithmetic : {Arithmetic::kBf16, Arithmetic::kW8a16, Arithmetic::kW8a8})
    EXPECT_THAT(linear(F{2, 4, 8}, w, {arithmetic, 2, 2}), ElementsAre(1 + 4 + 16, -1 + 2 + 32, 4 + 8 + 64));
}

TEST(Ops, ArithmeticsDifferInWhatTheyRound) {
  Tensors tensors;
  const float scale = 1.0f + 0x1p-9f;  // not a bf16
  const LinearView w{tensors.e4m3({1, 2}, {1, 1}), true, tensors.f32({1, 1}, {scale})};
  // 448 sets the quantising scale to 1; 19 lies between the e4m3 values 18 and 20 and goes to the even one.
  const F x = {448, 19};
  EXPECT_THAT(linear_f32(x, w, {Arithmetic::kBf16, 2, 2}), ElementsAre(467));
  EXPECT_THAT(linear_f32(x, w, {Arithmetic::kW8a16, 2, 2}), ElementsAre(467 * scale));
  EXPECT_THAT(linear_f32(x, w, {Arithmetic::kW8a8, 2, 2}), ElementsAre(468 * scale));
}

TEST(Ops, QuantisingIsPerGroupOfColumns) {
  const QuantisedRow row = quantise_e4m3(F{224, -448, 0, 0, 7}, 2);
  EXPECT_THAT(row.values, ElementsAre(224, -448, 0, 0, 448));
  EXPECT_THAT(row.scales, ElementsAre(1, 1, 7.0f / 448));
}

TEST(Ops, RopeTurnsPairsHalfARotaryWidthApartAndPassesTheRest) {
  // One row at position 3; two heads of 6, 4 of them rotated: pairs (0, 2) by 3 and (1, 3) by 3 / 10.
  const F x = {1, 2, 0, 0, 5, 6, 0, 0, 1, 2, 7, 8};
  const F y = rope(x, std::vector<int32_t>{3}, 6, 4, 100.0);
  const auto bf = [](double value) { return round_to_bf16(static_cast<float>(value)); };
  EXPECT_THAT(y, ElementsAre(bf(std::cos(3.0)), bf(2 * std::cos(0.3)), bf(std::sin(3.0)),
                             bf(2 * std::sin(0.3)), 5, 6, bf(-std::sin(3.0)), bf(-2 * std::sin(0.3)),
                             bf(std::cos(3.0)), bf(2 * std::cos(0.3)), 7, 8));
  EXPECT_THAT(rope(x, std::vector<int32_t>{0}, 6, 4, 100.0), ElementsAreArray(x));
}

// Two query heads on one KV head of width 2, three positions in blocks of two.
struct SmallAttention {
  F k_bytes = F(12, 0.0f), v_bytes = F(12, 0.0f);
  PagedKv kv{k_bytes, v_bytes, 2};

  F run(const std::vector<executor::BlockId>& table) {
    std::vector<RowPlace> places;
    for (int32_t position = 0; position < 3; ++position) places.push_back({position, table});
    write_kv(F{1, 0, 0, 1, 0, 0}, F{2, 4, 6, 8, 10, 12}, places, kv);
    return attention(F{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0}, places, kv, 2, 1, 2);
  }
};

TEST(Ops, AttentionIsCausalAndSharesKvHeadsAmongQueryHeads) {
  const F y = SmallAttention().run({0, 1});
  // A zero query weighs all positions up to its own equally.
  EXPECT_THAT(std::vector(y.begin(), y.begin() + 10), ElementsAre(2, 4, 2, 4, 4, 6, 4, 6, 6, 8));
  // The second head of the last row looks at position 0: weights e^(9 / sqrt 2), 1, 1.
  const double w = std::exp(9 / std::sqrt(2.0));
  EXPECT_EQ(y[10], round_to_bf16(static_cast<float>((2 * w + 6 + 10) / (w + 2))));
  EXPECT_EQ(y[11], round_to_bf16(static_cast<float>((4 * w + 8 + 12) / (w + 2))));
}

TEST(Ops, AttentionDoesNotSeeWhereBlocksLie) {
  EXPECT_EQ(SmallAttention().run({0, 1}), SmallAttention().run({2, 0}));
}

// docs/numerics.md, "The KV cache in fp8": scales multiply the score of the codes, and the share of a key.
TEST(Ops, AttentionInFp8ReadsTheCodesAndScalesOfTheCache) {
  // Two KV heads of width 2, one query head each; three positions in blocks of two.
  std::vector<uint8_t> k_codes(16), v_codes(16);
  F k_scales(8), v_scales(8);
  const PagedKv kv{{}, {}, 2, {k_codes, k_scales}, {v_codes, v_scales}};
  const std::vector<executor::BlockId> table = {1, 0};
  std::vector<RowPlace> places;
  for (int32_t position = 0; position < 3; ++position) places.push_back({position, table});
  const F k = {1, 0.3, 0, 0, 2, 5, -4, 1, 0.01, 3, 8, 7}, v = {2, 3, -1, 0.7, 6, 8, 0, 0, 10, 12, 5, 0.1};
  write_kv(k, v, places, kv);
  // Position 0 lies in block 1: places 2, 1 of block 1 and 0 of block 0 are those of the positions.
  EXPECT_THAT(k_scales, ElementsAre(3.0f / 448, 8.0f / 448, 0, 0, 1.0f / 448, 1, 5.0f / 448, 4.0f / 448));
  EXPECT_EQ(e4m3_to_float(k_codes[8]), 448);
  EXPECT_EQ(e4m3_to_float(k_codes[9]), 128) << "0.3 * 448 = 134.4, between 128 and 144";

  const F q = {0.5, 1, 1, -1};  // of the last row; the rows before it do not count here
  F all(12, 0.0f);
  std::copy(q.begin(), q.end(), all.begin() + 8);
  const F y = attention(all, places, kv, 2, 2, 2);
  for (size_t head = 0; head < 2; ++head) {
    double total = 0, sums[2] = {};
    for (size_t p = 0; p < 3; ++p) {
      const auto stored_k = quantise_e4m3(std::span(k).subspan(p * 4 + head * 2, 2), 2);
      const auto stored_v = quantise_e4m3(std::span(v).subspan(p * 4 + head * 2, 2), 2);
      const double dot = static_cast<double>(q[head * 2]) * stored_k.values[0] +
                         static_cast<double>(q[head * 2 + 1]) * stored_k.values[1];
      const double share = std::exp(dot * stored_k.scales[0] / std::sqrt(2.0));
      total += share;
      for (size_t i = 0; i < 2; ++i) sums[i] += share * stored_v.scales[0] * stored_v.values[i];
    }
    for (size_t i = 0; i < 2; ++i)
      EXPECT_EQ(y[8 + head * 2 + i], round_to_bf16(static_cast<float>(sums[i] / total))) << head << " " << i;
  }
}

TEST(Ops, RouterBiasChoosesButDoesNotWeigh) {
  Tensors tensors;
  const F logits = {0, 1, 2, 3};
  const Routing plain = route(logits, {}, 4, 2);
  EXPECT_THAT(plain.ids, ElementsAre(3, 2));
  const Routing shifted = route(logits, tensors.f32({4}, {1, 0, 0, 0}), 4, 2);
  EXPECT_THAT(shifted.ids, ElementsAre(0, 3));
  const double s0 = 0.5, s3 = 1 / (1 + std::exp(-3.0));
  EXPECT_FLOAT_EQ(shifted.scores[3], static_cast<float>(s3));
  EXPECT_FLOAT_EQ(shifted.weights[0], static_cast<float>(s0 / (s0 + s3)));
  EXPECT_FLOAT_EQ(shifted.weights[1], static_cast<float>(s3 / (s0 + s3)));
}

TEST(Ops, RouterTiesGoToTheLowerId) {
  EXPECT_THAT(route(F{1, 2, 2, 1, 2}, {}, 5, 4).ids, ElementsAre(1, 2, 4, 0));
}

TEST(Ops, SwigluGatesTheOtherBranch) {
  const double silu = 2 / (1 + std::exp(-2.0));
  EXPECT_THAT(swiglu(F{2, 0, -200}, F{3, 5, 7}),
              ElementsAre(round_to_bf16(static_cast<float>(silu * 3)), 0, round_to_bf16(0.0f)));
}

TEST(Ops, CombineWeighsTheSlotsOfEachRow) {
  EXPECT_THAT(combine(F{1, 2, 10, 20, 3, 4, 30, 40}, F{0.5, 0.25, 1, 2}, 2, 2), ElementsAre(3, 6, 63, 84));
  EXPECT_THAT(add(F{1, 256}, F{2, 1}), ElementsAre(3, 256));  // 257 is no bf16: nearest even
}

}  // namespace
}  // namespace minimax::backend::ref
