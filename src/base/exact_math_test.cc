#include "base/exact_math.h"

#include <bit>
#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

#include "base/gumbel.h"

namespace minimax {
namespace {

// |value - exact| in units in the last place of the float nearest to exact.
double ulps(float value, double exact) {
  const float nearest = static_cast<float>(exact);
  const float next = std::nextafter(std::fabs(nearest), INFINITY);
  return std::fabs(value - exact) / (static_cast<double>(next) - std::fabs(nearest));
}

TEST(ExactMath, ExpStaysWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  for (uint32_t bits = std::bit_cast<uint32_t>(1e-9f); bits < std::bit_cast<uint32_t>(87.0f); bits += 997) {
    const float x = -std::bit_cast<float>(bits);
    worst = std::max(worst, ulps(exact_exp(x), std::exp(static_cast<double>(x))));
  }
  EXPECT_LT(worst, 2.0);
  EXPECT_EQ(exact_exp(0.0f), 1.0f);
  EXPECT_EQ(exact_exp(-1e30f), 0.0f);
  EXPECT_EQ(exact_exp(-INFINITY), 0.0f);
}

TEST(ExactMath, LogStaysWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  for (uint32_t bits = 0x00800000; bits < 0x7F800000; bits += 3989) {
    const float x = std::bit_cast<float>(bits);
    if (x != 1.0f) worst = std::max(worst, ulps(exact_log(x), std::log(static_cast<double>(x))));
  }
  EXPECT_LT(worst, 2.0);
  EXPECT_EQ(exact_log(1.0f), 0.0f);
}

TEST(ExactMath, LogOfOneMinusKeepsItsRelativeAccuracyNearZero) {
  double worst = 0;
  for (uint32_t bits = std::bit_cast<uint32_t>(0x1p-33f); bits <= std::bit_cast<uint32_t>(0.5f);
       bits += 499) {
    const float x = std::bit_cast<float>(bits);
    worst = std::max(worst, ulps(exact_log_1m(x), std::log1p(-static_cast<double>(x))));
  }
  EXPECT_LT(worst, 2.0);
}

// Known answers, those of the same operations in NumPy float32: a compiler that fuses or reorders would
// change them, and every back-end must give them.
TEST(ExactMath, BitsAreTheOnesOfTheDefinition) {
  EXPECT_EQ(std::bit_cast<uint32_t>(exact_exp(-0.1f)), 0x3F67A36Du);
  uint32_t digest = 0;
  for (uint32_t word = 0; word < 0xFFFF0000; word += 65521)
    digest = digest * 31 + std::bit_cast<uint32_t>(gumbel_from_word(word));
  for (int i = 0; i < 20000; ++i)
    digest = digest * 31 + std::bit_cast<uint32_t>(exact_exp(-0.004f * static_cast<float>(i)));
  EXPECT_EQ(digest, 1253531643u);
}

TEST(Gumbel, EndsOfTheRangeAreFinite) {
  EXPECT_NEAR(gumbel_from_word(0), 33 * std::log(2.0), 1e-5);
  EXPECT_NEAR(gumbel_from_word(0xFFFFFFFF), -std::log(33 * std::log(2.0)), 1e-6);
  EXPECT_NEAR(gumbel_from_word(0x7FFFFFFF), -std::log(std::log(2.0)), 1e-6);
  EXPECT_NEAR(gumbel_from_word(0x80000000), -std::log(std::log(2.0)), 1e-6);
}

TEST(Gumbel, FallsAsTheWordRises) {
  float last = INFINITY;
  for (uint64_t word = 0; word < 0x100000000; word += 0xFFFFF) {
    const float noise = gumbel_from_word(static_cast<uint32_t>(word));
    EXPECT_LE(noise, last) << word;
    last = noise;
  }
}

// Mean and variance of the Gumbel distribution: 0.57721..., pi^2 / 6.
TEST(Gumbel, HasTheMomentsOfItsDistribution) {
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0;
  for (int id = 0; id < kDraws; ++id) {
    const double noise = gumbel_noise(12345, 0, 7, id);
    sum += noise;
    squares += noise * noise;
  }
  const double mean = sum / kDraws;
  const double variance = squares / kDraws - mean * mean;
  // Five standard errors: 1.28 / sqrt(n), and variance * sqrt((kurtosis 5.4 - 1) / n).
  EXPECT_NEAR(mean, 0.5772156649, 5 * 1.2825 / std::sqrt(kDraws));
  EXPECT_NEAR(variance, M_PI * M_PI / 6, 5 * 1.645 * std::sqrt(4.4 / kDraws));
}

TEST(Gumbel, EveryPartOfTheCounterMatters) {
  const float noise = gumbel_noise(1, 2, 3, 4);
  EXPECT_EQ(noise, gumbel_noise(1, 2, 3, 4));
  EXPECT_NE(noise, gumbel_noise(9, 2, 3, 4));
  EXPECT_NE(noise, gumbel_noise(uint64_t{1} << 32 | 1, 2, 3, 4));
  EXPECT_NE(noise, gumbel_noise(1, 9, 3, 4));
  EXPECT_NE(noise, gumbel_noise(1, 2, 9, 4));
  EXPECT_NE(noise, gumbel_noise(1, 2, 3, 5));
  EXPECT_NE(noise, gumbel_noise(1, 2, 3, 8));
}

}  // namespace
}  // namespace minimax
