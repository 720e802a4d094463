// linear() for many rows on Hopper: the same tree of sums as linear.cu, by wgmma.
//
// Weights are the M operand, widened from e4m3 to f16 in registers; rows of x the N operand, f16 values of
// e4m3 read by descriptor from shared memory. f16 products and their sums over a chain have the bits of
// mma.sync (mma.cuh), so rows may come here or go to the ring from step to step.
//
// A CTA is a warpgroup that copies and two that multiply, 64 features each. Items of work (a tile of columns,
// 128 rows of weights) pass through a ring of kStages chains; the copying side is ahead across items, and
// leaves in a table what each item is. Reads each weight once per tile of columns, and a tile of x once per
// 128 features. Bound: memory up to about 64 rows a tile, tensor cores beyond.

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

constexpr int kRows = 128;  // of weights of an item
constexpr int kStages = 4;
constexpr int kCopiers = 128, kMultipliers = 256, kWideThreads = kCopiers + kMultipliers;

// A stage: weights [128 rows][a chain], x [half of the chain][columns][64], scales [8 tiles of
// features][columns].
constexpr int kWeightBytes = kRows * kScaleCols;
constexpr int kXHalfBytes = kWideColumns * 128;
constexpr int kScaleOffset = kWeightBytes + 2 * kXHalfBytes;
constexpr int kStageBytes = (kScaleOffset + 4 * (kFeatureTiles + kWideColumns) + 1023) / 1024 * 1024;
// Results on their way to rows of y.
constexpr int kStagedStride = kRows + 8;
constexpr int kStagedBytes = kWideColumns * kStagedStride * 2;

// What an item is, for those who multiply. As many as may be between the copying of one and the end of
// another: a ring of chains, and one item at each end.
struct WideItem {
  int32_t count;    // of columns
  int32_t feature;  // the first
  int32_t output;
  int32_t unused;
  int32_t y_row[kWideColumns];
  int32_t x_row[kWideColumns];
};
constexpr int kItems = 8;
static_assert(kItems >= kStages + 3);

constexpr int kStagedOffset = kStages * kStageBytes;
constexpr int kItemOffset = kStagedOffset + kStagedBytes;
constexpr int kBarrierOffset = kItemOffset + kItems * static_cast<int>(sizeof(WideItem));
constexpr int kWideSharedBytes = kBarrierOffset + 2 * kStages * 8;
static_assert(kWideSharedBytes <= kSharedBytesRoomy && kItemOffset % 16 == 0 && kBarrierOffset % 8 == 0);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kTiles = kWideColumns / 8;
constexpr int kPieceBytes = kTileRows * kScaleCols;  // of weights that lie together
// Together at most what the launch reserves for kWideThreads: setmaxnreg waits for registers that never come.
constexpr int kCopierRegisters = 56, kMultiplierRegisters = 224;
static_assert(kCopiers * kCopierRegisters + kMultipliers * kMultiplierRegisters <=
              65536 / kWideThreads / 8 * 8 * kWideThreads);

