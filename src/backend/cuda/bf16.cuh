#pragma once
// bf16 and e4m3 as bits on the device.

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp8.h>

namespace minimax::backend::cuda {

__device__ inline float widen(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
__device__ inline float widen_low(uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float widen_high(uint32_t pair) {
  return __uint_as_float(pair & 0xFFFF0000u);
}
__device__ inline uint16_t narrow(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
__device__ inline uint32_t narrow_pair(float low, float high) {
  return static_cast<uint32_t>(narrow(low)) | static_cast<uint32_t>(narrow(high)) << 16;
}

// 2^n for integers n <= 0; 0 below the normal numbers, so that scaling by it is exact.
__device__ inline float pow2(float n) {
  return n < -126.0f ? 0.0f : __int_as_float((127 + static_cast<int>(n)) << 23);
}

// Two e4m3 codes to two bf16 values, exactly. `shifted` holds each code in the upper byte of a half: moved
// down by 4 bits its exponent and mantissa stand where bf16 has them, 2^120 too small (subnormals too).
__device__ inline uint32_t widen_e4m3(uint32_t shifted) {
  const uint32_t bits = (shifted & 0x80008000u) | ((shifted & 0x7F007F00u) >> 4);
  const uint32_t factor_bits = 0x7B807B80u;  // 2^120 twice
  __nv_bfloat162 value, factor;
  memcpy(&value, &bits, 4);
  memcpy(&factor, &factor_bits, 4);
  value = __hmul2(value, factor);
  uint32_t result;
  memcpy(&result, &value, 4);
  return result;
}

// Activations of w8a8: the scale of a group whose largest magnitude is `amax`, and a value of it as bf16.
__device__ inline float quantisation_scale(float amax) {
  return amax > 0 ? amax / 448.0f : 1.0f;
}
__device__ inline uint16_t quantised(float value, float scale) {
  const float scaled = value / scale;
  const uint32_t code = __nv_cvt_float_to_fp8(scaled, __NV_SATFINITE, __NV_E4M3);
  const auto widened = static_cast<uint16_t>(widen_e4m3(code << 8));
  return isnan(scaled) ? uint16_t{0x7FC0} : widened;  // a NaN must stay one
}

}  // namespace minimax::backend::cuda
