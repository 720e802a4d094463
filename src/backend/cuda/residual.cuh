#pragma once
// What kernels over whole rows share: sums over a CTA, the quantisation of a group, and the residual stream
// with norm and quantisation. A CTA of kRowThreads a row of the stream: the published hidden size is one load
// of four values a thread, and a warp's values are a group of the quantisation.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"

namespace minimax::backend::cuda {

constexpr int kRowThreads = 768;
// Of four columns, those of a thread: kQuads of the templates. 1 serves the published hidden size.
constexpr int kRowQuadsMax = kHiddenMax / 4 / kRowThreads;
static_assert(kRowQuadsMax * 4 * kRowThreads == kHiddenMax);
constexpr bool one_quad(int width) {
  return width <= 4 * kRowThreads;
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
__device__ inline float4 as_float4(const Quad& quad) {
  return {quad.at[0], quad.at[1], quad.at[2], quad.at[3]};
}
__device__ inline void add(Quad& sum, const float4& more) {
  sum.at[0] += more.x;
  sum.at[1] += more.y;
  sum.at[2] += more.z;
  sum.at[3] += more.w;
}

// The largest magnitude of a warp's values.
__device__ inline float warp_amax(const Quad& values) {
  float amax =
      fmaxf(fmaxf(fabsf(values.at[0]), fabsf(values.at[1])), fmaxf(fabsf(values.at[2]), fabsf(values.at[3])));
#pragma unroll
  for (int step = 16; step > 0; step /= 2) amax = fmaxf(amax, __shfl_xor_sync(0xFFFFFFFFu, amax, step));
  return amax;
}

// The sum over a CTA of kCtaThreads: the warp's tree, then the warps ascending. `warps`: [kCtaThreads / 32]
// shared, not in use.
template <int kCtaThreads>
__device__ inline float cta_sum(float sum, float* warps) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int warp = 0; warp < kCtaThreads / 32; ++warp) total += warps[warp];
  return total;
}
__device__ inline float norm_factor(float sum_of_squares, int width, float eps) {
  return 1.0f / sqrtf(sum_of_squares / static_cast<float>(width) + eps);
}

// Four columns of the routed parts of a row that the rank holds, weighted and summed in the order of slots.
__device__ inline Quad combined_quad(const ResidualTask& task, int64_t row, int quad) {
  const int quads = task.width / 4;
  const auto* const parts = reinterpret_cast<const uint2*>(task.parts) + row * task.slots * quads + quad;
  Quad sum{};
#pragma unroll 8
  for (int slot = 0; slot < task.slots; ++slot) {
    if (task.held.count != 0 && !task.held.holds(task.slot_experts[row * task.slots + slot])) continue;
    const float weight = task.slot_weights[row * task.slots + slot];
    const Quad part = widen_quad(parts[int64_t{slot} * quads]);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum.at[i] = __fmaf_rn(weight, part.at[i], sum.at[i]);
  }
  return sum;
}

// The norm's weights for this thread; may be loaded before the row is there.
template <int kQuads>
struct NormWeights {
  float4 at[kQuads];
  __device__ explicit NormWeights(const ResidualTask& task) {
#pragma unroll
    for (int n = 0; n < kQuads; ++n) {
      const int i = n * kRowThreads + static_cast<int>(threadIdx.x);
      if (task.norm != nullptr && i < task.width / 4) at[n] = reinterpret_cast<const float4*>(task.norm)[i];
    }
  }
};

// One row of ResidualTask. `added(quad)`: four bf16 columns of what joins the stream; kAdds: whether anything
// does. `warps`: as for cta_sum, not free when it returns.
template <bool kAdds, int kQuads, typename Added>
__device__ inline void residual_row(const ResidualTask& task, const NormWeights<kQuads>& norm, int64_t row,
                                    Added added, float* warps) {
  const int64_t from = task.index != nullptr ? task.index[row] : row;
  const int quads = task.width / 4;
  auto* const h = reinterpret_cast<uint2*>(task.h) + from * quads;
  float sum = 0;
  Quad values[kQuads];
#pragma unroll
  for (int n = 0; n < kQuads; ++n) {
    const int i = n * kRowThreads + static_cast<int>(threadIdx.x);
    if (i >= quads) break;
    uint2 bits = h[i];
    Quad& value = values[n];
    value = widen_quad(bits);
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
#pragma unroll
    for (int e = 0; e < 4; ++e) sum = __fmaf_rn(value.at[e], value.at[e], sum);
  }
  if (task.norm == nullptr) return;
  const float factor = norm_factor(cta_sum<kRowThreads>(sum, warps), task.width, task.eps);
  const int groups = (task.width + kScaleCols - 1) / kScaleCols;
#pragma unroll
  for (int n = 0; n < kQuads; ++n) {
    const int i = n * kRowThreads + static_cast<int>(threadIdx.x), group = i / 32;
    if (group >= groups) break;  // for whole warps
    Quad value{};
    if (i < quads) {
      value = values[n];
      const uint2 bits =
          narrow_quad({{value.at[0] * factor * norm.at[n].x, value.at[1] * factor * norm.at[n].y,
                        value.at[2] * factor * norm.at[n].z, value.at[3] * factor * norm.at[n].w}});
      reinterpret_cast<uint2*>(task.out)[row * quads + i] = bits;
      value = widen_quad(bits);
    }
    if (task.grid == nullptr) continue;
    const float scale = quantisation_scale(warp_amax(value));
    if (i < quads) store_quantised(task.grid, task.order, row * quads + i, quantised_quad(value.at, scale));
    if (threadIdx.x % 32 == 0) task.scales[row * groups + group] = scale;
  }
}

}  // namespace minimax::backend::cuda
