// y = x W^T on the tensor cores, for every row count with one tree of sums.
//
// Mapping: weights are the M operand (16 features a warp), rows of x the N operand (kTiles * 8 columns), so
// an element of y never meets another row. mma.sync m16n8k16 bf16; e4m3 weights and quantised activations
// are widened to bf16, which is exact.
//
// CTAs are persistent and walk over items (a tile of columns, a range of features). Chains of K = 128 of
// weights and x pass through a ring in shared memory filled by cp.async, which runs ahead across the items:
// the loads of the next item are under way while the last chains of this one are multiplied.
//
// Two forms of the same tree: kSplit gives the 4 segments of K to 2 of the 8 tiles of features each (fewer
// features an item: more items), else the segments run one after the other.
//
// Reads each weight once per tile of columns. Bound: memory for few rows, shared memory for many.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear_ring.cuh"
#include "backend/cuda/mma.cuh"

namespace minimax::backend::cuda {

namespace {

// One chain of this warp onto `sum`. Tiles of columns go in groups whose products are independent of each
// other: one alone would wait for the tensor cores' latency.
template <WeightKind kKind, int kTiles, bool kSplit, int kM>
__device__ inline void add_chain(const char* stage, int tiles, bool x_scaled, float (&sum)[kM][kTiles][4]) {
  using L = Layout<kKind, kTiles, kSplit>;
  constexpr int kGroup = kTiles < 4 || kM > 1 ? 2 : 4;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const int chain = kSplit ? warp / 2 : 0;
  const float* const scales = reinterpret_cast<const float*>(stage + L::kScaleOffset);
  Pairs low[kM][2], high[kM][2];
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = (warp * kM + m) * kFeatures + group;
      low[m][half] = load_weight<kKind>(stage, row, half, quad);
      high[m][half] = load_weight<kKind>(stage, row + 8, half, quad);
    }
#pragma unroll
  for (int first = 0; first < kTiles; first += kGroup) {
    if (first >= tiles) break;
    float d[kM][kGroup][4] = {};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Pairs x[kGroup];
#pragma unroll
      for (int n = 0; n < kGroup; ++n)
        x[n] = load_bf16(stage + L::kXOffset, chain * L::kColumns + (first + n) * 8 + group,
                         half * 8 + quad * 2);
#pragma unroll
      for (int step = 0; step < 4; ++step)
#pragma unroll
        for (int n = 0; n < kGroup; ++n)
#pragma unroll
          for (int m = 0; m < kM; ++m) multiply(d[m][n], low[m][half], high[m][half], x[n], step);
    }
#pragma unroll
    for (int n = 0; n < kGroup; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = (first + n) * 8 + quad * 2 + e % 2;
        const float x_scale = x_scaled ? scales[kFeatureTiles + chain * L::kColumns + column] : 1.0f;
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          const float weight_scale = kKind == WeightKind::kE4m3 ? scales[warp * kM + m] : 1.0f;
          float& to = sum[m][first + n][e];
          to = __fmaf_rn(d[m][n][e], weight_scale * x_scale, to);
        }
      }
  }
}

// The four segments of a feature, a warp each, in order.
template <int kTiles>
__device__ inline void store_segments(const LinearTask& task, const Item& item,
                                      const float (&total)[1][kTiles][4], char* exchange) {
  constexpr int kColumns = kTiles * 8, kItemFeatures = kFeatureTiles * kFeatures / kSegments;
  constexpr int kThreads = kFeatureTiles * 32;
  auto* const partial = reinterpret_cast<float*>(exchange);  // [segment, feature][columns + 1]
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      partial[(warp * kFeatures + group + i / 2 * 8) * (kColumns + 1) + n * 8 + quad * 2 + i % 2] =
          total[0][n][i];
  __syncthreads();
  for (int at = threadIdx.x; at < kItemFeatures * item.tile.count; at += kThreads) {
    const int feature = at % kItemFeatures, column = at / kItemFeatures;
    float value = 0;
#pragma unroll
    for (int segment = 0; segment < kSegments; ++segment)
      value += partial[(segment * kItemFeatures + feature) * (kColumns + 1) + column];
    store(task.outputs[item.output], item.feature + feature, y_row(task, item.tile, column), value);
  }
}

