// The kernels that go over rows once: embedding, norms, rotation, KV writes, quantisation, SwiGLU, combine.
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

// The order of the sum: a thread's strided squares, the warp's tree, the warps ascending.
__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(const uint16_t* x, const int32_t* index, const float* weight, int width, float eps,
                    uint16_t* out) {
  const int64_t from = index != nullptr ? index[blockIdx.x] : static_cast<int32_t>(blockIdx.x);
  const uint16_t* const row = x + from * width;
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += kThreads) {
    const float value = widen(row[i]);
    sum = __fmaf_rn(value, value, sum);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
  __shared__ float warps[kThreads / 32];
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int warp = 0; warp < kThreads / 32; ++warp) total += warps[warp];
  const float factor = 1.0f / sqrtf(total / static_cast<float>(width) + eps);
  for (int i = threadIdx.x; i < width; i += kThreads)
    out[int64_t{blockIdx.x} * width + i] = narrow(widen(row[i]) * factor * weight[i]);
}

__global__ void add_kernel(uint16_t* x, const uint16_t* y, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) x[i] = narrow(widen(x[i]) + widen(y[i]));
}

// A warp a group of 128 columns.
__global__ void quantise_kernel(const uint16_t* x, int rows, int width, uint16_t* out, float* scales) {
  const int groups = (width + kScaleCols - 1) / kScaleCols;
  const int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32;
  if (at >= int64_t{rows} * groups) return;
  const int lane = threadIdx.x % 32;
  const int64_t row = at / groups;
  const int begin = static_cast<int>(at % groups) * kScaleCols;
  const uint16_t* const from = x + row * width;
  float values[4], largest = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = begin + i * 32 + lane;
    values[i] = column < width ? widen(from[column]) : 0.0f;
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
    out[row * width + column] = isnan(value) ? uint16_t{0x7FC0} : widened;  // a NaN must stay one
  }
  if (lane == 0) scales[at] = scale;
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

__global__ void rope_kernel(uint16_t* x, int rows, int heads, int half, const float* cos_in,
                            const float* sin_in) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{rows} * heads * half) return;
  const int64_t row = i / (heads * half);
  const int head = static_cast<int>(i / half % heads), pair = static_cast<int>(i % half);
  uint16_t* const at = x + (row * heads + head) * kHeadDim + pair;
  const float low = widen(at[0]), high = widen(at[half]);
  const float c = cos_in[row * half + pair], s = sin_in[row * half + pair];
  at[0] = narrow(low * c - high * s);
  at[half] = narrow(high * c + low * s);
}

__global__ void write_kv_kernel(const uint16_t* k, const uint16_t* v, const int64_t* places, KvLayer kv) {
  const int width = kv.kv_heads * kHeadDim;
  const int64_t row = blockIdx.x, block = places[row] / kv.block_tokens, place = places[row] % kv.block_tokens;
  for (int i = threadIdx.x; i < width; i += kThreads) {
    const int head = i / kHeadDim, dim = i % kHeadDim;
    uint16_t* const at = kv.base + block * kv.block_stride +
                         (int64_t{head} * kv.block_tokens + place) * kHeadDim + dim;
    at[0] = k[row * width + i];
    at[kv.v_offset] = v[row * width + i];
  }
}

__global__ void swiglu_kernel(const uint16_t* gate, const uint16_t* up, int64_t count, uint16_t* out) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  const float g = widen(gate[i]);
  out[i] = narrow(g / (1.0f + expf(-g)) * widen(up[i]));
}

__global__ void combine_kernel(const uint16_t* y, const float* weights, int rows, int slots, int width,
                               uint16_t* out) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{rows} * width) return;
  const int64_t row = i / width, column = i % width;
  float sum = 0;
  for (int slot = 0; slot < slots; ++slot)
    sum = __fmaf_rn(weights[row * slots + slot], widen(y[(row * slots + slot) * width + column]), sum);
  out[i] = narrow(sum);
}

}  // namespace

void embed(const uint16_t* table, const int32_t* tokens, int32_t rows, int32_t hidden, uint16_t* out,
           StreamHandle stream) {
  embed_kernel<<<rows, kThreads, 0, stream>>>(table, tokens, hidden, out);
  insist_launched("embed");
}

void rms_norm(const uint16_t* x, const int32_t* index, const float* weight, int32_t rows, int32_t width,
              float eps, uint16_t* out, StreamHandle stream) {
  rms_norm_kernel<<<rows, kThreads, 0, stream>>>(x, index, weight, width, eps, out);
  insist_launched("rms_norm");
}

void add(uint16_t* x, const uint16_t* y, int64_t count, StreamHandle stream) {
  add_kernel<<<blocks_for(count), kThreads, 0, stream>>>(x, y, count);
  insist_launched("add");
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

void rope(uint16_t* x, int32_t rows, int32_t heads, int32_t half, const float* cos, const float* sin,
          StreamHandle stream) {
  rope_kernel<<<blocks_for(int64_t{rows} * heads * half), kThreads, 0, stream>>>(x, rows, heads, half, cos,
                                                                                sin);
  insist_launched("rope");
}

void write_kv(const uint16_t* k, const uint16_t* v, const int64_t* places, int32_t rows, const KvLayer& kv,
              StreamHandle stream) {
  write_kv_kernel<<<rows, kThreads, 0, stream>>>(k, v, places, kv);
  insist_launched("write_kv");
}

void swiglu(const uint16_t* gate, const uint16_t* up, int64_t count, uint16_t* out, StreamHandle stream) {
  swiglu_kernel<<<blocks_for(count), kThreads, 0, stream>>>(gate, up, count, out);
  insist_launched("swiglu");
}

void combine(const uint16_t* y, const float* weights, int32_t rows, int32_t slots, int32_t width,
             uint16_t* out, StreamHandle stream) {
  combine_kernel<<<blocks_for(int64_t{rows} * width), kThreads, 0, stream>>>(y, weights, rows, slots, width,
                                                                            out);
  insist_launched("combine");
}

}  // namespace minimax::backend::cuda
