// y = x W^T on the tensor cores, for every row count with one tree of sums.
//
// Mapping: weights are the M operand (16 features a warp), rows of x the N operand (kTiles * 8 columns), so
// an element of y never meets another row. mma.sync m16n8k16 bf16; e4m3 weights and quantised activations
// are widened to bf16, which is exact. K is permuted inside 64 columns: lane t of a quad owns the 16 columns
// from t * 16 on, for both operands, so each lane reads 16 bytes at once and no shuffle is needed.
//
// CTAs are persistent and walk over items (a tile of columns, a range of features). Chains of K = 128 of
// weights and x pass through a ring in shared memory filled by cp.async, which runs ahead across the items:
// the loads of the next item are under way while the last chains of this one are multiplied.
//
// Two forms of the same tree: kSplit gives the 4 segments of K to 4 of the 8 warps each (few features: more
// items), else the 8 warps take 8 tiles of features and run the segments one after the other.
//
// Reads each weight once per tile of columns. Bound: memory for few rows, shared memory for many.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kFeatures = 16;      // of a warp
constexpr int kSegments = 4;       // of kSplit
constexpr int kItemsEnough = 264;  // below this kSplit, where it can

__host__ __device__ inline int segments_of(int chains) {
  return chains >= 12 && chains % kSegments == 0 ? kSegments : 1;
}

// What one CTA holds. A stage: weights [128 rows][a chain], x [chains][columns][a chain], scales.
template <WeightKind kKind, int kTiles, bool kSplit>
struct Layout {
  static constexpr int kElementBytes = kKind == WeightKind::kE4m3 ? 1 : 2;
  static constexpr int kColumns = kTiles * 8;
  static constexpr int kChains = kSplit ? kSegments : 1;  // of a stage
  static constexpr int kRows = kWarps * kFeatures;        // of weights a stage
  static constexpr int kItemFeatures = kRows / kChains;
  static constexpr int kRowBytes = kScaleCols * kElementBytes;
  static constexpr int kXRowBytes = kScaleCols * 2;
  static constexpr int kXOffset = kRows * kRowBytes;
  static constexpr int kScaleOffset = kXOffset + kChains * kColumns * kXRowBytes;
  static constexpr int kStageBytes = kScaleOffset + 4 * (kWarps + kChains * kColumns);
  static constexpr int kCtas = kTiles > 2 ? 1 : 2;  // of a multiprocessor
  static constexpr int kBudget = kTiles > 2 ? 150 * 1024 : 104 * 1024;
  static constexpr int kStages = kBudget / kStageBytes < 6 ? kBudget / kStageBytes : 6;
  static constexpr int kExchangeBytes = kSplit ? kRows * (kColumns + 1) * 4 : kRows / 2 * (kColumns + 2) * 2;
  static constexpr int kSharedBytes = kStages * kStageBytes + kExchangeBytes;
  static_assert(kStages >= 2 && kStageBytes % 16 == 0);
  // 16-byte copies of a thread.
  static constexpr int kRowChunks = kRowBytes / 16;
  static constexpr int kRowStep = kThreads / kRowChunks;
  static constexpr int kWeightCopies = kRows / kRowStep;
  static constexpr int kXChunks = kXRowBytes / 16;
  static constexpr int kXCopies = kChains * kColumns * kXChunks / kThreads;
  static_assert(kThreads / kXChunks == 16 && (!kSplit || kColumns == 16));
};

// Where chunk `chunk` of row `row` lies, so that the 8 lanes that read at once meet 8 different banks of 16
// bytes: a quad reads every chunk of half a row of 8 chunks, or every other of half a row of 16.
template <int kRowBytes>
__device__ inline int swizzled(int row, int chunk) {
  return row * kRowBytes + (chunk ^ (kRowBytes == 128 ? (row & 1) * 4 : row & 1)) * 16;
}

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
// Zeros instead of what lies at `from` where it is not `inside`.
__device__ inline void copy_16(char* to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from),
               "r"(inside ? 16 : 0)
               : "memory");
}
__device__ inline void copy_4(char* to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n" ::"r"(shared_address(to)), "l"(from) : "memory");
}
__device__ inline void copies_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
template <int kPending>
__device__ inline void copies_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

// A lane's 16 consecutive values as 8 pairs of bf16.
struct Pairs {
  uint32_t pair[8];
};

