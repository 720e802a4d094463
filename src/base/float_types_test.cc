#include "base/float_types.h"

#include <gtest/gtest.h>

namespace minimax {
namespace {

TEST(FloatTypes, E4m3KnowsItsLandmarks) {
  EXPECT_EQ(e4m3_to_float(0x7E), 448.0f);
  EXPECT_EQ(e4m3_to_float(0x01), std::ldexp(1.0f, -9));
  EXPECT_EQ(e4m3_to_float(0x08), std::ldexp(1.0f, -6));
  EXPECT_TRUE(std::isnan(e4m3_to_float(0x7F)));
  EXPECT_TRUE(std::isnan(e4m3_to_float(0xFF)));
}

TEST(FloatTypes, EveryE4m3CodeSurvivesARoundTrip) {
  for (int code = 0; code < 256; ++code) {
    const float value = e4m3_to_float(static_cast<uint8_t>(code));
    EXPECT_EQ(float_to_e4m3(value), code);
  }
}

TEST(FloatTypes, E4m3RoundsToTheNearestCodeAndTiesToEven) {
  // Oracle: the nearest code by search, over values between all neighbours.
  for (int code = 0; code < 0x7E; ++code) {
    const float low = e4m3_to_float(static_cast<uint8_t>(code));
    const float high = e4m3_to_float(static_cast<uint8_t>(code + 1));
    const float middle = (low + high) / 2;
    EXPECT_EQ(float_to_e4m3(middle), code % 2 == 0 ? code : code + 1) << middle;
    EXPECT_EQ(float_to_e4m3(std::nextafter(middle, 0.0f)), code) << middle;
    EXPECT_EQ(float_to_e4m3(std::nextafter(middle, 1000.0f)), code + 1) << middle;
    EXPECT_EQ(float_to_e4m3(-std::nextafter(middle, 0.0f)), code | 0x80) << middle;
  }
  EXPECT_EQ(float_to_e4m3(1e9f), 0x7E);
  EXPECT_EQ(float_to_e4m3(-INFINITY), 0xFE);
  EXPECT_EQ(float_to_e4m3(463.9f), 0x7E);
}

TEST(FloatTypes, Bf16RoundsToNearestEven) {
  EXPECT_EQ(float_to_bf16(1.0f), 0x3F80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(NAN))));
}

TEST(FloatTypes, Fp16WidensExactly) {
  EXPECT_EQ(fp16_to_float(0x3C00), 1.0f);
  EXPECT_EQ(fp16_to_float(0x0001), std::ldexp(1.0f, -24));
  EXPECT_EQ(fp16_to_float(0x7BFF), 65504.0f);
  EXPECT_EQ(fp16_to_float(0xC000), -2.0f);
  EXPECT_TRUE(std::isinf(fp16_to_float(0x7C00)));
}

}  // namespace
}  // namespace minimax
