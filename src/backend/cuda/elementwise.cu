// The kernels that go over rows once: embedding, residual stream with norm and quantisation, rotation.
// Bound: memory, or the launch for few rows. docs/numerics.md says what is rounded where.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kThreads = 256;

int64_t blocks_for(int64_t count) {
  return (count + kThreads - 1) / kThreads;
}

__global__ void embed_kernel(const uint16_t* table, const int32_t* tokens, int hidden, uint16_t* out) {
  wait_for_previous();
  const uint16_t* const from = table + int64_t{tokens[blockIdx.x]} * hidden;
  for (int i = threadIdx.x; i < hidden; i += kThreads) out[int64_t{blockIdx.x} * hidden + i] = from[i];
}

// A warp's 4 values a lane of a group of 128 columns, from `values(column)`, to codes and their scale.
template <typename Values>
__device__ inline void quantise_group(Values values_at, int begin, int width, uint16_t* out,
                                      float* scale_out) {
  const int lane = threadIdx.x % 32;
  float values[4], largest = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = begin + i * 32 + lane;
    values[i] = column < width ? widen(values_at(column)) : 0.0f;
    largest = fmaxf(largest, fabsf(values[i]));
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
  const float scale = quantisation_scale(largest);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = begin + i * 32 + lane;
    if (column < width) out[column] = quantised(values[i], scale);
  }
  if (lane == 0) *scale_out = scale;
}

// A warp a group of 128 columns.
__global__ void quantise_kernel(const uint16_t* x, int rows, int width, uint16_t* out, float* scales) {
  wait_for_previous();
  const int groups = (width + kScaleCols - 1) / kScaleCols;
  const int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32;
  if (at >= int64_t{rows} * groups) return;
  const int64_t row = at / groups;
  const uint16_t* const from = x + row * width;
  quantise_group([from](int column) { return from[column]; }, static_cast<int>(at % groups) * kScaleCols,
                 width, out + row * width, scales + at);
}

// 1 / sqrt(mean + eps) of a row whose squares each thread has summed over its columns: the warp's tree, then
// the warps ascending. `warps`: [kThreads / 32] shared, not in use.
__device__ inline float norm_factor(float sum, int width, float eps, float* warps) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int warp = 0; warp < kThreads / 32; ++warp) total += warps[warp];
  return 1.0f / sqrtf(total / static_cast<float>(width) + eps);
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

// Four columns of what joins the residual stream.
__device__ inline uint2 added_quad(const ResidualTask& task, int64_t row, int quad) {
  const int quads = task.width / 4;
  if (task.parts == nullptr) return reinterpret_cast<const uint2*>(task.y)[row * quads + quad];
  const auto* const parts = reinterpret_cast<const uint2*>(task.parts) + row * task.slots * quads + quad;
  Quad sum{};
#pragma unroll 8
  for (int slot = 0; slot < task.slots; ++slot) {
    const float weight = task.slot_weights[row * task.slots + slot];
    const Quad part = widen_quad(parts[int64_t{slot} * quads]);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum.at[i] = __fmaf_rn(weight, part.at[i], sum.at[i]);
  }
  return narrow_quad(sum);
}

// A CTA a row, which stays in shared memory.
__global__ void __launch_bounds__(kThreads) residual_norm_kernel(const __grid_constant__ ResidualTask task) {
  wait_for_previous();
  extern __shared__ __align__(16) uint2 values[];  // [width / 4]
  __shared__ float warps[kThreads / 32];
  const int64_t row = blockIdx.x, from = task.index != nullptr ? task.index[row] : row;
  const int quads = task.width / 4;
  auto* const h = reinterpret_cast<uint2*>(task.h) + from * quads;
  float sum = 0;
  for (int i = threadIdx.x; i < quads; i += kThreads) {
    uint2 bits = h[i];
    Quad value = widen_quad(bits);
    if (task.y != nullptr || task.parts != nullptr) {
      const uint2 y = added_quad(task, row, i);
      if (task.y_out != nullptr) reinterpret_cast<uint2*>(task.y_out)[row * quads + i] = y;
      const Quad added = widen_quad(y);
#pragma unroll
      for (int e = 0; e < 4; ++e) value.at[e] = value.at[e] + added.at[e];
      bits = narrow_quad(value);
      value = widen_quad(bits);
      h[i] = bits;
    }
    values[i] = bits;
#pragma unroll
    for (int e = 0; e < 4; ++e) sum = __fmaf_rn(value.at[e], value.at[e], sum);
  }
  if (task.norm == nullptr) return;
  const float factor = norm_factor(sum, task.width, task.eps, warps);
  for (int i = threadIdx.x; i < quads; i += kThreads) {
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
  for (int group = threadIdx.x / 32; group < groups; group += kThreads / 32)
    quantise_group([normed](int column) { return normed[column]; }, group * kScaleCols, task.width,
                   task.grid + row * task.width, task.scales + row * groups + group);
}

__global__ void rope_table_kernel(const int32_t* positions, const double* frequencies, int rows, int half,
                                  float* cos_out, float* sin_out) {
  wait_for_previous();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{rows} * half) return;
  double s, c;
  sincos(static_cast<double>(positions[i / half]) * frequencies[i % half], &s, &c);
  cos_out[i] = static_cast<float>(c);
  sin_out[i] = static_cast<float>(s);
}