__device__ inline Pairs load_bf16(const char* base, int row, int chunk) {
  const uint4 a = *reinterpret_cast<const uint4*>(base + swizzled<256>(row, chunk));
  const uint4 b = *reinterpret_cast<const uint4*>(base + swizzled<256>(row, chunk + 1));
  return {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
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

__device__ inline void multiply(float (&d)[4], const Pairs& low, const Pairs& high, const Pairs& x,
                                int step) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(low.pair[2 * step]), "r"(high.pair[2 * step]), "r"(low.pair[2 * step + 1]),
        "r"(high.pair[2 * step + 1]), "r"(x.pair[2 * step]), "r"(x.pair[2 * step + 1]));
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
      const int column = thread / L::kXChunks + i * 16;
      x_[i] = column < count_ ? task_.x + x_row(task_, item.tile, column) * in_ : nullptr;
    }
    scale_ = nullptr;
    if (thread < L::kChains * L::kColumns) {
      const int column = thread % L::kColumns, segment = thread / L::kColumns;
      if (task_.x_scales != nullptr && column < count_)
        scale_ = task_.x_scales + x_row(task_, item.tile, column) * chains_ + segment * chains_each_;
    } else if (kKind == WeightKind::kE4m3 && thread >= kThreads - kWarps) {
      const int warp = thread - (kThreads - kWarps);
      const int segment = kSplit ? warp / 2 : 0;
      const int local = kSplit ? warp % 2 : task_.swiglu ? warp % (kWarps / 2) : warp;
      const Matrix& w = warp < kWarps / 2 ? first.weight : second.weight;
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
      const uint16_t* const row = x_[kSplit ? 0 : i];
      if (row == nullptr) continue;  // what the column gives is not stored
      const int k = ((kSplit ? i * chains_each_ : 0) + chain_) * kScaleCols + chunk * 8;
      copy_16(to + swizzled<L::kXRowBytes>(first_column + i * 16, chunk), k < in_ ? row + k : row, k < in_);
    }
  }

  __device__ void fill_scales(char* to) const {
    if (scale_ == nullptr) return;
    const int thread = threadIdx.x;
    const int place = thread >= kThreads - kWarps ? thread - (kThreads - kWarps) : kWarps + thread;
    copy_4(to + place * 4, scale_ + chain_);
  }

  const LinearTask& task_;
  const int items_, tile_items_, chains_, chains_each_;
  int index_, chain_ = 0;
  int count_ = 0, in_ = 0, features_left_ = 0;
  const char *lower_ = nullptr, *upper_ = nullptr;
  const uint16_t* x_[kSplit ? 1 : L::kXCopies] = {};
  const float* scale_ = nullptr;
};

// One chain of this warp onto `sum`.
template <WeightKind kKind, int kTiles, bool kSplit>
__device__ inline void add_chain(const char* stage, int tiles, bool x_scaled, float (&sum)[kTiles][4]) {
  using L = Layout<kKind, kTiles, kSplit>;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const int chain = kSplit ? warp / 2 : 0;
  float d[kTiles][4] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Pairs low = load_weight<kKind>(stage, warp * kFeatures + group, half, quad);
    const Pairs high = load_weight<kKind>(stage, warp * kFeatures + group + 8, half, quad);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (n >= tiles) break;
      const Pairs x =
          load_bf16(stage + L::kXOffset, chain * L::kColumns + n * 8 + group, half * 8 + quad * 2);
#pragma unroll
      for (int step = 0; step < 4; ++step) multiply(d[n], low, high, x, step);
    }
  }
  const float* const scales = reinterpret_cast<const float*>(stage + L::kScaleOffset);
  const float weight_scale = kKind == WeightKind::kE4m3 ? scales[warp] : 1.0f;
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    if (n >= tiles) break;
    float scale[2] = {weight_scale, weight_scale};
    if (x_scaled) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        scale[i] = weight_scale * scales[kWarps + chain * L::kColumns + n * 8 + quad * 2 + i];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[n][i] = __fmaf_rn(d[n][i], scale[i % 2], sum[n][i]);
  }
}

// A warp's totals to y.
template <int kTiles>
__device__ inline void store_totals(const LinearTask& task, const Item& item,
                                    const float (&total)[kTiles][4]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const LinearOutput& output = task.outputs[item.output];
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = n * 8 + quad * 2 + i % 2;
      if (column < item.tile.count)
        store(output, item.feature + warp * kFeatures + group + i / 2 * 8, y_row(task, item.tile, column),
              total[n][i]);
    }
}

// silu(gate) * up: the upper warps meet the gates of the lower ones in shared memory.
template <int kTiles>
__device__ inline void store_swiglu(const LinearTask& task, const Item& item, const float (&total)[kTiles][4],
                                    char* exchange) {
  constexpr int kStride = kTiles * 8 + 2;
  auto* const gates = reinterpret_cast<uint16_t*>(exchange);  // [features][columns]
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const int local = warp % (kWarps / 2) * kFeatures + group;
  const bool is_gate = warp < kWarps / 2;
  const LinearOutput& output = task.outputs[0];
  if (is_gate) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        gates[(local + i / 2 * 8) * kStride + n * 8 + quad * 2 + i % 2] = narrow(total[n][i]);
  }
  __syncthreads();
  if (is_gate) return;
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = n * 8 + quad * 2 + i % 2;
      if (column >= item.tile.count) continue;
      const float gate = widen(gates[(local + i / 2 * 8) * kStride + column]);
      const float up = widen(narrow(total[n][i]));
      store(output, item.feature + local + i / 2 * 8, y_row(task, item.tile, column),
            gate / (1.0f + expf(-gate)) * up);
    }
}

