// The kernels that go over rows once: embedding, residual stream with norm and quantisation, rotation.
// Bound: memory, or the launch for few rows. docs/numerics.md says what is rounded where.

#include <cstdint>

#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"

namespace minimax::backend::cuda {

namespace {

constexpr int kThreads = 256;

int64_t blocks_for(int64_t count) {
  return (count + kThreads - 1) / kThreads;
}

__global__ void embed_kernel(const uint16_t* table, const int32_t* tokens, int hidden, uint16_t* out) {
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
  const float scale = largest > 0 ? largest / 448.0f : 1.0f;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = begin + i * 32 + lane;
    if (column >= width) continue;
    const float value = values[i] / scale;
    const uint32_t code = __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
    const auto widened = static_cast<uint16_t>(widen_e4m3(code << 8));
    out[column] = isnan(value) ? uint16_t{0x7FC0} : widened;  // a NaN must stay one
  }
  if (lane == 0) *scale_out = scale;
}

// A warp a group of 128 columns.
__global__ void quantise_kernel(const uint16_t* x, int rows, int width, uint16_t* out, float* scales) {
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

// Two columns of what joins the residual stream.
__device__ inline uint32_t added_pair(const ResidualTask& task, int64_t row, int pair) {
  const int pairs = task.width / 2;
  if (task.parts == nullptr) return reinterpret_cast<const uint32_t*>(task.y)[row * pairs + pair];
  float low = 0, high = 0;
  for (int slot = 0; slot < task.slots; ++slot) {
    const float weight = task.slot_weights[row * task.slots + slot];
    const uint32_t part =
        reinterpret_cast<const uint32_t*>(task.parts)[(row * task.slots + slot) * pairs + pair];
    low = __fmaf_rn(weight, widen_low(part), low);
    high = __fmaf_rn(weight, widen_high(part), high);
  }
  return narrow_pair(low, high);
}

// A CTA a row, which stays in shared memory.
__global__ void __launch_bounds__(kThreads) residual_norm_kernel(const __grid_constant__ ResidualTask task) {
  extern __shared__ uint32_t values[];  // [width / 2]
  __shared__ float warps[kThreads / 32];
  const int64_t row = blockIdx.x, from = task.index != nullptr ? task.index[row] : row;
  const int pairs = task.width / 2;
  auto* const h = reinterpret_cast<uint32_t*>(task.h) + from * pairs;
  float sum = 0;
  for (int i = threadIdx.x; i < pairs; i += kThreads) {
    uint32_t value = h[i];
    if (task.y != nullptr || task.parts != nullptr) {
      const uint32_t y = added_pair(task, row, i);
      if (task.y_out != nullptr) reinterpret_cast<uint32_t*>(task.y_out)[row * pairs + i] = y;
      value = narrow_pair(widen_low(value) + widen_low(y), widen_high(value) + widen_high(y));
      h[i] = value;
    }
    values[i] = value;
    sum = __fmaf_rn(widen_low(value), widen_low(value), sum);
    sum = __fmaf_rn(widen_high(value), widen_high(value), sum);
  }
  if (task.norm == nullptr) return;
  const float factor = norm_factor(sum, task.width, task.eps, warps);
  for (int i = threadIdx.x; i < pairs; i += kThreads) {
    const float2 weight = reinterpret_cast<const float2*>(task.norm)[i];
    values[i] =
        narrow_pair(widen_low(values[i]) * factor * weight.x, widen_high(values[i]) * factor * weight.y);
    reinterpret_cast<uint32_t*>(task.out)[row * pairs + i] = values[i];
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
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{rows} * half) return;
  double s, c;
  sincos(static_cast<double>(positions[i / half]) * frequencies[i % half], &s, &c);
  cos_out[i] = static_cast<float>(c);
  sin_out[i] = static_cast<float>(s);
}

// One projection of a row into shared memory, normed. Ends with its values visible to all threads.
__device__ inline void norm_heads(const uint16_t* from, int width, const float* norm, float eps,
                                  uint16_t* values, float* warps, uint16_t* normed) {
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += kThreads) {
    values[i] = from[i];
    sum = __fmaf_rn(widen(from[i]), widen(from[i]), sum);
  }
  if (norm != nullptr) {
    const float factor = norm_factor(sum, width, eps, warps);
    for (int i = threadIdx.x; i < width; i += kThreads) {
      values[i] = narrow(widen(values[i]) * factor * norm[i]);
      if (normed != nullptr) normed[i] = values[i];
    }
  }
  __syncthreads();
}

// Element i of heads in shared memory, turned.
__device__ inline uint16_t turned(const uint16_t* values, int i, int half, const float* cos,
                                  const float* sin) {
  const int dim = i % kHeadDim;
  if (dim >= 2 * half) return values[i];
  const int pair = dim % half;
  const float c = cos[pair], s = sin[pair];
  const float low = widen(values[i - dim + pair]), high = widen(values[i - dim + pair + half]);
  return dim < half ? narrow(low * c - high * s) : narrow(high * c + low * s);
}

// A CTA a row.
__global__ void __launch_bounds__(kThreads) rotate_kernel(const __grid_constant__ RotateTask task) {
  extern __shared__ uint16_t heads[];  // [q width + kv width]
  __shared__ float q_warps[kThreads / 32], k_warps[kThreads / 32];
  const int64_t row = blockIdx.x;
  const int q_width = task.q_heads * kHeadDim, kv_width = task.kv.kv_heads * kHeadDim;
  uint16_t* const k_heads = heads + q_width;
  norm_heads(task.q + row * q_width, q_width, task.q_norm, task.eps, heads, q_warps,
             task.q_normed != nullptr ? task.q_normed + row * q_width : nullptr);
  norm_heads(task.k + row * kv_width, kv_width, task.k_norm, task.eps, k_heads, k_warps,
             task.k_normed != nullptr ? task.k_normed + row * kv_width : nullptr);
  const float *const cos = task.cos + row * task.half, *const sin = task.sin + row * task.half;
  for (int i = threadIdx.x; i < q_width; i += kThreads)
    task.q_out[row * q_width + i] = turned(heads, i, task.half, cos, sin);
  const int64_t block = task.places[row] / task.kv.block_tokens,
                place = task.places[row] % task.kv.block_tokens;
  for (int i = threadIdx.x; i < kv_width; i += kThreads) {
    const uint16_t k = turned(k_heads, i, task.half, cos, sin);
    uint16_t* const at = task.kv.base + block * task.kv.block_stride +
                         (int64_t{i / kHeadDim} * task.kv.block_tokens + place) * kHeadDim + i % kHeadDim;
    at[0] = k;
    at[task.kv.v_offset] = task.v[row * kv_width + i];
    if (task.k_out != nullptr) task.k_out[row * kv_width + i] = k;
  }
}

}  // namespace

