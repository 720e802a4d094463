#pragma once
// The ring of linear.cu: how a CTA's shared memory is laid out, what its items of work
// are, the side that fills the ring with cp.async, and what becomes of an item's sums.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/mma.cuh"

namespace minimax::backend::cuda {

constexpr int kFeatures = 16;      // of a tile
constexpr int kFeatureTiles = 8;   // of a CTA and stage
constexpr int kSegments = 4;       // of kSplit
constexpr int kItemsEnough = 264;  // CTAs that H100 holds; below this kSplit, where it can

__host__ __device__ inline int segments_of(int chains) {
  return chains >= 12 && chains % kSegments == 0 ? kSegments : 1;
}

// What one CTA holds. A stage: weights [128 rows][a chain], x [chains][columns][a chain], scales.
template <WeightKind kWeight, int kWidth, bool kSplits>
struct Layout {
  static constexpr WeightKind kKind = kWeight;
  static constexpr int kTiles = kWidth;
  static constexpr bool kSplit = kSplits;
  static constexpr int kElementBytes = kKind == WeightKind::kE4m3 ? 1 : 2;
  static constexpr int kColumns = kTiles * 8;
  // Tiles of features of a warp: two share the reading of x, which bounds wide tiles.
  static constexpr int kM = kTiles > 4 ? 2 : 1;
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
  static constexpr int kCtas = kSplit && kTiles > 2 ? 1 : 2;  // of a multiprocessor
  static constexpr int kBudget = kCtas == 1 ? 146 * 1024 : 104 * 1024;
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
  static constexpr int kColumnSteps = kColumns / kColumnStep;
};

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

// The side of the ring that is filled: a thread's part of the chains of one item after the other.
template <typename L>
class Loader {
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

  // The weights of a chain of the first item, before anything else.
  __device__ void fill_ahead(char* stage, int chain) const {
    if (index_ < items_) fill_weights(stage, chain);
  }

  // The next chain, or nothing after the last item. with_weights: unless fill_ahead has brought them.
  __device__ void fill(char* stage, bool with_weights = true) {
    if (index_ < items_) {
      if (with_weights) fill_weights(stage, chain_);
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
    lead_ = first.weight.lead_cols;
    features_left_ = first.weight.out - item.feature;
    const int64_t offset = item.tile.expert * first.weight.expert_elements() * L::kElementBytes +
                           (item.feature + thread / L::kRowChunks) * row_bytes;
    lower_ = static_cast<const char*>(first.weight.data) + offset;
    upper_ =
        static_cast<const char*>(second.weight.data) + offset + (task_.swiglu ? 0 : L::kRows / 2 * row_bytes);
#pragma unroll
    for (int i = 0; i < L::kColumnSteps; ++i) {
      const int column = thread / L::kXChunks + i * L::kColumnStep;
      x_rows_[i] = column < count_ ? static_cast<int32_t>(x_row(task_, item.tile, column)) : -1;
    }
    scale_ = nullptr;
    if (thread < L::kChains * L::kColumns) {
      const int column = thread % L::kColumns, segment = thread / L::kColumns;
      if (task_.x_scales != nullptr && column < count_)
        scale_ = task_.x_scales + x_row(task_, item.tile, column) * chains_ + segment * chains_each_;
    } else if (L::kKind == WeightKind::kE4m3 && thread >= L::kThreads - kFeatureTiles) {
      const int tile = thread - (L::kThreads - kFeatureTiles);
      const int segment = L::kSplit ? tile / 2 : 0;
      const int local = L::kSplit ? tile % 2 : task_.swiglu ? tile % (kFeatureTiles / 2) : tile;
      const Matrix& w = tile < kFeatureTiles / 2 ? first.weight : second.weight;
      // A tile of 16 features lies in one row of scale blocks.
      const int feature = w.lead_rows + min(item.feature + local * kFeatures, w.out - 1);
      scale_ = w.scales + item.tile.expert * w.expert_scales() + feature / w.block_rows * chains_ +
               segment * chains_each_;
    }
  }

  __device__ void fill_weights(char* to, int chain) const {
    const int chunk = threadIdx.x % L::kRowChunks, first_row = threadIdx.x / L::kRowChunks;
    const int64_t step_bytes = int64_t{L::kRowStep} * in_ * L::kElementBytes;
    constexpr int kCopiesAChain = L::kItemFeatures / L::kRowStep;  // L::kSplit
    constexpr int kHalf = L::kWeightCopies / 2;
#pragma unroll
    for (int i = 0; i < L::kWeightCopies; ++i) {
      const int segment = L::kSplit ? i / kCopiesAChain : 0;
      const int step = L::kSplit ? i % kCopiesAChain : i % kHalf;
      const bool upper = !L::kSplit && i >= kHalf;
      const int k_byte =
          (segment * chains_each_ + chain) * L::kRowBytes + chunk * 16 - lead_ * L::kElementBytes;
      const int feature = first_row + step * L::kRowStep + (upper && !task_.swiglu ? L::kRows / 2 : 0);
      const bool inside = feature < features_left_ && k_byte >= 0 && k_byte < in_ * L::kElementBytes;
      const char* const from = (upper ? upper_ : lower_) + step * step_bytes + k_byte;
      copy_16(to + swizzled<L::kRowBytes>(first_row + i * L::kRowStep, chunk),
              inside ? from : static_cast<const char*>(task_.outputs[0].weight.data), inside);
    }
  }

  __device__ void fill_x(char* to) const {
    const int chunk = threadIdx.x % L::kXChunks, first_column = threadIdx.x / L::kXChunks;
#pragma unroll
    for (int i = 0; i < L::kXCopies; ++i) {
      const int column_step = i % L::kColumnSteps, segment = i / L::kColumnSteps;
      const int32_t row = x_rows_[column_step];
      if (row < 0) continue;  // what the column gives is not stored
      const int k = (segment * chains_each_ + chain_) * kScaleCols + chunk * 8 - lead_;
      const bool inside = k >= 0 && k < in_;
      const int place = segment * L::kColumns + first_column + column_step * L::kColumnStep;
      copy_16(to + swizzled<L::kXRowBytes>(place, chunk), task_.x + int64_t{row} * in_ + (inside ? k : 0),
              inside);
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
  int count_ = 0, in_ = 0, lead_ = 0, features_left_ = 0;
  const char *lower_ = nullptr, *upper_ = nullptr;
  int32_t x_rows_[L::kColumnSteps] = {};
  const float* scale_ = nullptr;
};

__device__ inline void store(const LinearOutput& output, int feature, int64_t row, float value) {
  if (feature >= output.weight.out) return;
  if (output.y_bf16 != nullptr) {
    output.y_bf16[row * output.y_stride + feature] = narrow(value);
  } else {
    output.y_f32[row * output.y_stride + feature] = value;
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

}  // namespace minimax::backend::cuda