__device__ inline void barrier_init(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ inline void barrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory");
}
// Arrives, and has the barrier wait for `bytes` of bulk copies.
__device__ inline void barrier_expect(uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// Arrives when this thread's copies of 16 and 4 bytes are there.
__device__ inline void barrier_arrive_after_copies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];\n" ::"r"(barrier) : "memory");
}
__device__ inline void barrier_wait(uint32_t barrier, uint32_t parity) {
  uint32_t done = 0;
  while (done == 0)
    asm volatile(
        "{\n.reg .pred done;\nmbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n}\n"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
}
__device__ inline void copy_bulk(uint32_t to, const void* from, int bytes, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
}
// Of the threads of one side alone.
template <int kId, int kThreads>
__device__ inline void side_sync() {
  asm volatile("bar.sync %0, %1;\n" ::"n"(kId), "n"(kThreads) : "memory");
}
__device__ inline void copiers_sync() {
  side_sync<1, kCopiers>();
}
__device__ inline void multipliers_sync() {
  side_sync<2, kMultipliers>();
}

// The ring: where the next stage is, and which turn it is in.
struct Turn {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};
struct Ring {
  uint32_t base, full, empty;  // stages, and their barriers
  __device__ uint32_t at(int stage) const { return base + stage * kStageBytes; }
  __device__ uint32_t full_at(int stage) const { return full + stage * 8; }
  __device__ uint32_t empty_at(int stage) const { return empty + stage * 8; }
};

__device__ inline int tiles_of(const LinearTask& task) {
  return (task.rows + task.tile_rows - 1) / task.tile_rows;
}

// The side that copies.
__device__ inline void copy_items(const LinearTask& task, const Ring& ring, WideItem* items, int item_count,
                                  int chains) {
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const bool dense = task.tiles == nullptr;
  const int step = static_cast<int>(gridDim.x), tile_items = task.tile_items;
  const int dense_tiles = dense ? tiles_of(task) : 1;
  const int in = task.outputs[0].weight.in, each = item_features(task, kRows);
  const auto tile_at = [&](int index) {
    if (dense) {
      const int begin = index % dense_tiles * task.tile_rows;
      return PartTile{0, begin, min(task.tile_rows, task.rows - begin)};
    }
    const int tile = min(index / tile_items, task.tile_count_max - 1);
    const int4 bits = __ldcg(reinterpret_cast<const int4*>(task.tiles) + tile);
    return PartTile{bits.x, bits.y, bits.z};
  };
  const auto part_at = [&](const PartTile& tile) {
    if (dense) return tile.begin + thread;
    return thread < tile.count ? __ldcg(task.parts + tile.begin + thread) : 0;
  };
  int index = static_cast<int>(blockIdx.x);
  if (index >= item_count) return;
  PartTile tile = tile_at(index), next = tile_at(index + step);
  int32_t part = part_at(tile);
  // This thread's 16 bytes of every eighth row of x.
  const int first_row = thread / 16, chunk = thread % 16;
  const uint32_t x_to =
      kWeightBytes + chunk / 8 * kXHalfBytes + first_row * 128 + (chunk % 8 ^ first_row) * 16;
  Turn turn;
  for (int n = 0; index < item_count; ++n, index += step) {
    WideItem& item = items[n % kItems];
    int feature = dense ? index / dense_tiles : index % tile_items, output = 0;
    while (!task.swiglu && feature >= items_of(task.outputs[output].weight.out, each))
      feature -= items_of(task.outputs[output++].weight.out, each);
    feature *= each;
    const int32_t x_row = dense ? part : part / task.x_divisor;
    if (thread < kWideColumns) {
      item.y_row[thread] = part;
      item.x_row[thread] = x_row;
    }
    if (thread == 0) {
      item.count = tile.count;
      item.feature = feature;
      item.output = output;
    }
    copiers_sync();
    // Weights: a lane of the first warp a piece of 16 features, with swiglu half of them up's.
    const LinearOutput& first = task.outputs[output];
    const int own = lane % kFeatureTiles, gates = task.swiglu ? kFeatureTiles / 2 : kFeatureTiles;
    const Matrix& weight = own < gates ? first.weight : task.outputs[1].weight;
    const int own_feature = feature + own % gates * kFeatures;
    const bool there = lane < kFeatureTiles && own_feature < weight.out;
    const char* const weights = static_cast<const char*>(weight.data) +
                                tile.expert * weight.expert_elements() + int64_t{own_feature} * in;
    const int bytes = __popc(__ballot_sync(0xFFFFFFFFu, there)) * kPieceBytes;
    // Scales: of a column of x, or of a piece of weights.
    const float* scales = nullptr;
    if (thread < tile.count) scales = task.x_scales + int64_t{x_row} * chains;
    if (warp == 3 && there)
      scales = weight.scales + tile.expert * weight.expert_scales() +
               int64_t{(weight.lead_rows + own_feature) / weight.block_rows} * chains;
    const uint32_t scale_to = kScaleOffset + 4 * (warp == 3 ? lane : kFeatureTiles + thread);
    const int count = tile.count;
    // What comes after it is asked for.
    tile = next;
    if (index + step < item_count) {
      part = part_at(tile);
      next = tile_at(index + 2 * step);
    }
    for (int chain = 0; chain < chains; ++chain) {
      const uint32_t stage = ring.at(turn.stage), full = ring.full_at(turn.stage);
      barrier_wait(ring.empty_at(turn.stage), turn.parity ^ 1);
      if (warp == 0) {
        if (lane == 0) barrier_expect(full, bytes);
        __syncwarp();
        if (there)
          copy_bulk(stage + own * kPieceBytes, weights + int64_t{chain} * kPieceBytes, kPieceBytes, full);
      }
      const char* const x = static_cast<const char*>(task.x) + chain * kScaleCols * 2 + chunk * 16;
#pragma unroll 4
      for (int row = first_row; row < count; row += kCopiers / 16)
        copy_16(stage + x_to + (row - first_row) * 128, x + int64_t{item.x_row[row]} * in * 2);
      if (scales != nullptr) copy_4(stage + scale_to, scales + chain);
      barrier_arrive_after_copies(full);
      turn.next();
    }
  }
}

// One chain of 64 features onto `sum`, kUsed tiles of columns.
template <int kUsed>
__device__ inline void add_chain(uint32_t stage, uint32_t weights, uint32_t weight_scale, uint32_t scales,
                                 float (&sum)[kTiles][4]) {
  Pairs low[2], high[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint32_t at = (stage + weights) ^ (half * kHalfBit<kScaleCols>);
    low[half] = load_operand<kScaleCols, true>(at);
    high[half] = load_operand<kScaleCols, true>(at + 8 * kScaleCols);
  }
  const uint64_t columns = operand_descriptor(stage + kWeightBytes);
  float d[kUsed][4];
  products_begin();
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const uint32_t a[4] = {low[half].pair[2 * step], high[half].pair[2 * step],
                             low[half].pair[2 * step + 1], high[half].pair[2 * step + 1]};
      multiply_wide<kUsed>(d, a, columns + (half * kXHalfBytes + step * 32) / 16, half + step > 0);
    }
  const float weight_factor = load_float(stage + weight_scale);
  products_wait();
#pragma unroll
  for (int n = 0; n < kUsed; ++n) {
    const float2 x_scale = load_float2(stage + scales + 4 * 8 * n);
    const float factors[2] = {weight_factor * x_scale.x, weight_factor * x_scale.y};
#pragma unroll
    for (int e = 0; e < 4; ++e) sum[n][e] = __fmaf_rn(d[n][e], factors[e % 2], sum[n][e]);
  }
}

