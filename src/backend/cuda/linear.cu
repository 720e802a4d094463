// y = x W^T on the tensor cores, for every row count with one tree of sums.
//
// Mapping: weights are the M operand (16 features a warp), rows of x the N operand (kTiles * 8 columns), so
// an element of y never meets another row. mma.sync m16n8k16. e4m3 weights are widened
// to bf16, or to f16 where activations are quantised (f16 values of e4m3); both exact.
//
// CTAs are persistent and walk over items (a tile of columns, a range of features). Chains of K = 128 of
// weights and x pass through a ring in shared memory filled by cp.async, which runs ahead across the items:
// the loads of the next item are under way while the last chains of this one are multiplied.
//
// fp32 weights and many quantised rows have kernels of their own (linear_forms.h), with the same trees.
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
#include "backend/cuda/linear_forms.h"
#include "backend/cuda/linear_ring.cuh"
#include "backend/cuda/mma.cuh"

namespace minimax::backend::cuda {

namespace {

// Where a lane finds its part of a stage, in bytes from the stage's begin on.
template <typename L>
struct Lane {
  int warp, column_warp;           // of features, and of columns
  uint32_t weights, x;             // this lane's part of the first rows of a stage's operands
  uint32_t weight_scales, scales;  // of the warp's first tile, and of this lane's first columns
  __device__ explicit Lane(int thread)
      : warp(thread / 32 % L::kFeatureWarps), column_warp(thread / 32 / L::kFeatureWarps) {
    const int group = thread % 32 / 4, quad = thread % 4,
              first_tile = L::kSplit ? warp / 2 * L::kTiles : column_warp;
    weights = operand_at<L::kRowBytes>(warp * L::kM * kFeatures + group, quad);
    x = L::kXOffset + operand_at<L::kXRowBytes>(first_tile * 8 + group, quad);
    weight_scales = L::kScaleOffset + 4 * warp * L::kM;
    scales = L::kScaleOffset + 4 * (kFeatureTiles + first_tile * 8 + quad * 2);
  }
};

// One chain of this warp onto `sum`; `tiles`: of its columns, those in use. Tiles of columns go in groups
// whose products are independent of each other: one alone would wait for the tensor cores' latency.
template <typename L>
__device__ inline void add_chain(const Lane<L>& lane, uint32_t stage, int tiles, bool x_scaled,
                                 float (&sum)[L::kM][L::kWarpTiles][4]) {
  constexpr int kM = L::kM;
  constexpr int kGroup = L::kTiles == 8 ? 2 : L::kTiles < 4 ? L::kTiles : 4;
  Pairs low[kM][2], high[kM][2];
  const auto load_weights = [&](int half) {
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      const uint32_t at =
          ((stage + lane.weights) ^ (half * kHalfBit<L::kRowBytes>)) + m * kFeatures * L::kRowBytes;
      low[m][half] = load_operand<L::kRowBytes, L::kQuantised>(at);
      high[m][half] = load_operand<L::kRowBytes, L::kQuantised>(at + 8 * L::kRowBytes);
    }
  };
  if constexpr (!L::kKept) {  // else there are no registers to keep them
    load_weights(0);
    load_weights(1);
  }
#pragma unroll
  for (int first = 0; first < L::kWarpTiles; first += kGroup) {
    if (first >= tiles) break;
    float d[kM][kGroup][4] = {};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if constexpr (L::kKept) load_weights(half);
      Pairs x[kGroup];
#pragma unroll
      for (int n = 0; n < kGroup; ++n)
        x[n] =
            load_operand<L::kXRowBytes, L::kQuantised>(((stage + lane.x) ^ (half * kHalfBit<L::kXRowBytes>)) +
                                                       (first + n) * L::kColumnWarps * 8 * L::kXRowBytes);
#pragma unroll
      for (int step = 0; step < 4; ++step)
#pragma unroll
        for (int n = 0; n < kGroup; ++n)
#pragma unroll
          for (int m = 0; m < kM; ++m)
            multiply<L::kQuantised>(d[m][n], low[m][half], high[m][half], x[n], step);
    }
#pragma unroll
    for (int n = 0; n < kGroup; ++n) {
      const float2 x_scale =
          x_scaled ? load_float2(stage + lane.scales + 4 * 8 * (first + n) * L::kColumnWarps) : float2{1, 1};
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        const float weight_scale =
            L::kKind == WeightKind::kE4m3 ? load_float(stage + lane.weight_scales + 4 * m) : 1.0f;
        const float factors[2] = {weight_scale * x_scale.x, weight_scale * x_scale.y};
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float& to = sum[m][first + n][e];
          to = __fmaf_rn(d[m][n][e], factors[e % 2], to);
        }
      }
    }
  }
}