// One projection of a row into shared memory, normed. Ends with its values visible to all threads. `warps`:
// as for norm_factor.
__device__ inline void norm_heads(const uint16_t* from, int width, const float* norm, float eps, uint16_t* to,
                                  float* warps, uint16_t* normed) {
  auto* const values = reinterpret_cast<uint2*>(to);
  float sum = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < width / 4; i += kThreads) {
    values[i] = reinterpret_cast<const uint2*>(from)[i];
    const Quad value = widen_quad(values[i]);
#pragma unroll
    for (int e = 0; e < 4; ++e) sum = __fmaf_rn(value.at[e], value.at[e], sum);
  }
  if (norm != nullptr) {
    const float factor = norm_factor(sum, width, eps, warps);
    for (int i = threadIdx.x; i < width / 4; i += kThreads) {
      const float4 weight = reinterpret_cast<const float4*>(norm)[i];
      const Quad value = widen_quad(values[i]);
      values[i] = narrow_quad({{value.at[0] * factor * weight.x, value.at[1] * factor * weight.y,
                                value.at[2] * factor * weight.z, value.at[3] * factor * weight.w}});
      if (normed != nullptr) reinterpret_cast<uint2*>(normed)[i] = values[i];
    }
  }
  __syncthreads();
}

// Element i of heads in shared memory, turned.
__device__ inline float turned(const uint16_t* values, int i, int half, const float* cos, const float* sin) {
  const int dim = i % kHeadDim;
  if (dim >= 2 * half) return widen(values[i]);
  const int pair = dim < half ? dim : dim - half;
  const float c = cos[pair], s = sin[pair];
  const float low = widen(values[i - dim + pair]), high = widen(values[i - dim + pair + half]);
  return dim < half ? low * c - high * s : high * c + low * s;
}
__device__ inline uint32_t turned_pair(const uint16_t* values, int pair, int half, const float* cos,
                                       const float* sin) {
  return narrow_pair(turned(values, 2 * pair, half, cos, sin), turned(values, 2 * pair + 1, half, cos, sin));
}

// Two CTAs a row: q, then k and v.
__global__ void __launch_bounds__(kThreads) rotate_kernel(const __grid_constant__ RotateTask task) {
  wait_for_previous();
  extern __shared__ __align__(16) uint16_t heads[];  // [the wider of q and k]
  __shared__ float warps[kThreads / 32];
  const int64_t row = blockIdx.x;
  const int q_width = task.q_heads * kHeadDim, kv_width = task.kv.kv_heads * kHeadDim;
  const float *const cos = task.cos + row * task.half, *const sin = task.sin + row * task.half;
  if (blockIdx.y == 0) {
    norm_heads(task.q + row * q_width, q_width, task.q_norm, task.eps, heads, warps,
               task.q_normed != nullptr ? task.q_normed + row * q_width : nullptr);
    auto* const out = reinterpret_cast<uint32_t*>(task.q_out + row * q_width);
    for (int i = threadIdx.x; i < q_width / 2; i += kThreads)
      out[i] = turned_pair(heads, i, task.half, cos, sin);
    return;
  }
  norm_heads(task.k + row * kv_width, kv_width, task.k_norm, task.eps, heads, warps,
             task.k_normed != nullptr ? task.k_normed + row * kv_width : nullptr);
  const int64_t block = task.places[row] / task.kv.block_tokens,
                place = task.places[row] % task.kv.block_tokens;
  const auto* const v = reinterpret_cast<const uint32_t*>(task.v + row * kv_width);
  for (int i = threadIdx.x; i < kv_width / 2; i += kThreads) {
    const uint32_t k = turned_pair(heads, i, task.half, cos, sin);
    uint16_t* const at = task.kv.base + block * task.kv.block_stride +
                         (int64_t{2 * i / kHeadDim} * task.kv.block_tokens + place) * kHeadDim +
                         2 * i % kHeadDim;
    *reinterpret_cast<uint32_t*>(at) = k;
    *reinterpret_cast<uint32_t*>(at + task.kv.v_offset) = v[i];
    if (task.k_out != nullptr) reinterpret_cast<uint32_t*>(task.k_out + row * kv_width)[i] = k;
  }
}

}  // namespace

void embed(const uint16_t* table, const int32_t* tokens, int32_t rows, int32_t hidden, uint16_t* out,
           StreamHandle stream) {
  launch_kernel<embed_kernel>("embed", rows, kThreads, 0, stream, table, tokens, hidden, out);
}

void residual_norm(const ResidualTask& task, StreamHandle stream) {
  if (task.rows == 0) return;
  launch_kernel<residual_norm_kernel>("residual_norm", task.rows, kThreads, task.width * 2, stream, task);
}

void quantise(const uint16_t* x, int32_t rows, int32_t width, uint16_t* out, float* scales,
              StreamHandle stream) {
  const int64_t groups = int64_t{rows} * ((width + kScaleCols - 1) / kScaleCols);
  launch_kernel<quantise_kernel>("quantise", blocks_for(groups * 32), kThreads, 0, stream, x, rows, width,
                                 out, scales);
}

void rope_table(const int32_t* positions, const double* frequencies, int32_t rows, int32_t half, float* cos,
                float* sin, StreamHandle stream) {
  launch_kernel<rope_table_kernel>("rope_table", blocks_for(int64_t{rows} * half), kThreads, 0, stream,
                                   positions, frequencies, rows, half, cos, sin);
}

void rotate(const RotateTask& task, StreamHandle stream) {
  launch_kernel<rotate_kernel>("rotate", dim3(task.rows, 2), kThreads, task.q_heads * kHeadDim * 2, stream,
                               task);
}

}  // namespace minimax::backend::cuda