// Totals of an item to y: bf16 through shared memory to whole rows of features, fp32 as they are.
__device__ inline void store_item(const LinearTask& task, const WideItem& item, int thread,
                                  const float (&total)[kTiles][4], uint16_t* staged) {
  const int warp = thread / 32, lane = thread % 32, group = lane / 4, quad = lane % 4;
  const LinearOutput& output = task.outputs[item.output];
  const int count = item.count, feature = warp * kFeatures + group;
  if (output.y_bf16 == nullptr) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = n * 8 + quad * 2 + e % 2;
        if (column < count)
          store(output, item.feature + feature + e / 2 * 8, item.y_row[column], total[n][e]);
      }
    return;
  }
  multipliers_sync();  // what was staged before is read
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    if (n * 8 >= count) break;
#pragma unroll
    for (int e = 0; e < 4; ++e)
      staged[(n * 8 + quad * 2 + e % 2) * kStagedStride + feature + e / 2 * 8] = narrow(total[n][e]);
  }
  multipliers_sync();
  const int features = item_features(task, kRows), chunks = features / 8;
  for (int at = thread; at < count * chunks; at += kMultipliers) {
    const int column = at / chunks, first = at % chunks * 8;
    if (item.feature + first >= output.weight.out) continue;
    const uint16_t* const from = staged + column * kStagedStride + first;
    uint4 bits = *reinterpret_cast<const uint4*>(from);
    if (task.swiglu) {
      const uint4 ups = *reinterpret_cast<const uint4*>(from + features);
      bits = {swiglu_pair(bits.x, ups.x), swiglu_pair(bits.y, ups.y), swiglu_pair(bits.z, ups.z),
              swiglu_pair(bits.w, ups.w)};
    }
    *reinterpret_cast<uint4*>(output.y_bf16 + int64_t{item.y_row[column]} * output.y_stride + item.feature +
                              first) = bits;
  }
}

