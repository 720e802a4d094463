// y = x W^T of fp32 weights and bf16 rows, for the router. One tree of sums whatever the rows: 8 warps of 32
// lanes take 4 columns each in turn, then a tree over lanes, then warps in order.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear_forms.h"
#include "backend/cuda/linear_ring.cuh"
#include "backend/cuda/mma.cuh"

namespace minimax::backend::cuda {

namespace {

// fp32 weights, for the router: a CTA kFeatures features and kRows rows; a lane 4 columns at a time, warps
// take turns. kTurns of them are loaded at once.
constexpr int kF32Warps = 8;
constexpr int kF32Threads = kF32Warps * 32;
constexpr int kF32TurnColumns = kF32Warps * 128;

// Of 32 values of every lane: lane l gets the sum over lanes of value l. The tree is that of a butterfly of
// one value.
template <int kHalf>
__device__ inline void sum_step(float (&values)[32]) {
  const bool upper = (threadIdx.x & kHalf) != 0;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const float send = upper ? values[i] : values[i + kHalf], keep = upper ? values[i + kHalf] : values[i];
    values[i] = keep + __shfl_xor_sync(0xFFFFFFFFu, send, kHalf);
  }
}
__device__ inline float sum_of_lanes(float (&values)[32]) {
  sum_step<16>(values);
  sum_step<8>(values);
  sum_step<4>(values);
  sum_step<2>(values);
  sum_step<1>(values);
  return values[0];
}

template <int kRows, int kFeatures, int kTurns>
__global__ void __launch_bounds__(kF32Threads) linear_f32_kernel(const __grid_constant__ LinearTask task) {
  uint64_t* const stamp = begin_launch();
  constexpr int kValues = kFeatures * kRows;
  __shared__ float partial[kF32Warps][kValues];
  const LinearOutput& output = task.outputs[0];
  const Matrix& w = output.weight;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int feature_begin = blockIdx.x * kFeatures, row_begin = blockIdx.y * kRows;
  float4 a[kTurns][kFeatures];
  const auto load_weights = [&](int begin) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn)
#pragma unroll
      for (int f = 0; f < kFeatures; ++f) {
        const int k = begin + turn * kF32TurnColumns;
        const int64_t feature = min(feature_begin + f, w.out - 1);
        a[turn][f] = k < w.in ? __ldg(reinterpret_cast<const float4*>(static_cast<const float*>(w.data) +
                                                                      feature * w.in + k))
                              : float4{};
      }
  };
  const int own = warp * 128 + lane * 4;
  load_weights(own);
  wait_for_previous(stamp);
  float sum[kFeatures][kRows] = {};
#pragma unroll 1
  for (int begin = own; begin < w.in; begin += kTurns * kF32TurnColumns) {
    if (begin != own) load_weights(begin);
    uint2 x[kTurns][kRows];
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn)
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int k = begin + turn * kF32TurnColumns;
        const int64_t row = min(row_begin + r, task.rows - 1);
        x[turn][r] =
            k < w.in ? *reinterpret_cast<const uint2*>(static_cast<const uint16_t*>(task.x) + row * w.in + k)
                     : uint2{};
      }
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn)
#pragma unroll
      for (int f = 0; f < kFeatures; ++f)
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          sum[f][r] = __fmaf_rn(a[turn][f].x, widen_low(x[turn][r].x), sum[f][r]);
          sum[f][r] = __fmaf_rn(a[turn][f].y, widen_high(x[turn][r].x), sum[f][r]);
          sum[f][r] = __fmaf_rn(a[turn][f].z, widen_low(x[turn][r].y), sum[f][r]);
          sum[f][r] = __fmaf_rn(a[turn][f].w, widen_high(x[turn][r].y), sum[f][r]);
        }
  }
#pragma unroll
  for (int first = 0; first < kValues; first += 32) {
    float values[32];
#pragma unroll
    for (int i = 0; i < 32; ++i)
      values[i] = first + i < kValues ? sum[(first + i) / kRows][(first + i) % kRows] : 0.0f;
    const float value = sum_of_lanes(values);
    if (first + lane < kValues) partial[warp][first + lane] = value;
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= kValues) return;
  const int f = threadIdx.x / kRows, r = threadIdx.x % kRows;
  float value = 0;
