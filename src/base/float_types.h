#pragma once
// The small floating-point formats of checkpoints, as bits, and exact conversions to and from float.
// All narrowing rounds to nearest, ties to even.

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace minimax {

// bfloat16: the upper half of an IEEE single.
inline float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);  // keep NaN a NaN
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline float round_to_bf16(float value) {
  return bf16_to_float(float_to_bf16(value));
}

// IEEE half.
inline float fp16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 0x1Fu;
  const uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | mantissa << 13);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

// OCP FP8 E4M3 (the "fn" kind: no infinities, NaN is 0x7F and 0xFF, largest 448). "OCP 8-bit Floating Point
// Specification", revision 1.0, table 1.
constexpr float kE4m3Max = 448.0f;

constexpr float e4m3_to_float_slow(uint8_t bits) {
  const int exponent = bits >> 3 & 15;
  const int mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7)
    return std::bit_cast<float>((bits & 0x80) != 0 ? 0xFFC00000u : 0x7FC00000u);
  float magnitude = exponent == 0 ? static_cast<float>(mantissa) : static_cast<float>(8 + mantissa);
  int shift = (exponent == 0 ? 1 : exponent) - 10;  // bias 7, three mantissa bits
  for (; shift > 0; --shift) magnitude *= 2.0f;
  for (; shift < 0; ++shift) magnitude *= 0.5f;
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

inline constexpr std::array<float, 256> kE4m3Table = [] {
  std::array<float, 256> table{};
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = e4m3_to_float_slow(static_cast<uint8_t>(i));
  return table;
}();

inline float e4m3_to_float(uint8_t bits) {
  return kE4m3Table[bits];
}

// Values beyond the largest saturate to it, as quantisers of this family do; NaN stays NaN.
inline uint8_t float_to_e4m3(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint8_t>(sign | 0x7F);
  if (magnitude >= 0x43E80000u) return static_cast<uint8_t>(sign | 0x7E);  // >= 464 rounds to 448 or beyond
  if (magnitude < 0x3C800000u) {  // below 2^-6, the smallest normal: steps of 2^-9
    // Adding 2^14 (whose unit in the last place is 2^-9) rounds to a multiple of 2^-9, ties to even.
    const float rounded = std::bit_cast<float>(magnitude) + 16384.0f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(rounded) & 0x0Fu));
  }
  const uint32_t rounded = magnitude + 0x7FFFFu + (magnitude >> 20 & 1u);  // keep 3 of 23 mantissa bits
  return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

}  // namespace minimax