void embed(const uint16_t* table, const int32_t* tokens, int32_t rows, int32_t hidden, uint16_t* out,
           StreamHandle stream) {
  embed_kernel<<<rows, kThreads, 0, stream>>>(table, tokens, hidden, out);
  insist_launched("embed");
}

void residual_norm(const ResidualTask& task, StreamHandle stream) {
  if (task.rows == 0) return;
  residual_norm_kernel<<<task.rows, kThreads, task.width * 2, stream>>>(task);
  insist_launched("residual_norm");
}

void quantise(const uint16_t* x, int32_t rows, int32_t width, uint16_t* out, float* scales,
              StreamHandle stream) {
  const int64_t groups = int64_t{rows} * ((width + kScaleCols - 1) / kScaleCols);
  quantise_kernel<<<blocks_for(groups * 32), kThreads, 0, stream>>>(x, rows, width, out, scales);
  insist_launched("quantise");
}

void rope_table(const int32_t* positions, const double* frequencies, int32_t rows, int32_t half, float* cos,
                float* sin, StreamHandle stream) {
  rope_table_kernel<<<blocks_for(int64_t{rows} * half), kThreads, 0, stream>>>(positions, frequencies, rows,
                                                                               half, cos, sin);
  insist_launched("rope_table");
}

void rotate(const RotateTask& task, StreamHandle stream) {
  const int bytes = (task.q_heads + task.kv.kv_heads) * kHeadDim * 2;
  rotate_kernel<<<task.rows, kThreads, bytes, stream>>>(task);
  insist_launched("rotate");
}

}  // namespace minimax::backend::cuda