template <WeightKind kKind, int kTiles, bool kSplit>
__global__ void __launch_bounds__((Layout<kKind, kTiles, kSplit>::kThreads),
                                  (Layout<kKind, kTiles, kSplit>::kCtas))
    linear_kernel(const __grid_constant__ LinearTask task) {
  using L = Layout<kKind, kTiles, kSplit>;
  extern __shared__ __align__(16) char shared[];
  char* const exchange = shared + L::kStages * L::kStageBytes;
  const int chains = static_cast<int>(task.outputs[0].weight.scale_cols());
  const int chains_each = chains / L::kChains, segment_chains = chains / segments_of(chains);
  const int tile_items = items_a_tile(task, L::kItemFeatures);
  // Which experts there are is for the launch before to say, which weights of a dense layer is not.
  const bool dense = task.tiles == nullptr, ahead = dense && chains_each >= L::kStages - 1;
  if (!dense) wait_for_previous();
  const int tiles = dense ? (task.rows + L::kColumns - 1) / L::kColumns : *task.tile_count;
  const int items = tiles * tile_items;
  Loader<L> loader(task, items, tile_items, chains);
#pragma unroll 1
  for (int i = 0; ahead && i < L::kStages - 1; ++i) loader.fill_ahead(shared + i * L::kStageBytes, i);
  if (dense) wait_for_previous();
#pragma unroll 1
  for (int i = 0; i < L::kStages - 1; ++i) loader.fill(shared + i * L::kStageBytes, !ahead);
  int stage = 0;
  for (int index = blockIdx.x; index < items; index += gridDim.x) {
    const Item item = item_at<L>(task, index, tile_items);
    const int used = (item.tile.count + 7) / 8;
    float sum[L::kM][kTiles][4] = {}, total[L::kM][kTiles][4] = {};
    int left = segment_chains;
#pragma unroll 1
    for (int chain = 0; chain < chains_each; ++chain) {
      copies_wait<L::kStages - 2>();
      __syncthreads();
      loader.fill(shared + (stage == 0 ? L::kStages - 1 : stage - 1) * L::kStageBytes);
      add_chain<kKind, kTiles, kSplit>(shared + stage * L::kStageBytes, used, task.x_scales != nullptr, sum);
      stage = stage + 1 == L::kStages ? 0 : stage + 1;
      if (--left > 0) continue;
      left = segment_chains;
#pragma unroll
      for (int m = 0; m < L::kM; ++m)
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            total[m][n][e] += sum[m][n][e];
            sum[m][n][e] = 0;
          }
    }
    if constexpr (kSplit) {
      store_segments<kTiles>(task, item, total, exchange);
    } else if (task.swiglu) {
      store_swiglu<kTiles, L::kM>(task, item, total, exchange);
    } else {
      store_totals<kTiles, L::kM>(task, item, total);
    }
  }
}

// fp32 weights, for the router: a CTA 4 features and 8 rows; a lane 4 columns at a time, warps take turns.
constexpr int kF32Rows = 8;
constexpr int kF32Features = 4;
constexpr int kF32Warps = 8;
constexpr int kF32Threads = kF32Warps * 32;