#pragma unroll
  for (int part = 0; part < kF32Warps; ++part) value += partial[part][threadIdx.x];
  if (row_begin + r < task.rows) store(output, feature_begin + f, row_begin + r, value);
}

// Many rows, where the form above is bound by L2: a CTA kBlockRows rows and kBlockFeatures features, of which
// it holds the columns of one warp of the tree at a time. A warp has kBlockTiles tiles of them.
constexpr int kBlockRows = 64, kBlockFeatures = 32, kBlockTurns = 3;
constexpr int kBlockTileRows = 8, kBlockTileFeatures = 8;
constexpr int kBlockTiles = kBlockRows / kBlockTileRows * (kBlockFeatures / kBlockTileFeatures) / kF32Warps;
constexpr int kBlockXBytes = kBlockRows * kBlockTurns * 128 * 2;
constexpr int kBlockTotalsOffset = kBlockXBytes + kBlockFeatures * kBlockTurns * 128 * 4;
constexpr int kBlockSharedBytes = kBlockTotalsOffset + kBlockRows * kBlockFeatures * 4;

// Rows [begin, begin + kCount) of the columns of warp `part`, to [row][turn][128].
template <int kCount, int kElementBytes>
__device__ inline void copy_block(const void* from, int64_t begin, int rows, int in, int part, uint32_t to) {
  constexpr int kChunks = 128 * kElementBytes / 16, kEach = 16 / kElementBytes;
  for (int at = threadIdx.x; at < kCount * kBlockTurns * kChunks; at += kF32Threads) {
    const int row = at / (kBlockTurns * kChunks), turn = at / kChunks % kBlockTurns, chunk = at % kChunks;
    const int k = turn * kF32TurnColumns + part * 128 + chunk * kEach;
    const bool inside = begin + row < rows && k < in;
    copy_16(to + at * 16,
            static_cast<const char*>(from) + (inside ? ((begin + row) * in + k) * kElementBytes : 0), inside);
  }
}

