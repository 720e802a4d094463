#pragma once
// bf16, f16 and e4m3 as bits on the device.

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "backend/cuda/kernels.h"

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

// Four e4m3 codes to four f16 values, exactly: `low` the first two.
__device__ inline void widen_e4m3(uint32_t codes, uint32_t& low, uint32_t& high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  asm("{\n.reg .b16 first, second;\nmov.b32 {first, second}, %2;\n"
      "cvt.rn.f16x2.e4m3x2 %0, first;\ncvt.rn.f16x2.e4m3x2 %1, second;\n}\n"
      : "=r"(low), "=r"(high)
      : "r"(codes));
#else
  // Exponent and mantissa moved to where f16 has them, 2^8 too small (subnormals too).
  const auto scaled = [](uint32_t shifted) {
    const uint32_t bits = (shifted & 0x80008000u) | ((shifted & 0x7F007F00u) >> 1);
    __half2_raw raw{static_cast<unsigned short>(bits), static_cast<unsigned short>(bits >> 16)};
    const __half2_raw factor{0x5C00, 0x5C00};  // 2^8 twice
    const __half2 product = __hmul2(__half2(raw), __half2(factor));
    uint32_t result;
    memcpy(&result, &product, 4);
    return result;
  };
  low = scaled(__byte_perm(codes, 0, 0x1404));
  high = scaled(__byte_perm(codes, 0, 0x3424));
#endif
}

// Activations of w8a8: the scale of a group whose largest magnitude is `amax`, and the e4m3 code of a value
// of it. A NaN stays one.
__device__ inline float quantisation_scale(float amax) {
  return amax > 0 ? amax / 448.0f : 1.0f;
}
__device__ inline uint8_t quantised(float value, float scale) {
  return __nv_cvt_float_to_fp8(value / scale, __NV_SATFINITE, __NV_E4M3);
}
__device__ inline uint32_t quantised_quad(const float (&values)[4], float scale) {
  uint32_t codes = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) codes |= static_cast<uint32_t>(quantised(values[i], scale)) << 8 * i;
  return codes;
}

// Where the first word of four neighbouring f16 values lies in rows of GridOrder::kFragments, in words: lane
// t of a quad owns the 16 values from t * 16 on of 64, and step s of 4 reads its values 4 s to 4 s + 3 as two
// words, four words apart. `quad`: the place of the values, over 4.
__device__ inline int64_t fragment_word(int64_t quad) {
  return quad / 16 * 32 + quad % 4 * 8 + quad % 16 / 4;
}
// One quantised value of a row, at `index`.
__device__ inline void store_quantised_one(uint8_t* grid, GridOrder order, int64_t index, uint8_t code) {
  if (order == GridOrder::kCodes) {
    grid[index] = code;
    return;
  }
  const int64_t word = fragment_word(index / 4) + index % 4 / 2 * 4;
  reinterpret_cast<__half_raw*>(grid)[word * 2 + index % 2] = __nv_cvt_fp8_to_halfraw(code, __NV_E4M3);
}
// Four quantised values of a row.
__device__ inline void store_quantised(uint8_t* grid, GridOrder order, int64_t quad, uint32_t codes) {
  auto* const words = reinterpret_cast<uint32_t*>(grid);
  if (order == GridOrder::kCodes) {
    words[quad] = codes;
    return;
  }
  const int64_t at = fragment_word(quad);
  widen_e4m3(codes, words[at], words[at + 4]);
}

}  // namespace minimax::backend::cuda
