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
#include "backend/cuda/mma.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kFeatures = 16;     // of a tile
constexpr int kFeatureTiles = 8;  // of a CTA and stage
constexpr int kSegments = 4;      // of kSplit
constexpr int kItemsEnough = 264;  // below this kSplit, where it can

__host__ __device__ inline int segments_of(int chains) {
  return chains >= 12 && chains % kSegments == 0 ? kSegments : 1;
}

// What one CTA holds. A stage: weights [128 rows][a chain], x [chains][columns][a chain], scales.
template <WeightKind kKind, int kTiles, bool kSplit>
struct Layout {
  static constexpr int kElementBytes = kKind == WeightKind::kE4m3 ? 1 : 2;
  static constexpr int kColumns = kTiles * 8;
  // Tiles of features of a warp: two share the reading of x, which bounds wide tiles.
  static constexpr int kM = kTiles > 2 ? 2 : 1;
  static constexpr int kWarps = kFeatureTiles / kM;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kChains = kSplit ? kSegments : 1;   // of a stage
  static constexpr int kRows = kFeatureTiles * kFeatures;  // of weights a stage
  static constexpr int kItemFeatures = kRows / kChains;
  static constexpr int kRowBytes = kScaleCols * kElementBytes;
  static constexpr int kXRowBytes = kScaleCols * 2;
  static constexpr int kXOffset = kRows * kRowBytes;
  static constexpr int kScaleOffset = kXOffset + kChains * kColumns * kXRowBytes;
  static constexpr int kStageBytes = kScaleOffset + 4 * (kFeatureTiles + kChains * kColumns);
  static constexpr int kCtas = 2;  // of a multiprocessor
  static constexpr int kBudget = 104 * 1024;
  static constexpr int kStages = kBudget / kStageBytes < 6 ? kBudget / kStageBytes : 6;
  static constexpr int kExchangeBytes = kSplit ? kRows * (kColumns + 1) * 4 : kRows / 2 * (kColumns + 2) * 2;
  static constexpr int kSharedBytes = kStages * kStageBytes + kExchangeBytes;
  static_assert(kStages >= 2 && kStageBytes % 16 == 0);
  // 16-byte copies of a thread.
  static constexpr int kRowChunks = kRowBytes / 16;
  static constexpr int kRowStep = kThreads / kRowChunks;
  static constexpr int kWeightCopies = kRows / kRowStep;
  static constexpr int kXChunks = kXRowBytes / 16;
  static constexpr int kColumnStep = kThreads / kXChunks;
  static constexpr int kXCopies = kChains * kColumns / kColumnStep;
  static_assert(!kSplit || kColumns == kColumnStep);
};

template <WeightKind kKind>
__device__ inline Pairs load_weight(const char* base, int row, int half, int quad) {
  if constexpr (kKind == WeightKind::kBf16) {
    return load_bf16(base, row, half * 8 + quad * 2);
  } else {
    const uint4 codes = *reinterpret_cast<const uint4*>(base + swizzled<128>(row, half * 4 + quad));
    const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
    Pairs out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out.pair[2 * i] = widen_e4m3(__byte_perm(words[i], 0, 0x1404));
      out.pair[2 * i + 1] = widen_e4m3(__byte_perm(words[i], 0, 0x3424));
    }
    return out;
  }
}

struct Item {
  PartTile tile;
  int output;
  int feature;  // the first
};

// Features of an item: with swiglu half of its weights are the gate's, half up's.
__host__ __device__ inline int item_features(const LinearTask& task, int features) {
  return task.swiglu ? features / 2 : features;
}
__host__ __device__ inline int items_of(int out, int features) {
  return (out + features - 1) / features;
}
__host__ __device__ inline int items_a_tile(const LinearTask& task, int features) {
  const int each = item_features(task, features);
  int items = 0;
  for (int i = 0; i < (task.swiglu ? 1 : task.output_count); ++i)
    items += items_of(task.outputs[i].weight.out, each);
  return items;
}

