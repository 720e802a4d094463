#pragma once
// exp and log whose bits are the same on every back-end. The C library's and the GPU's differ in the last
// place, and a sampler that compares their results would draw other tokens on other machines.
//
// Built from IEEE single +, -, *, / and conversions only, each rounded to nearest even, and no fused
// multiply-add: compile with -ffp-contract=off (every room does); a GPU uses the __f*_rn intrinsics, a vector
// unit its plain mul and add. The order of operations below is the definition.
//
// Accuracy: within 2 units in the last place (exact_math_test.cc, on a dense sample of each domain).

#include <bit>
#include <cstdint>

namespace minimax {

// e^x for x <= 0; 0 below -87 (where the result would leave the normal range).
// x = n ln 2 + r, |r| <= ln 2 / 2, and the Taylor series of e^r to r^7: what is cut off is below 2^-27.
constexpr float exact_exp(float x) {
  if (x < -87.0f) return 0.0f;
  constexpr float kRoundingMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float n = (x * 0x1.715476p+0f + kRoundingMagic) - kRoundingMagic;
  // ln 2 = 355/512 + low: n * 355/512 is exact for |n| < 2^15.
  float r = x - n * 0.693359375f;
  r = r - n * -0x1.bd0106p-13f;
  float sum = 0x1.a01a02p-13f;      // 1/7!
  sum = sum * r + 0x1.6c16c2p-10f;  // 1/6!
  sum = sum * r + 0x1.111112p-7f;   // 1/5!
  sum = sum * r + 0x1.555556p-5f;   // 1/4!
  sum = sum * r + 0x1.555556p-3f;   // 1/3!
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  const auto exponent = static_cast<uint32_t>(static_cast<int32_t>(n) + 127);
  return sum * std::bit_cast<float>(exponent << 23);
}

// exponent * ln 2 + log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1].
// log(1 + f) = 2 atanh(s) with s = f / (2 + f), |s| < 0.172: 2 s (1 + z/3 + z^2/5 + z^3/7 + z^4/9), z = s^2.
constexpr float exact_log_reduced(float f, float exponent) {
  const float s = f / (2.0f + f);
  const float z = s * s;
  float sum = 0x1.c71c72p-4f;      // 1/9
  sum = sum * z + 0x1.24924ap-3f;  // 1/7
  sum = sum * z + 0x1.99999ap-3f;  // 1/5
  sum = sum * z + 0x1.555556p-2f;  // 1/3
  const float s2 = s + s;
  const float low = s2 * (z * sum) + exponent * -0x1.bd0106p-13f;
  return exponent * 0.693359375f + (s2 + low);
}

// log(x) for x > 0, normal and finite.
constexpr float exact_log(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const int32_t exponent = static_cast<int32_t>(bits - 0x3F3504F3u) >> 23;  // of x / sqrt(1/2)
  const float mantissa = std::bit_cast<float>(bits - (static_cast<uint32_t>(exponent) << 23));
  return exact_log_reduced(mantissa - 1.0f, static_cast<float>(exponent));
}

// log(1 - x) for x in (0, 1/2], to the same relative accuracy however small x is. Both reductions are exact.
constexpr float exact_log_1m(float x) {
  if (x < 0.29f) return exact_log_reduced(-x, 0.0f);
  return exact_log_reduced(1.0f - (x + x), -1.0f);
}

}  // namespace minimax
