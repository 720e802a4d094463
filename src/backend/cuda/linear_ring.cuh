#pragma once
// The ring of linear.cu: how a CTA's shared memory is laid out, what its items of work
// are, the side that fills the ring with cp.async, and what becomes of an item's sums.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/mma.cuh"

namespace minimax::backend::cuda {

constexpr int kFeatures = kTileRows;  // of a tile
constexpr int kFeatureTiles = 8;      // of a CTA and stage
constexpr int kSegments = 4;          // of kSplit
constexpr int kItemsEnough = 264;     // CTAs that H100 holds; below this kSplit, where it can
constexpr int kFewItems = 132;        // of kSplit: one a multiprocessor
constexpr int kSharedBytesRoomy =
    226 * 1024;  // of a CTA, for the deep and the widest layouts; Ampere has less

__host__ __device__ inline int segments_of(int chains) {
  return chains >= 12 && chains % kSegments == 0 ? kSegments : 1;
}

// What one CTA holds. A stage: weights [128 rows][a chain], x [chains][columns][a chain], scales. kQuantised:
// x is e4m3, else bf16. kDeep: all of an item under way at once, for launches of few items.
template <WeightKind kWeight, bool kQuantises, int kWidth, bool kSplits, bool kDeep>
struct Layout {
  static constexpr WeightKind kKind = kWeight;
  static constexpr bool kQuantised = kQuantises;
  static constexpr int kTiles = kWidth;
  static constexpr bool kSplit = kSplits;
  static constexpr int kElementBytes = kKind == WeightKind::kE4m3 ? 1 : 2;
  static constexpr int kXElementBytes = kQuantised ? 1 : 2;
  static constexpr int kColumns = kTiles * 8;
  // Tiles of features of a warp: two share the reading of x, which bounds wide tiles. The widest are two
  // warps', in turns of 8 columns.
  static constexpr int kM = kTiles > 4 ? 2 : 1;
  static constexpr int kColumnWarps = kTiles > 8 ? 2 : 1;
  static constexpr int kWarpTiles = kTiles / kColumnWarps;
  static constexpr int kFeatureWarps = kFeatureTiles / kM;
  static constexpr int kThreads = kFeatureWarps * kColumnWarps * 32;
  static constexpr int kChains = kSplit ? kSegments : 1;   // of a stage
  static constexpr int kRows = kFeatureTiles * kFeatures;  // of weights a stage
  static constexpr int kItemFeatures = kRows / kChains;
  static constexpr int kRowBytes = kScaleCols * kElementBytes;
  static constexpr int kXRowBytes = kScaleCols * kXElementBytes;
  static constexpr int kXRows = kChains * kColumns;
  static constexpr int kXOffset = kRows * kRowBytes;
  static constexpr int kScaleOffset = kXOffset + kXRows * kXRowBytes;
  static constexpr int kStageBytes = (kScaleOffset + 4 * (kFeatureTiles + kXRows) + 255) / 256 * 256;
  static constexpr int kCtas = kDeep || kTiles > 8 || (kSplit && kTiles > 2) ? 1 : 2;  // of a multiprocessor
  static constexpr int kBudget = kDeep        ? 204 * 1024
                                 : kTiles > 8 ? 140 * 1024
                                 : kCtas == 1 ? 146 * 1024
                                              : 104 * 1024;
  // More bytes on the way than that were slower where many items are short: docs/decisions/009.
  static constexpr int kStagesMax = kSplit && !kDeep ? 3 : 6;
  static constexpr int kStages = kBudget / kStageBytes < kStagesMax ? kBudget / kStageBytes : kStagesMax;
  // Wide tiles leave their results by rows of features, kPassColumns at a time; the widest keep their totals
  // in shared memory.
  static constexpr bool kWide = kTiles > 4, kKept = kTiles > 8;
  static constexpr int kPassColumns = 32;
  static constexpr int kPassStride = kRows + 8;
  static constexpr int kExchangeBytes = kSplit  ? kRows * (kColumns + 1) * 4
                                        : kWide ? kPassColumns * kPassStride * 2
                                                : kRows / 2 * (kColumns + 2) * 2;
  static constexpr int kTotalBytes = kKept ? kM * kWarpTiles * 4 * kThreads * 4 : 0;
  static constexpr int kSharedBytes = kStages * kStageBytes + kExchangeBytes + kTotalBytes;
  static_assert(kStages >= 2 && kStageBytes % 256 == 0 && kSharedBytes <= kSharedBytesRoomy / kCtas);
  // 16-byte copies of a thread.
  static constexpr int kRowChunks = kRowBytes / 16;
  static constexpr int kRowStep = kThreads / kRowChunks;
  static constexpr int kWeightCopies = kRows / kRowStep;
  static constexpr int kXChunks = kXRowBytes / 16;
  static constexpr int kXStep = kThreads / kXChunks;
  static constexpr int kXCopies = (kXRows + kXStep - 1) / kXStep;
  static constexpr int kColumnSteps = kColumns > kXStep ? kColumns / kXStep : 1;
  // Whether there are registers for what the next item is.
  static constexpr bool kLooksAhead = kTiles <= 4;
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
inline int items_a_tile(const LinearTask& task, int features) {
  const int each = item_features(task, features);
  int items = 0;
  for (int i = 0; i < (task.swiglu ? 1 : task.output_count); ++i)
    items += items_of(task.outputs[i].weight.out, each);
  return items;
}

// Items of dense weights go through all tiles of columns before the next features: the weights come from L2
// then. Experts' tiles have weights of their own; `tile`: the item's.
template <typename L>
__device__ inline Item item_at(const LinearTask& task, int index, int tile_items, const PartTile& tile) {
  Item item{};
  if (task.tiles != nullptr) {
    item.tile = tile;
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

__device__ inline int64_t y_row(const LinearTask& task, const PartTile& tile, int column) {
  const int at = tile.begin + column;
  return task.tiles == nullptr ? at : task.parts[at];
}

// Where a lane's values of a row of an operand lie, from the operand's begin on; the other half of K is where
// bit kHalfBit is turned.
template <int kRowBytes>
__device__ inline uint32_t operand_at(int row, int quad) {
  return swizzled<kRowBytes>(row, kRowBytes == 128 ? quad : quad * 2);
}
template <int kRowBytes>
constexpr uint32_t kHalfBit = kRowBytes / 2;

// A lane's values of half of K: of bf16, or of e4m3 as f16 (kAsHalf) or bf16. Operands begin at multiples of
// 256 bytes.
template <int kRowBytes, bool kAsHalf>
__device__ inline Pairs load_operand(uint32_t at) {
  if constexpr (kRowBytes == 256) {
    const uint4 a = load_16(at), b = load_16(at ^ 16);
    return {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
  } else {
    const uint4 codes = load_16(at);
    const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
    Pairs out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (kAsHalf) {
        widen_e4m3(words[i], out.pair[2 * i], out.pair[2 * i + 1]);
      } else {
        out.pair[2 * i] = widen_e4m3(__byte_perm(words[i], 0, 0x1404));
        out.pair[2 * i + 1] = widen_e4m3(__byte_perm(words[i], 0, 0x3424));
      }
    }
    return out;
  }
}

// The side of the ring that is filled: a thread's part of the chains of one item after the other.
template <typename L>
class Loader {
 public:
  // Experts' tiles are read here: up to three, beside their number.
  __device__ Loader(const LinearTask& task, int chains, int thread)
      : task_(task),
        thread_(thread),
        tile_items_(task.tile_items),
        chains_(chains),
        chains_each_(chains / L::kChains),
        index_(static_cast<int>(blockIdx.x)),
        weights_to_(swizzled<L::kRowBytes>(thread / L::kRowChunks, thread % L::kRowChunks)),
        x_to_(L::kXOffset + swizzled<L::kXRowBytes>(thread / L::kXChunks, thread % L::kXChunks)) {
    // All copies of a thread are swizzled alike.
    static_assert(L::kRowStep % 2 == 0 && L::kXStep % 2 == 0);
    const int first_scale_tile = L::kThreads - kFeatureTiles;
    scales_to_ = L::kScaleOffset +
                 4 * (thread >= first_scale_tile ? thread - first_scale_tile : kFeatureTiles + thread);
    if (task.tiles == nullptr) {
      items_ = (task.rows + L::kColumns - 1) / L::kColumns * tile_items_;
    } else {
      const int32_t count = __ldcg(task.tile_count);
      tile_ = tile_at(index_);
      if constexpr (L::kLooksAhead) {
        next_ = tile_at(index_ + static_cast<int>(gridDim.x));
        later_ = tile_at(index_ + 2 * static_cast<int>(gridDim.x));
      }
      items_ = count * tile_items_;
      if (index_ < items_) load_rows(tile_);
    }
    if (index_ < items_) start_item();
  }
  __device__ int items() const { return items_; }

  // To L2: the weights of the first item, whose rows lie one after the other. For one thread, the first.
  __device__ void prefetch_item() const {
    if (index_ >= items_ || !plain_) return;
    const int64_t row_bytes = int64_t{in_} * L::kElementBytes;
    prefetch_l2(lower_, row_bytes * min(features_left_, L::kItemFeatures));
  }

  // The weights of a chain of the first item, before anything else.
  __device__ void fill_ahead(uint32_t stage, int chain) const {
    if (index_ < items_) fill_weights(stage, chain);
  }

  // The next chain, or nothing after the last item. with_weights: unless fill_ahead has brought them.
  __device__ void fill(uint32_t stage, bool with_weights = true) {
    if (index_ < items_) {
      if (with_weights) fill_weights(stage, chain_);
      fill_x(stage);
      if (scale_ != nullptr) copy_4(stage + scales_to_, scale_ + chain_);
      if (++chain_ == chains_each_) {
        chain_ = 0;
        index_ += gridDim.x;
        if (index_ < items_) {
          if (!L::kLooksAhead && task_.tiles != nullptr) {
            tile_ = tile_at(index_);
            load_rows(tile_);
          }
          start_item();
        }
      }
    }
    copies_commit();
  }

 private:
  __device__ PartTile tile_at(int index) const {
    const int tile = min(index / tile_items_, task_.tile_count_max - 1);
    const int4 bits = __ldcg(reinterpret_cast<const int4*>(task_.tiles) + tile);
    return {bits.x, bits.y, bits.z};
  }
  // Of this thread's i-th copy of x.
  __device__ int column_of(int i) const { return (thread_ / L::kXChunks + i * L::kXStep) % L::kColumns; }
  __device__ int32_t part_at(const PartTile& tile, int column) const {
    return column < tile.count ? __ldcg(task_.parts + tile.begin + column) : 0;
  }
  __device__ void load_rows(const PartTile& tile) {
#pragma unroll
    for (int i = 0; i < L::kColumnSteps; ++i) parts_[i] = part_at(tile, column_of(i));
    scale_part_ = part_at(tile, thread_ % L::kColumns);
  }

  // Takes what was loaded of the item's tile, and asks for the next ones'.
  __device__ void start_item() {
    const int thread = thread_;
    const bool dense = task_.tiles == nullptr;
    const Item item = item_at<L>(task_, index_, tile_items_, tile_);
    const int count = item.tile.count;
    const LinearOutput& first = task_.outputs[item.output];
    const LinearOutput& second = task_.outputs[task_.swiglu ? 1 : item.output];
    const int64_t row_bytes = int64_t{first.weight.in} * L::kElementBytes;
    in_ = first.weight.in;
    lead_ = first.weight.lead_cols;
    features_left_ = first.weight.out - item.feature;
    const int first_row = thread / L::kRowChunks;
    const bool packed = first.weight.packed;
    chain_bytes_ = packed ? kFeatures * L::kRowBytes : L::kRowBytes;
    const int cut = lead_ * L::kElementBytes, x_cut = lead_ * L::kXElementBytes;
    plain_ = lead_ == 0 && in_ % kScaleCols == 0 && features_left_ >= item_features(task_, L::kItemFeatures);
    const auto place = [&](const Matrix& w, int row) {
      const int64_t feature = item.feature + row;
      const int64_t at =
          packed ? feature / kFeatures * kFeatures * row_bytes + feature % kFeatures * L::kRowBytes
                 : feature * row_bytes;
      const int chunk =
          thread % L::kRowChunks ^ (packed ? (row & 1) * 4 : 0);  // items begin at even features
      return static_cast<const char*>(w.data) + item.tile.expert * w.expert_elements() * L::kElementBytes +
             at + chunk * 16 - cut;
    };
    if (!L::kSplit) {
      lower_ = place(first.weight, first_row);
      upper_ = place(second.weight, first_row + (task_.swiglu ? 0 : L::kRows / 2));
    } else {  // with swiglu the second tile of features of a segment is up's
      const bool is_up = task_.swiglu && first_row >= kFeatures;
      lower_ = is_up ? place(second.weight, first_row - kFeatures) : place(first.weight, first_row);
      upper_ = place(second.weight, first_row);
    }
#pragma unroll
    for (int i = 0; i < L::kColumnSteps; ++i) {
      const int column = column_of(i);
      const int64_t row = dense ? item.tile.begin + column : parts_[i] / task_.x_divisor;
      x_from_[i] = column >= count ? nullptr
                                   : static_cast<const char*>(task_.x) + row * in_ * L::kXElementBytes +
                                         thread % L::kXChunks * 16 - x_cut;
    }
    scale_ = nullptr;
    if (thread < L::kXRows) {
      const int column = thread % L::kColumns, segment = thread / L::kColumns;
      const int64_t row = dense ? item.tile.begin + column : scale_part_ / task_.x_divisor;
      if (task_.x_scales != nullptr && column < count)
        scale_ = task_.x_scales + row * chains_ + segment * chains_each_;
    } else if (L::kKind == WeightKind::kE4m3 && thread >= L::kThreads - kFeatureTiles) {
      const int tile = thread - (L::kThreads - kFeatureTiles);
      const int segment = L::kSplit ? tile / 2 : 0;
      const int gates = L::kSplit ? 1 : kFeatureTiles / 2;  // tiles of a segment that are the gate's
      const int in_segment = L::kSplit ? tile % 2 : tile;
      const int local = task_.swiglu ? in_segment % gates : in_segment;
      const Matrix& w = in_segment < gates ? first.weight : second.weight;
      // A tile of 16 features lies in one row of scale blocks.
      const int feature = w.lead_rows + min(item.feature + local * kFeatures, w.out - 1);
      scale_ = w.scales + item.tile.expert * w.expert_scales() + feature / w.block_rows * chains_ +
               segment * chains_each_;
    }
    if (L::kLooksAhead && !dense) {
      const int step = static_cast<int>(gridDim.x);
      tile_ = next_;
      next_ = later_;
      if (index_ + step < items_) load_rows(tile_);
      if (index_ + 2 * step < items_) later_ = tile_at(index_ + 3 * step);
    }
  }

  __device__ void fill_weights(uint32_t stage, int chain) const {
    const int step_bytes = L::kRowStep * in_ * L::kElementBytes, segment_bytes = chains_each_ * chain_bytes_;
    constexpr int kCopiesAChain = L::kItemFeatures / L::kRowStep;  // L::kSplit
    constexpr int kHalf = L::kWeightCopies / 2;
    const uint32_t to = stage + weights_to_;
    const char *const lower = lower_ + chain * chain_bytes_, *const upper = upper_ + chain * chain_bytes_;
#pragma unroll
    for (int i = 0; i < L::kWeightCopies; ++i) {
      const int segment = L::kSplit ? i / kCopiesAChain : 0;
      const int step = L::kSplit ? i % kCopiesAChain : i % kHalf;
      const bool is_upper = L::kSplit ? step * L::kRowStep >= kFeatures && task_.swiglu : i >= kHalf;
      const int64_t at = segment * segment_bytes + (is_upper && L::kSplit ? 0 : step * step_bytes);
      const char* const from = (is_upper ? upper : lower) + at;
      if (plain_) {
        copy_16(to + i * L::kRowStep * L::kRowBytes, from);
        continue;
      }
      const int k_byte = (segment * chains_each_ + chain) * L::kRowBytes + thread_ % L::kRowChunks * 16 -
                         lead_ * L::kElementBytes;
      int feature = thread_ / L::kRowChunks + step * L::kRowStep;
      if (L::kSplit && task_.swiglu) feature %= kFeatures;
      if (!L::kSplit && is_upper && !task_.swiglu) feature += L::kRows / 2;
      const bool inside = feature < features_left_ && k_byte >= 0 && k_byte < in_ * L::kElementBytes;
      copy_16(to + i * L::kRowStep * L::kRowBytes,
              inside ? from : static_cast<const char*>(task_.outputs[0].weight.data), inside);
    }
  }

  __device__ void fill_x(uint32_t stage) const {
    const int first = thread_ / L::kXChunks;
#pragma unroll
    for (int i = 0; i < L::kXCopies; ++i) {
      if (L::kXRows % L::kXStep != 0 && first + i * L::kXStep >= L::kXRows) break;
      const char* const row = x_from_[i % L::kColumnSteps];
      if (row == nullptr) continue;  // what the column gives is not stored
      const int segment = L::kSplit ? (first + i * L::kXStep) / L::kColumns : 0;
      const int at = (segment * chains_each_ + chain_) * L::kXRowBytes;
      const uint32_t to = stage + x_to_ + i * L::kXStep * L::kXRowBytes;
      if (plain_) {
        copy_16(to, row + at);
        continue;
      }
      const int k_byte = at + thread_ % L::kXChunks * 16 - lead_ * L::kXElementBytes;
      const bool inside = k_byte >= 0 && k_byte < in_ * L::kXElementBytes;
      copy_16(to, inside ? row + at : static_cast<const char*>(task_.x), inside);
    }
  }

  const LinearTask& task_;
  const int thread_, tile_items_, chains_, chains_each_;
  int items_ = 0, index_, chain_ = 0;
  const uint32_t weights_to_, x_to_;  // of this thread's first copies, in a stage
  uint32_t scales_to_ = 0;
  bool plain_ = false;                           // no slice and no edge cuts what this item copies
  PartTile tile_ = {}, next_ = {}, later_ = {};  // of the item to start, and of those after it
  int32_t parts_[L::kColumnSteps] = {};          // of tile_: the columns of this thread's copies
  int32_t scale_part_ = 0;
  int in_ = 0, lead_ = 0, features_left_ = 0, chain_bytes_ = 0;
  const char *lower_ = nullptr, *upper_ = nullptr;
  const char* x_from_[L::kColumnSteps] = {};  // nullptr: no such column
  const float* scale_ = nullptr;
};

__device__ inline float swiglu(float gate_sum, float up_sum) {
  const float gate = widen(narrow(gate_sum)), up = widen(narrow(up_sum));
  return gate / (1.0f + expf(-gate)) * up;
}

// Of two bf16 values each.
__device__ inline uint32_t swiglu_pair(uint32_t gates, uint32_t ups) {
  return narrow_pair(swiglu(widen_low(gates), widen_low(ups)), swiglu(widen_high(gates), widen_high(ups)));
}

__device__ inline void store(const LinearOutput& output, int feature, int64_t row, float value) {
  if (feature >= output.weight.out) return;
  if (output.y_bf16 != nullptr) {
    output.y_bf16[row * output.y_stride + feature] = narrow(value);
  } else {
    output.y_f32[row * output.y_stride + feature] = value;
  }
}

// A warp's totals to y.
template <typename L>
__device__ inline void store_totals(const LinearTask& task, const Item& item,
                                    const float (&total)[L::kM][L::kWarpTiles][4]) {
  constexpr int kM = L::kM;
  const int warp = threadIdx.x / 32 % L::kFeatureWarps, column_warp = threadIdx.x / 32 / L::kFeatureWarps;
  const int lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const LinearOutput& output = task.outputs[item.output];
#pragma unroll
  for (int n = 0; n < L::kWarpTiles; ++n)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = (n * L::kColumnWarps + column_warp) * 8 + quad * 2 + i;
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

// The same with swiglu: the upper warps meet the gates of the lower ones in shared memory.
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
          store(output, item.feature + feature, row,
                swiglu(widen(gates[feature * kStride + column]), total[m][n][high * 2 + i]));
        }
    }
}

// The same for wide tiles, with or without swiglu: through shared memory to rows of features, 16 bytes a
// store.
template <typename L>
__device__ inline void store_wide(const LinearTask& task, const Item& item,
                                  const float (&total)[L::kM][L::kWarpTiles][4], char* exchange) {
  constexpr int kPassTiles = L::kPassColumns / 8, kPasses = L::kTiles / kPassTiles;
  auto* const values = reinterpret_cast<uint16_t*>(exchange);  // [columns][kPassStride]
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const int first_feature = warp % L::kFeatureWarps * L::kM * kFeatures + group;
  const LinearOutput& output = task.outputs[item.output];
  const int features = item_features(task, L::kItemFeatures), chunks = features / 8;
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    if (pass * L::kPassColumns >= item.tile.count) break;
    __syncthreads();  // the former pass is read
#pragma unroll
    for (int n = 0; n < kPassTiles / L::kColumnWarps; ++n)
#pragma unroll
      for (int m = 0; m < L::kM; ++m)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          values[((n * L::kColumnWarps + warp / L::kFeatureWarps) * 8 + quad * 2 + e % 2) * L::kPassStride +
                 first_feature + m * kFeatures + e / 2 * 8] =
              narrow(total[m][pass * kPassTiles / L::kColumnWarps + n][e]);
    __syncthreads();
    for (int at = threadIdx.x; at < L::kPassColumns * chunks; at += L::kThreads) {
      const int column = at / chunks, feature = at % chunks * 8;
      if (pass * L::kPassColumns + column >= item.tile.count || item.feature + feature >= output.weight.out)
        continue;
      const auto* const from = values + column * L::kPassStride + feature;
      uint4 bits = *reinterpret_cast<const uint4*>(from);
      if (task.swiglu) {
        const uint4 ups = *reinterpret_cast<const uint4*>(from + features);
        bits = {swiglu_pair(bits.x, ups.x), swiglu_pair(bits.y, ups.y), swiglu_pair(bits.z, ups.z),
                swiglu_pair(bits.w, ups.w)};
      }
      const int64_t row = y_row(task, item.tile, pass * L::kPassColumns + column);
      *reinterpret_cast<uint4*>(output.y_bf16 + row * output.y_stride + item.feature + feature) = bits;
    }
  }
}

}  // namespace minimax::backend::cuda