// Items of dense weights go through all tiles of columns before the next features: the weights come from L2
// then. Experts' tiles have weights of their own.
template <typename L>
__device__ inline Item item_at(const LinearTask& task, int index, int tile_items) {
  Item item{};
  if (task.tiles != nullptr) {
    item.tile = task.tiles[index / tile_items];
    item.feature = index % tile_items;
  } else {
    const int tiles = (task.rows + L::kColumns - 1) / L::kColumns;
    item.tile.begin = index % tiles * L::kColumns;
    item.tile.count = min(L::kColumns, task.rows - item.tile.begin);
    item.feature = index / tiles;
  }
  const int each = item_features(task, L::kItemFeatures);
  while (!task.swiglu && item.feature >= items_of(task.outputs[item.output].weight.out, each))
    item.feature -= items_of(task.outputs[item.output++].weight.out, each);
  item.feature *= each;
  return item;
}

__device__ inline int64_t x_row(const LinearTask& task, const PartTile& tile, int column) {
  const int at = tile.begin + column;
  return task.tiles == nullptr ? at : task.parts[at] / task.x_divisor;
}
__device__ inline int64_t y_row(const LinearTask& task, const PartTile& tile, int column) {
  const int at = tile.begin + column;
  return task.tiles == nullptr ? at : task.parts[at];
}

__device__ inline void store(const LinearOutput& output, int feature, int64_t row, float value) {
  if (feature >= output.weight.out) return;
  if (output.y_bf16 != nullptr) {
    output.y_bf16[row * output.y_stride + feature] = narrow(value);
  } else {
    output.y_f32[row * output.y_stride + feature] = value;
  }
}

// The side of the ring that is filled: a thread's part of the chains of one item after the other.
template <WeightKind kKind, int kTiles, bool kSplit>
class Loader {
  using L = Layout<kKind, kTiles, kSplit>;

 public:
  __device__ Loader(const LinearTask& task, int items, int tile_items, int chains)
      : task_(task),
        items_(items),
        tile_items_(tile_items),
        chains_(chains),
        chains_each_(chains / L::kChains),
        index_(static_cast<int>(blockIdx.x)) {
    if (index_ < items_) start_item();
  }

  // The next chain, or nothing after the last item.
  __device__ void fill(char* stage) {
    if (index_ < items_) {
      fill_weights(stage);
      fill_x(stage + L::kXOffset);
      fill_scales(stage + L::kScaleOffset);
      if (++chain_ == chains_each_) {
        chain_ = 0;
        index_ += gridDim.x;
        if (index_ < items_) start_item();
      }
    }
    copies_commit();
  }

 private:
  __device__ void start_item() {
    const int thread = threadIdx.x;
    const Item item = item_at<L>(task_, index_, tile_items_);
    count_ = item.tile.count;
    const LinearOutput& first = task_.outputs[item.output];
    const LinearOutput& second = task_.outputs[task_.swiglu ? 1 : item.output];
    const int64_t row_bytes = int64_t{first.weight.in} * L::kElementBytes;
    in_ = first.weight.in;
    features_left_ = first.weight.out - item.feature;
    const int64_t offset = item.tile.expert * first.weight.expert_elements() * L::kElementBytes +
                           (item.feature + thread / L::kRowChunks) * row_bytes;
    lower_ = static_cast<const char*>(first.weight.data) + offset;
    upper_ =
        static_cast<const char*>(second.weight.data) + offset + (task_.swiglu ? 0 : L::kRows / 2 * row_bytes);
#pragma unroll
    for (int i = 0; i < (kSplit ? 1 : L::kXCopies); ++i) {
      const int column = thread / L::kXChunks + i * L::kColumnStep;
      x_rows_[i] = column < count_ ? static_cast<int32_t>(x_row(task_, item.tile, column)) : -1;
    }
    scale_ = nullptr;
    if (thread < L::kChains * L::kColumns) {
      const int column = thread % L::kColumns, segment = thread / L::kColumns;
      if (task_.x_scales != nullptr && column < count_)
        scale_ = task_.x_scales + x_row(task_, item.tile, column) * chains_ + segment * chains_each_;
    } else if (kKind == WeightKind::kE4m3 && thread >= L::kThreads - kFeatureTiles) {
      const int tile = thread - (L::kThreads - kFeatureTiles);
      const int segment = kSplit ? tile / 2 : 0;
      const int local = kSplit ? tile % 2 : task_.swiglu ? tile % (kFeatureTiles / 2) : tile;
      const Matrix& w = tile < kFeatureTiles / 2 ? first.weight : second.weight;
      // A tile of 16 features lies in one row of scale blocks.
      const int feature = min(item.feature + local * kFeatures, w.out - 1);
      scale_ = w.scales + item.tile.expert * w.expert_scales() + feature / w.block_rows * chains_ +
               segment * chains_each_;
    }
  }

