#include "backend/common/fp8_kv.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/float_types.h"

namespace minimax::backend::common {
namespace {

using testing::Each;
using testing::ElementsAre;

struct Quantised {
  std::vector<float> values;  // of the codes
  float scale = 0;

  explicit Quantised(const std::vector<float>& x) {
    std::vector<uint16_t> bits;
    for (const float value : x) bits.push_back(float_to_bf16(value));
    std::vector<uint8_t> codes(x.size());
    scale = quantise_head(bits, codes.data());
    for (const uint8_t code : codes) values.push_back(e4m3_to_float(code));
  }
};

TEST(Fp8Kv, TheLargestValueOfAHeadIsTheLargestCode) {
  const Quantised head({7, -3.5, 0, 0.4375});
  EXPECT_EQ(head.scale, 7.0f / 448);
  EXPECT_THAT(head.values, ElementsAre(448, -224, 0, 28));
}

TEST(Fp8Kv, TiesGoToTheEvenCode) {
  // 19 lies between 18 and 20, 17 between 16 and 18: codes with an even mantissa are 16 and 20.
  EXPECT_THAT(Quantised({448, 19, 17, -19}).values, ElementsAre(448, 20, 16, -20));
}

TEST(Fp8Kv, AHeadOfZerosHasScaleOne) {
  const Quantised head({0, -0.0f, 0});
  EXPECT_EQ(head.scale, 1.0f);
  EXPECT_THAT(head.values, Each(0.0f));
}

// Half a step of three mantissa bits is 2^-4 of a value; below the smallest normal code half a step is 2^-10
// codes.
TEST(Fp8Kv, ErrorsAreHalfAStepOfAnE4m3) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal;
  for (const float deviation : {1e-30f, 1e-3f, 1.0f, 1e20f}) {
    std::vector<float> x(128);
    for (float& value : x) value = round_to_bf16(deviation * normal(random));
    const Quantised head(x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double value = x[i], back = static_cast<double>(head.values[i]) * head.scale;
      EXPECT_LE(std::fabs(back - value),
                std::max(0x1p-4 * std::fabs(value), 0x1p-10 * head.scale) * (1 + 1e-6))
          << i;
    }
  }
}

// bf16's own smallest value: amax / 448 is still no zero.
TEST(Fp8Kv, SubnormalHeadsKeepFiniteCodes) {
  const Quantised head({0x1p-133f, 0, -0x1p-133f});
  EXPECT_GT(head.scale, 0.0f);
  EXPECT_THAT(head.values, ElementsAre(448, 0, -448));
}

TEST(Fp8Kv, ANanKeepsItsPlaceAndMovesNoOther) {
  const Quantised head({7, std::numeric_limits<float>::quiet_NaN(), -3.5});
  EXPECT_EQ(head.scale, 7.0f / 448);
  EXPECT_EQ(head.values[0], 448);
  EXPECT_TRUE(std::isnan(head.values[1]));
  EXPECT_EQ(head.values[2], -224);
}

TEST(Fp8Kv, AnInfinityLeavesNothingFiniteOfItsHead) {
  const Quantised head({7, std::numeric_limits<float>::infinity()});
  EXPECT_TRUE(std::isinf(head.scale));
  for (const float value : head.values) EXPECT_FALSE(std::isfinite(value * head.scale));
}

}  // namespace
}  // namespace minimax::backend::common