__global__ void __launch_bounds__(kF32Threads) linear_f32_kernel(const __grid_constant__ LinearTask task) {
  wait_for_previous();
  __shared__ float partial[kF32Warps][kF32Features][kF32Rows];
  const LinearOutput& output = task.outputs[0];
  const Matrix& w = output.weight;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int feature_begin = blockIdx.x * kF32Features, row_begin = blockIdx.y * kF32Rows;
  float sum[kF32Features][kF32Rows] = {};
  for (int k = warp * 128 + lane * 4; k < w.in; k += kF32Warps * 128) {
    float4 a[kF32Features];
    uint2 x[kF32Rows];
#pragma unroll
    for (int f = 0; f < kF32Features; ++f) {
      const int64_t feature = min(feature_begin + f, w.out - 1);
      a[f] = __ldg(reinterpret_cast<const float4*>(static_cast<const float*>(w.data) + feature * w.in + k));
    }
#pragma unroll
    for (int r = 0; r < kF32Rows; ++r) {
      const int64_t row = min(row_begin + r, task.rows - 1);
      x[r] = __ldg(reinterpret_cast<const uint2*>(task.x + row * w.in + k));
    }
#pragma unroll
    for (int f = 0; f < kF32Features; ++f)
#pragma unroll
      for (int r = 0; r < kF32Rows; ++r) {
        sum[f][r] = __fmaf_rn(a[f].x, widen_low(x[r].x), sum[f][r]);
        sum[f][r] = __fmaf_rn(a[f].y, widen_high(x[r].x), sum[f][r]);
        sum[f][r] = __fmaf_rn(a[f].z, widen_low(x[r].y), sum[f][r]);
        sum[f][r] = __fmaf_rn(a[f].w, widen_high(x[r].y), sum[f][r]);
      }
  }
#pragma unroll
  for (int f = 0; f < kF32Features; ++f)
#pragma unroll
    for (int r = 0; r < kF32Rows; ++r) {
      float value = sum[f][r];
#pragma unroll
      for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
      if (lane == 0) partial[warp][f][r] = value;
    }
  __syncthreads();
  if (threadIdx.x >= kF32Features * kF32Rows) return;
  const int f = threadIdx.x % kF32Features, r = threadIdx.x / kF32Features;
  float value = 0;
#pragma unroll
  for (int part = 0; part < kF32Warps; ++part) value += partial[part][f][r];
  if (row_begin + r < task.rows) store(output, feature_begin + f, row_begin + r, value);
}

template <WeightKind kKind, int kTiles, bool kSplit>
void launch(const LinearTask& task, StreamHandle stream) {
  using L = Layout<kKind, kTiles, kSplit>;
  const int ctas_max = ctas_at_once<linear_kernel<kKind, kTiles, kSplit>>(L::kThreads, L::kSharedBytes);
  const int tiles = task.tiles != nullptr ? task.tile_count_max : (task.rows + L::kColumns - 1) / L::kColumns;
  const int64_t items = int64_t{tiles} * items_a_tile(task, L::kItemFeatures);
  launch_kernel<linear_kernel<kKind, kTiles, kSplit>>("linear",
                                                      static_cast<int>(items < ctas_max ? items : ctas_max),
                                                      L::kThreads, L::kSharedBytes, stream, task);
}

template <WeightKind kKind>
void choose(const LinearTask& task, StreamHandle stream) {
  const bool dense = task.tiles == nullptr;
  const int columns = dense ? task.rows : task.tile_rows;
  const bool can_split = dense && !task.swiglu &&
                         segments_of(static_cast<int>(task.outputs[0].weight.scale_cols())) == kSegments;
  const int items = items_a_tile(task, kFeatureTiles * kFeatures);  // without a split, a tile of columns
  if (columns <= 16) {
    if (can_split && items < kItemsEnough) {
      launch<kKind, 2, true>(task, stream);
    } else {
      launch<kKind, 2, false>(task, stream);
    }
  } else if (can_split && items * ((columns + 63) / 64) < kItemsEnough / 2) {
    launch<kKind, 4, true>(task, stream);
  } else if (columns <= 32) {
    launch<kKind, 4, false>(task, stream);
  } else {
    launch<kKind, 8, false>(task, stream);
  }
}

}  // namespace

int32_t tile_rows(int64_t parts, int32_t experts) {
  const int64_t each = parts / experts;  // so that few experts have more than a tile
  return each <= 8 ? 16 : each <= 20 ? 32 : 64;
}

void linear(const LinearTask& task, StreamHandle stream) {
  if (task.rows == 0) return;
  const WeightKind kind = task.outputs[0].weight.kind;
  if (kind == WeightKind::kF32) {
    const dim3 grid((task.outputs[0].weight.out + kF32Features - 1) / kF32Features,
                    (task.rows + kF32Rows - 1) / kF32Rows);
    launch_kernel<linear_f32_kernel>("linear_f32", grid, kF32Threads, 0, stream, task);
  } else if (kind == WeightKind::kE4m3) {
    choose<WeightKind::kE4m3>(task, stream);
  } else {
    choose<WeightKind::kBf16>(task, stream);
  }
}

}  // namespace minimax::backend::cuda