  __device__ void fill_weights(char* to) const {
    const int chunk = threadIdx.x % L::kRowChunks, first_row = threadIdx.x / L::kRowChunks;
    const int64_t step_bytes = int64_t{L::kRowStep} * in_ * L::kElementBytes;
    constexpr int kCopiesAChain = L::kItemFeatures / L::kRowStep;  // kSplit
    constexpr int kHalf = L::kWeightCopies / 2;
#pragma unroll
    for (int i = 0; i < L::kWeightCopies; ++i) {
      const int segment = kSplit ? i / kCopiesAChain : 0;
      const int step = kSplit ? i % kCopiesAChain : i % kHalf;
      const bool upper = !kSplit && i >= kHalf;
      const int k_byte = (segment * chains_each_ + chain_) * L::kRowBytes + chunk * 16;
      const int feature = first_row + step * L::kRowStep + (upper && !task_.swiglu ? L::kRows / 2 : 0);
      const bool inside = feature < features_left_ && k_byte < in_ * L::kElementBytes;
      const char* const from = (upper ? upper_ : lower_) + step * step_bytes + k_byte;
      copy_16(to + swizzled<L::kRowBytes>(first_row + i * L::kRowStep, chunk),
              inside ? from : static_cast<const char*>(task_.outputs[0].weight.data), inside);
    }
  }

  __device__ void fill_x(char* to) const {
    const int chunk = threadIdx.x % L::kXChunks, first_column = threadIdx.x / L::kXChunks;
#pragma unroll
    for (int i = 0; i < L::kXCopies; ++i) {
      const int32_t row = x_rows_[kSplit ? 0 : i];
      if (row < 0) continue;  // what the column gives is not stored
      const int k = ((kSplit ? i * chains_each_ : 0) + chain_) * kScaleCols + chunk * 8;
      copy_16(to + swizzled<L::kXRowBytes>(first_column + i * L::kColumnStep, chunk),
              task_.x + int64_t{row} * in_ + (k < in_ ? k : 0), k < in_);
    }
  }

  __device__ void fill_scales(char* to) const {
    if (scale_ == nullptr) return;
    const int thread = threadIdx.x;
    const int first_tile = L::kThreads - kFeatureTiles;
    const int place = thread >= first_tile ? thread - first_tile : kFeatureTiles + thread;
    copy_4(to + place * 4, scale_ + chain_);
  }

  const LinearTask& task_;
  const int items_, tile_items_, chains_, chains_each_;
  int index_, chain_ = 0;
  int count_ = 0, in_ = 0, features_left_ = 0;
  const char *lower_ = nullptr, *upper_ = nullptr;
  int32_t x_rows_[kSplit ? 1 : L::kXCopies] = {};
  const float* scale_ = nullptr;
};

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