// The end of a segment: its sums join the totals. `begins`: it was the first.
template <typename L>
__device__ inline void add_segment(bool begins, float (&sum)[L::kM][L::kWarpTiles][4],
                                   float (&total)[L::kM][L::kWarpTiles][4], float* kept) {
#pragma unroll
  for (int m = 0; m < L::kM; ++m)
#pragma unroll
    for (int n = 0; n < L::kWarpTiles; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if constexpr (L::kKept) {
          float& own = kept[((m * L::kWarpTiles + n) * 4 + e) * L::kThreads + threadIdx.x];
          own = (begins ? 0.0f : own) + sum[m][n][e];
        } else {
          total[m][n][e] += sum[m][n][e];
        }
        sum[m][n][e] = 0;
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
  const auto whole = [&](int feature, int column) {
    float value = 0;
#pragma unroll
    for (int segment = 0; segment < kSegments; ++segment)
      value += partial[(segment * kItemFeatures + feature) * (kColumns + 1) + column];
    return value;
  };
  const int features = item_features(task, kItemFeatures);
  for (int at = threadIdx.x; at < features * item.tile.count; at += kThreads) {
    const int feature = at % features, column = at / features;
    float value = whole(feature, column);
    if (task.swiglu) value = swiglu(value, whole(feature + features, column));
    store(task.outputs[item.output], item.feature + feature, y_row(task, item.tile, column), value);
  }
}

template <WeightKind kKind, bool kQuantised, int kTiles, bool kSplit, bool kDeep>
__global__ void __launch_bounds__((Layout<kKind, kQuantised, kTiles, kSplit, kDeep>::kThreads),
                                  (Layout<kKind, kQuantised, kTiles, kSplit, kDeep>::kCtas))
    linear_kernel(const __grid_constant__ LinearTask task) {
  using L = Layout<kKind, kQuantised, kTiles, kSplit, kDeep>;
  extern __shared__ __align__(256) char shared[];
  const uint32_t ring = kept_shared_address(shared);
  const int thread = kept_thread_index();
  const Lane<L> lane(thread);
  char* const exchange = shared + L::kStages * L::kStageBytes;
  auto* const kept = reinterpret_cast<float*>(exchange + L::kExchangeBytes);  // totals, each thread's own
  const int chains = static_cast<int>(task.outputs[0].weight.scale_cols());
  const int chains_each = chains / L::kChains, segment_chains = chains / segments_of(chains);
  const int tile_items = task.tile_items;
  // The weights of a dense layer are known before what the launch before gives is there; so are experts', if
  // their tiles are.
  const bool dense = task.tiles == nullptr, known = dense || task.tiles_there;
  uint64_t* const stamp = begin_launch(task.starts_late);
  if (!known) wait_for_previous(stamp);
  if (task.starts_late) start_next();
  Loader<L> loader(task, chains, thread);
  const int items = loader.items();
  const int ahead = known ? min(chains_each, L::kStages - 1) : 0;
#pragma unroll 1
  for (int i = 0; i < ahead; ++i) loader.fill_ahead(ring + i * L::kStageBytes, i);
  if (known) {
    if (dense && threadIdx.x == 0 && ahead < chains_each) loader.prefetch_item();
    wait_for_previous(stamp);
  }
#pragma unroll 1
  for (int i = 0; i < L::kStages - 1; ++i) loader.fill(ring + i * L::kStageBytes, i >= ahead);
  const uint32_t last_stage = ring + (L::kStages - 1) * L::kStageBytes;
  const bool x_scaled = task.x_scales != nullptr;
  uint32_t stage = ring;
  for (int index = blockIdx.x; index < items; index += gridDim.x) {
    const Item item =
        item_at<L>(task, index, tile_items, dense ? PartTile{} : task.tiles[index / tile_items]);
    const int used = ((item.tile.count + 7) / 8 + L::kColumnWarps - 1 - lane.column_warp) / L::kColumnWarps;
    float sum[L::kM][L::kWarpTiles][4] = {}, total[L::kM][L::kWarpTiles][4] = {};
    int left = segment_chains;
    bool begins = true;
#pragma unroll 1
    for (int chain = 0; chain < chains_each; ++chain) {
      copies_wait<L::kStages - 2>();
      __syncthreads();
      loader.fill(stage == ring ? last_stage : stage - L::kStageBytes);
      add_chain<L>(lane, stage, used, x_scaled, sum);
      stage = stage == last_stage ? ring : stage + L::kStageBytes;
      if (--left > 0) continue;
      left = segment_chains;
      add_segment<L>(begins, sum, total, kept);
      begins = false;
    }
    if constexpr (L::kKept) {
#pragma unroll
      for (int m = 0; m < L::kM; ++m)
#pragma unroll
        for (int n = 0; n < L::kWarpTiles; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e)
            total[m][n][e] = kept[((m * L::kWarpTiles + n) * 4 + e) * L::kThreads + threadIdx.x];
    }
    if constexpr (kSplit) {
      store_segments<kTiles>(task, item, total, exchange);
    } else if constexpr (L::kWide) {
      if (task.outputs[item.output].y_bf16 != nullptr) {
        store_wide<L>(task, item, total, exchange);
      } else {
        store_totals<L>(task, item, total);
      }
    } else if (task.swiglu) {
      store_swiglu<kTiles, L::kM>(task, item, total, exchange);
    } else {
      store_totals<L>(task, item, total);
    }
  }
}

template <WeightKind kKind, bool kQuantised, int kTiles, bool kSplit, bool kDeep>
void launch(const LinearTask& given, StreamHandle stream) {
  using L = Layout<kKind, kQuantised, kTiles, kSplit, kDeep>;
  constexpr auto kKernel = linear_kernel<kKind, kQuantised, kTiles, kSplit, kDeep>;
  LinearTask task = given;
  task.tile_items = items_a_tile(task, L::kItemFeatures);
  const int ctas_max = ctas_at_once<kKernel>(L::kThreads, L::kSharedBytes);
  const int tiles = task.tiles != nullptr ? task.tile_count_max : (task.rows + L::kColumns - 1) / L::kColumns;
  const int64_t items = int64_t{tiles} * task.tile_items;
  launch_kernel<kKernel>("linear", static_cast<int>(items < ctas_max ? items : ctas_max), L::kThreads,
                         L::kSharedBytes, stream, task);
}

// Whether a CTA of this device may have kSharedBytesRoomy.
bool is_roomy() {
  return once_a_device([](int device) {
           int bytes = 0;
           insist(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
                  "shared memory");
           return bytes >= kSharedBytesRoomy ? 1 : 0;
         }) != 0;
}

// One tile of few columns. `items`: without a split.
template <WeightKind kKind, bool kQuantised, int kTiles>
void choose_narrow(const LinearTask& task, bool can_split, int items, StreamHandle stream) {
  const bool dense = task.tiles == nullptr;
  if (!can_split || (dense && items >= kItemsEnough)) {
    launch<kKind, kQuantised, kTiles, false, false>(task, stream);
  } else if (dense && items * kSegments <= kFewItems && is_roomy()) {
    launch<kKind, kQuantised, kTiles, true, true>(task, stream);
  } else {  // experts' items differ in number from step to step: small ones fill the last round better
    launch<kKind, kQuantised, kTiles, true, false>(task, stream);
  }
}

template <WeightKind kKind, bool kQuantised>
void choose(const LinearTask& task, StreamHandle stream) {
  const bool dense = task.tiles == nullptr;
  const int columns = dense ? task.rows : task.tile_rows;
  const bool can_split = segments_of(static_cast<int>(task.outputs[0].weight.scale_cols())) == kSegments;
  const int items = items_a_tile(task, kFeatureTiles * kFeatures);
  if (columns <= 8) {
    choose_narrow<kKind, kQuantised, 1>(task, can_split, items, stream);
  } else if (columns <= 16) {
    choose_narrow<kKind, kQuantised, 2>(task, can_split, items, stream);
  } else if (dense && can_split && items * ((columns + 63) / 64) <= kFewItems / 2) {
    launch<kKind, kQuantised, 4, true, false>(task, stream);
  } else if (columns <= 32) {
    launch<kKind, kQuantised, 4, false, false>(task, stream);
  } else if (columns <= 64 || (dense && items * ((columns + 127) / 128) < kFewItems) || !is_roomy()) {
    launch<kKind, kQuantised, 8, false, false>(task, stream);
  } else {
    launch<kKind, kQuantised, 16, false, false>(task, stream);
  }
}

}  // namespace