// The four segments of a feature, one warp each, in order.
template <int kTiles>
__device__ inline void store_segments(const LinearTask& task, const Item& item,
                                      const float (&total)[kTiles][4], char* exchange) {
  constexpr int kColumns = kTiles * 8, kItemFeatures = kWarps * kFeatures / kSegments;
  auto* const partial = reinterpret_cast<float*>(exchange);  // [segment, feature][columns + 1]
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      partial[(warp * kFeatures + group + i / 2 * 8) * (kColumns + 1) + n * 8 + quad * 2 + i % 2] =
          total[n][i];
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
__global__ void __launch_bounds__(kThreads, (Layout<kKind, kTiles, kSplit>::kCtas))
    linear_kernel(const __grid_constant__ LinearTask task) {
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
    float sum[kTiles][4] = {}, total[kTiles][4] = {};
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
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          total[n][i] += sum[n][i];
          sum[n][i] = 0;
        }
    }
    if constexpr (kSplit) {
      store_segments<kTiles>(task, item, total, exchange);
    } else if (task.swiglu) {
      store_swiglu<kTiles>(task, item, total, exchange);
    } else {
      store_totals<kTiles>(task, item, total);
    }
  }
}

// fp32 weights, for the router: a warp a feature and 8 rows, 4 columns a lane at a time.
constexpr int kF32Rows = 8;

__global__ void __launch_bounds__(kThreads) linear_f32_kernel(const LinearTask task) {
  const LinearOutput& output = task.outputs[0];
  const Matrix& w = output.weight;
  const int lane = threadIdx.x % 32;
  const int feature = blockIdx.x * kWarps + threadIdx.x / 32, row_begin = blockIdx.y * kF32Rows;
  if (feature >= w.out) return;
  const float* const weights = static_cast<const float*>(w.data) + int64_t{feature} * w.in;
  float sum[kF32Rows] = {};
  for (int k = lane * 4; k < w.in; k += 128) {
    const float4 a = __ldg(reinterpret_cast<const float4*>(weights + k));
#pragma unroll
    for (int r = 0; r < kF32Rows; ++r) {
      if (row_begin + r >= task.rows) continue;
      const uint2 x = __ldg(reinterpret_cast<const uint2*>(task.x + int64_t{row_begin + r} * w.in + k));
      sum[r] = __fmaf_rn(a.x, widen_low(x.x), sum[r]);
      sum[r] = __fmaf_rn(a.y, widen_high(x.x), sum[r]);
      sum[r] = __fmaf_rn(a.z, widen_low(x.y), sum[r]);
      sum[r] = __fmaf_rn(a.w, widen_high(x.y), sum[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kF32Rows; ++r) {
    float value = sum[r];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
    if (lane == 0 && row_begin + r < task.rows) store(output, feature, row_begin + r, value);
  }
}

template <WeightKind kKind, int kTiles, bool kSplit>
void launch(const LinearTask& task, StreamHandle stream) {
  using L = Layout<kKind, kTiles, kSplit>;
  static const int ctas_max = ctas_at_once(linear_kernel<kKind, kTiles, kSplit>, kThreads, L::kSharedBytes);
  const int tiles = task.tiles != nullptr ? task.tile_count_max : (task.rows + L::kColumns - 1) / L::kColumns;
  const int64_t items = int64_t{tiles} * items_a_tile(task, L::kItemFeatures);
  linear_kernel<kKind, kTiles, kSplit>
      <<<static_cast<int>(items < ctas_max ? items : ctas_max), kThreads, L::kSharedBytes, stream>>>(task);
  insist_launched("linear");
}

template <WeightKind kKind>
void choose(const LinearTask& task, StreamHandle stream) {
  const int columns = task.tiles != nullptr ? task.tile_rows : task.rows;
  const bool can_split =
      !task.swiglu && segments_of(static_cast<int>(task.outputs[0].weight.scale_cols())) == kSegments;
  if (columns > 16) {
    launch<kKind, 8, false>(task, stream);
  } else if (can_split && task.tiles == nullptr && items_a_tile(task, kWarps * kFeatures) < kItemsEnough) {
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
    const dim3 grid((task.outputs[0].weight.out + kWarps - 1) / kWarps,
                    (task.rows + kF32Rows - 1) / kF32Rows);
    linear_f32_kernel<<<grid, kThreads, 0, stream>>>(task);
    insist_launched("linear_f32");
  } else if (kind == WeightKind::kE4m3) {
    choose<WeightKind::kE4m3>(task, stream);
  } else {
    choose<WeightKind::kBf16>(task, stream);
  }
}

}  // namespace minimax::backend::cuda
