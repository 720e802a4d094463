#pragma once
// What kernels over whole rows share: sums over a CTA, the quantisation of a group, and the residual stream
// with norm and quantisation. A CTA of kRowThreads a row.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"

namespace minimax::backend::cuda {

constexpr int kRowThreads = 256;

// The largest magnitude of a group of 128 columns from `begin` on, and a lane's 4 values of it; columns
// outside [0, width) count as zeros.
template <typename Values>
__device__ inline float group_amax(Values values_at, int begin, int width, float (&values)[4]) {
  float largest = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = begin + i * 32 + static_cast<int>(threadIdx.x % 32);
    values[i] = column >= 0 && column < width ? widen(values_at(column)) : 0.0f;
    largest = fmaxf(largest, fabsf(values[i]));
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
  return largest;
}
__device__ inline void store_group(const float (&values)[4], float amax, int begin, int width, uint16_t* out,
                                   float* scale_out) {
  const int lane = threadIdx.x % 32;
  const float scale = quantisation_scale(amax);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = begin + i * 32 + lane;
    if (column >= 0 && column < width) out[column] = quantised(values[i], scale);
  }
  if (lane == 0) *scale_out = scale;
}
template <typename Values>
__device__ inline void quantise_group(Values values_at, int begin, int width, uint16_t* out,
                                      float* scale_out) {
  float values[4];
  const float amax = group_amax(values_at, begin, width, values);
  store_group(values, amax, begin, width, out, scale_out);
}

// The sum over the CTA: the warp's tree, then the warps ascending. `warps`: [kRowThreads / 32] shared, not in
// use.
__device__ inline float cta_sum(float sum, float* warps) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int warp = 0; warp < kRowThreads / 32; ++warp) total += warps[warp];
  return total;
}
__device__ inline float norm_factor(float sum_of_squares, int width, float eps) {
  return 1.0f / sqrtf(sum_of_squares / static_cast<float>(width) + eps);
}

// Four neighbouring bf16 values.
struct Quad {
  float at[4];
};
__device__ inline Quad widen_quad(const uint2& bits) {
  return {{widen_low(bits.x), widen_high(bits.x), widen_low(bits.y), widen_high(bits.y)}};
}
__device__ inline uint2 narrow_quad(const Quad& values) {
  return {narrow_pair(values.at[0], values.at[1]), narrow_pair(values.at[2], values.at[3])};
}

// Four columns of the routed parts of a row, weighted and summed in the order of slots.
__device__ inline Quad combined_quad(const ResidualTask& task, int64_t row, int quad) {
  const int quads = task.width / 4;
  const auto* const parts = reinterpret_cast<const uint2*>(task.parts) + row * task.slots * quads + quad;
  Quad sum{};
#pragma unroll 8
  for (int slot = 0; slot < task.slots; ++slot) {
    const float weight = task.slot_weights[row * task.slots + slot];
    const Quad part = widen_quad(parts[int64_t{slot} * quads]);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum.at[i] = __fmaf_rn(weight, part.at[i], sum.at[i]);
  }
  return sum;
}

// One row of ResidualTask. `added(quad)`: four bf16 columns of what joins the stream; kAdds: whether anything
// does. `values`: [width / 4] shared; `warps`: as for cta_sum. Neither is free when it returns.
template <bool kAdds, typename Added>
__device__ inline void residual_row(const ResidualTask& task, int64_t row, Added added, uint2* values,
                                    float* warps) {
  const int64_t from = task.index != nullptr ? task.index[row] : row;
  const int quads = task.width / 4;
  auto* const h = reinterpret_cast<uint2*>(task.h) + from * quads;
  float sum = 0;
  for (int i = threadIdx.x; i < quads; i += kRowThreads) {
    uint2 bits = h[i];
    Quad value = widen_quad(bits);
    if constexpr (kAdds) {
      const uint2 y = added(i);
      if (task.y_out != nullptr) reinterpret_cast<uint2*>(task.y_out)[row * quads + i] = y;
      const Quad more = widen_quad(y);
#pragma unroll
      for (int e = 0; e < 4; ++e) value.at[e] = value.at[e] + more.at[e];
      bits = narrow_quad(value);
      value = widen_quad(bits);
      h[i] = bits;
    }
    values[i] = bits;
#pragma unroll
    for (int e = 0; e < 4; ++e) sum = __fmaf_rn(value.at[e], value.at[e], sum);
  }
  if (task.norm == nullptr) return;
  const float factor = norm_factor(cta_sum(sum, warps), task.width, task.eps);
  for (int i = threadIdx.x; i < quads; i += kRowThreads) {
    const float4 weight = reinterpret_cast<const float4*>(task.norm)[i];
    const Quad value = widen_quad(values[i]);
    values[i] = narrow_quad({{value.at[0] * factor * weight.x, value.at[1] * factor * weight.y,
                              value.at[2] * factor * weight.z, value.at[3] * factor * weight.w}});
    reinterpret_cast<uint2*>(task.out)[row * quads + i] = values[i];
  }
  if (task.grid == nullptr) return;
  __syncthreads();
  const auto* const normed = reinterpret_cast<const uint16_t*>(values);
  const int groups = (task.width + kScaleCols - 1) / kScaleCols;
  for (int group = threadIdx.x / 32; group < groups; group += kRowThreads / 32)
    quantise_group([normed](int column) { return normed[column]; }, group * kScaleCols, task.width,
                   task.grid + row * task.width, task.scales + row * groups + group);
}

}  // namespace minimax::backend::cuda