int32_t tile_rows(int64_t parts, int32_t experts) {
  const int64_t each = parts / experts;  // so that few experts have more than a tile
  return each <= 1 ? 8 : each <= 8 ? 16 : each <= 20 ? 32 : each <= 40 || !is_roomy() ? 64 : kWideColumns;
}

GridOrder grid_order(const Matrix& weight, int32_t columns, bool of_experts) {
  // Fewer rows are bound by latencies that the ring hides better.
  constexpr int32_t kDenseRows = 65, kTileRows = 32;
  const bool fits = weight.kind == WeightKind::kE4m3 && weight.packed;
  return fits && columns >= (of_experts ? kTileRows : kDenseRows) && has_linear_wide() ? GridOrder::kFragments
                                                                                       : GridOrder::kCodes;
}

void linear(const LinearTask& task, StreamHandle stream) {
  if (task.rows == 0) return;
  const WeightKind kind = task.outputs[0].weight.kind;
  if (kind == WeightKind::kF32) {
    linear_f32(task, stream);
  } else if (task.order == GridOrder::kFragments) {
    linear_wide(task, stream);
  } else if (kind == WeightKind::kE4m3) {
    if (task.x_scales != nullptr) {
      choose<WeightKind::kE4m3, true>(task, stream);
    } else {
      choose<WeightKind::kE4m3, false>(task, stream);
    }
  } else {
    choose<WeightKind::kBf16, false>(task, stream);
  }
}

}  // namespace minimax::backend::cuda