// The side that multiplies. `thread`: of the side.
__device__ inline void multiply_items(const LinearTask& task, const Ring& ring, const WideItem* items,
                                      int item_count, int chains, int thread, uint16_t* staged) {
  const int warp = thread / 32, lane = thread % 32, group = lane / 4, quad = lane % 4;
  const uint32_t weights = operand_at<kScaleCols>(warp * kFeatures + group, quad);
  const uint32_t weight_scale = kScaleOffset + 4 * warp;
  const uint32_t scales = kScaleOffset + 4 * (kFeatureTiles + quad * 2);
  const int segment_chains = chains / segments_of(chains);
  Turn turn;
  for (int n = 0, index = static_cast<int>(blockIdx.x); index < item_count; ++n, index += gridDim.x) {
    const WideItem& item = items[n % kItems];
    float sum[kTiles][4] = {}, total[kTiles][4] = {};
    int left = segment_chains, used = 0;
#pragma unroll 1
    for (int chain = 0; chain < chains; ++chain) {
      const uint32_t stage = ring.at(turn.stage);
      barrier_wait(ring.full_at(turn.stage), turn.parity);
      fence_for_products();
      if (chain == 0) used = item.count;
      if (used <= 32) {
        add_chain<4>(stage, weights, weight_scale, scales, sum);
      } else if (used <= 64) {
        add_chain<8>(stage, weights, weight_scale, scales, sum);
      } else {
        add_chain<12>(stage, weights, weight_scale, scales, sum);
      }
      __syncwarp();
      if (lane == 0) barrier_arrive(ring.empty_at(turn.stage));
      turn.next();
      if (--left > 0) continue;
      left = segment_chains;
#pragma unroll
      for (int i = 0; i < kTiles; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          total[i][e] += sum[i][e];
          sum[i][e] = 0;
        }
    }
    store_item(task, item, thread, total, staged);
  }
}
#endif

__global__ void __launch_bounds__(kWideThreads, 1)
    linear_wide_kernel(const __grid_constant__ LinearTask task) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) char shared[];
  const Ring ring{shared_address(shared), shared_address(shared) + kBarrierOffset,
                  shared_address(shared) + kBarrierOffset + kStages * 8};
  auto* const items = reinterpret_cast<WideItem*>(shared + kItemOffset);
  uint64_t* const stamp = begin_launch(task.starts_late);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(ring.full_at(stage), kCopiers + 1);
      barrier_init(ring.empty_at(stage), kMultipliers / 32);
    }
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
    fence_for_products();
  }
  __syncthreads();
  wait_for_previous(stamp);
  if (task.starts_late) start_next();
  const int tiles = task.tiles == nullptr ? tiles_of(task) : __ldcg(task.tile_count);
  const int item_count = tiles * task.tile_items, chains = task.outputs[0].weight.in / kScaleCols;
  if (threadIdx.x < kCopiers) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kCopierRegisters));
    copy_items(task, ring, items, item_count, chains);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kMultiplierRegisters));
    multiply_items(task, ring, items, item_count, chains, static_cast<int>(threadIdx.x) - kCopiers,
                   reinterpret_cast<uint16_t*>(shared + kStagedOffset));
  }
#endif
}

// Columns of a tile of `rows` dense rows: few, while every processor has an item of its own at most.
int dense_columns(int rows, int items, int processors) {
  for (int columns = 32; columns < kWideColumns; columns += 32)
    if (items * ((rows + columns - 1) / columns) <= processors) return columns;
  return kWideColumns;
}

}  // namespace

bool has_linear_wide() {
  return waits_for_previous<linear_wide_kernel>();  // code for Hopper, where its shared memory fits too
}

void linear_wide(const LinearTask& given, StreamHandle stream) {
  LinearTask task = given;
  const int processors = ctas_at_once<linear_wide_kernel>(kWideThreads, kWideSharedBytes);
  task.tile_items = items_a_tile(task, kRows);
  if (task.tiles == nullptr) task.tile_rows = dense_columns(task.rows, task.tile_items, processors);
  const int tiles =
      task.tiles != nullptr ? task.tile_count_max : (task.rows + task.tile_rows - 1) / task.tile_rows;
  const int64_t items = int64_t{tiles} * task.tile_items;
  launch_kernel<linear_wide_kernel>("linear", static_cast<int>(items < processors ? items : processors),
                                    kWideThreads, kWideSharedBytes, stream, task);
}

}  // namespace minimax::backend::cuda