__global__ void __launch_bounds__(kF32Threads, 2)
    linear_f32_block_kernel(const __grid_constant__ LinearTask task) {
  uint64_t* const stamp = begin_launch();
  extern __shared__ __align__(16) char shared[];
  const uint32_t x_at = shared_address(shared), w_at = x_at + kBlockXBytes;
  const LinearOutput& output = task.outputs[0];
  const Matrix& weight = output.weight;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t feature_begin = blockIdx.x * kBlockFeatures, row_begin = blockIdx.y * kBlockRows;
  constexpr int kValues = kBlockTileRows * kBlockTileFeatures;
  auto* const totals = reinterpret_cast<float*>(shared + kBlockTotalsOffset) + threadIdx.x;  // a thread's own
  const int turns = (weight.in + kF32TurnColumns - 1) / kF32TurnColumns;
  wait_for_previous(stamp);
#pragma unroll 1
  for (int part = 0; part < kF32Warps; ++part) {
    __syncthreads();  // the former columns are read
    copy_block<kBlockFeatures, 4>(weight.data, feature_begin, weight.out, weight.in, part, w_at);
    copy_block<kBlockRows, 2>(task.x, row_begin, task.rows, weight.in, part, x_at);
    copies_commit();
    copies_wait<0>();
    __syncthreads();
#pragma unroll 1
    for (int tile = 0; tile < kBlockTiles; ++tile) {
      constexpr int kAcross = kBlockFeatures / kBlockTileFeatures;
      const int own = tile * kF32Warps + warp;
      const int row = own / kAcross * kBlockTileRows, feature = own % kAcross * kBlockTileFeatures;
      float sum[kBlockTileFeatures][kBlockTileRows] = {};
#pragma unroll 1
      for (int turn = 0; turn < turns; ++turn) {
        float4 a[kBlockTileFeatures];
#pragma unroll
        for (int f = 0; f < kBlockTileFeatures; ++f) {
          const uint4 bits = load_16(w_at + (((feature + f) * kBlockTurns + turn) * 32 + lane) * 16);
          a[f] = {__uint_as_float(bits.x), __uint_as_float(bits.y), __uint_as_float(bits.z),
                  __uint_as_float(bits.w)};
        }
#pragma unroll
        for (int r = 0; r < kBlockTileRows; ++r) {
          const float2 bits = load_float2(x_at + (((row + r) * kBlockTurns + turn) * 32 + lane) * 8);
          const uint32_t low = __float_as_uint(bits.x), high = __float_as_uint(bits.y);
#pragma unroll
          for (int f = 0; f < kBlockTileFeatures; ++f) {
            sum[f][r] = __fmaf_rn(a[f].x, widen_low(low), sum[f][r]);
            sum[f][r] = __fmaf_rn(a[f].y, widen_high(low), sum[f][r]);
            sum[f][r] = __fmaf_rn(a[f].z, widen_low(high), sum[f][r]);
            sum[f][r] = __fmaf_rn(a[f].w, widen_high(high), sum[f][r]);
          }
        }
      }
#pragma unroll
      for (int first = 0; first < kValues; first += 32) {
        float values[32];
#pragma unroll
        for (int i = 0; i < 32; ++i)
          values[i] = sum[(first + i) / kBlockTileRows][(first + i) % kBlockTileRows];
        float& total = totals[(tile * kValues + first) / 32 * kF32Threads];
        total = (part == 0 ? 0.0f : total) + sum_of_lanes(values);
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < kBlockTiles; ++tile)
#pragma unroll
    for (int n = 0; n < kValues / 32; ++n) {
      constexpr int kAcross = kBlockFeatures / kBlockTileFeatures;
      const int own = tile * kF32Warps + warp, value = n * 32 + lane;
      const int64_t row = row_begin + own / kAcross * kBlockTileRows + value % kBlockTileRows;
      const int64_t feature = feature_begin + own % kAcross * kBlockTileFeatures + value / kBlockTileRows;
      if (row < task.rows)
        store(output, static_cast<int>(feature), row, totals[(tile * kValues / 32 + n) * kF32Threads]);
    }
}

void launch_f32_blocks(const LinearTask& task, StreamHandle stream) {
  ctas_at_once<linear_f32_block_kernel>(kF32Threads, kBlockSharedBytes);
  const dim3 grid((task.outputs[0].weight.out + kBlockFeatures - 1) / kBlockFeatures,
                  (task.rows + kBlockRows - 1) / kBlockRows);
  launch_kernel<linear_f32_block_kernel>("linear_f32", grid, kF32Threads, kBlockSharedBytes, stream, task);
}

template <int kRows, int kFeatures, int kTurns>
void launch_f32(const LinearTask& task, StreamHandle stream) {
  const dim3 grid((task.outputs[0].weight.out + kFeatures - 1) / kFeatures, (task.rows + kRows - 1) / kRows);
  launch_kernel<linear_f32_kernel<kRows, kFeatures, kTurns>>("linear_f32", grid, kF32Threads, 0, stream,
                                                             task);
}

}  // namespace

// Few rows: the latency of loads counts, and the published width is 3 turns. Many: how often x and the
// weights are read.
void linear_f32(const LinearTask& task, StreamHandle stream) {
  constexpr int kBlocksFrom = 1024;  // rows: fewer leave processors without a block
  if (task.rows >= kBlocksFrom && task.outputs[0].weight.in <= kBlockTurns * kF32TurnColumns) {
    launch_f32_blocks(task, stream);
  } else if (task.rows == 1) {
    launch_f32<1, 4, 3>(task, stream);
  } else if (task.rows <= 32) {
    launch_f32<8, 4, 3>(task, stream);
  } else {
    launch_f32<16, 8, 1>(task, stream);
  }
}

}  // namespace minimax::backend::cuda