// A warp's totals to y.
template <int kTiles, int kM>
__device__ inline void store_totals(const LinearTask& task, const Item& item,
                                    const float (&total)[kM][kTiles][4]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const LinearOutput& output = task.outputs[item.output];
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = n * 8 + quad * 2 + i;
      if (column >= item.tile.count) continue;
      const int64_t row = y_row(task, item.tile, column);
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int high = 0; high < 2; ++high)
          store(output, item.feature + (warp * kM + m) * kFeatures + group + high * 8, row,
                total[m][n][high * 2 + i]);
    }
}

// silu(gate) * up: the upper warps meet the gates of the lower ones in shared memory.
template <int kTiles, int kM>
__device__ inline void store_swiglu(const LinearTask& task, const Item& item,
                                    const float (&total)[kM][kTiles][4], char* exchange) {
  constexpr int kStride = kTiles * 8 + 2, kWarps = kFeatureTiles / kM;
  auto* const gates = reinterpret_cast<uint16_t*>(exchange);  // [features][columns]
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const int local = warp % (kWarps / 2) * kM * kFeatures + group;
  const bool is_gate = warp < kWarps / 2;
  const LinearOutput& output = task.outputs[0];
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (is_gate)
          gates[(local + m * kFeatures + e / 2 * 8) * kStride + n * 8 + quad * 2 + e % 2] =
              narrow(total[m][n][e]);
  __syncthreads();
  if (is_gate) return;
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = n * 8 + quad * 2 + i;
      if (column >= item.tile.count) continue;
      const int64_t row = y_row(task, item.tile, column);
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int high = 0; high < 2; ++high) {
          const int feature = local + m * kFeatures + high * 8;
          const float gate = widen(gates[feature * kStride + column]);
          const float up = widen(narrow(total[m][n][high * 2 + i]));
          store(output, item.feature + feature, row, gate / (1.0f + expf(-gate)) * up);
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
  wait_for_previous();
  using L = Layout<kKind, kTiles, kSplit>;
  extern __shared__ __align__(16) char shared[];
  char* const exchange = shared + L::kStages * L::kStageBytes;
  const int chains = static_cast<int>(task.outputs[0].weight.scale_cols());
  const int chains_each = chains / L::kChains, segment_chains = chains / segments_of(chains);
  const int tile_items = items_a_tile(task, L::kItemFeatures);
  const int tiles = task.tiles != nullptr ? *task.tile_count : (task.rows + L::kColumns - 1) / L::kColumns;
  const int items = tiles * tile_items;
  Loader<kKind, kTiles, kSplit> loader(task, items, tile_items, chains);
#pragma unroll 1
  for (int i = 0; i < L::kStages - 1; ++i) loader.fill(shared + i * L::kStageBytes);
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
  static const int ctas_max =
      ctas_at_once(linear_kernel<kKind, kTiles, kSplit>, L::kThreads, L::kSharedBytes);
  const int tiles = task.tiles != nullptr ? task.tile_count_max : (task.rows + L::kColumns - 1) / L::kColumns;
  const int64_t items = int64_t{tiles} * items_a_tile(task, L::kItemFeatures);
  launch_kernel<linear_kernel<kKind, kTiles, kSplit>>("linear",
                                                      static_cast<int>(items < ctas_max ? items : ctas_max),
                                                      L::kThreads, L::kSharedBytes, stream, task);
}

template <WeightKind kKind>
void choose(const LinearTask& task, StreamHandle stream) {
  const int columns = task.tiles != nullptr ? task.tile_rows : task.rows;
  const bool can_split =
      !task.swiglu && segments_of(static_cast<int>(task.outputs[0].weight.scale_cols())) == kSegments;
  if (columns > 16) {
    launch<kKind, 8, false>(task, stream);
  } else if (can_split && task.tiles == nullptr &&
             items_a_tile(task, kFeatureTiles * kFeatures) < kItemsEnough) {
    launch<kKind, 2, true>(task, stream);
  } else {
    launch<kKind, 2, false>(task, stream);
  }
}

}  // namespace

int32_t tile_rows(int64_t parts, int32_t experts) {
  return parts <= int64_t{8} * experts ? 16 : 64;
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
