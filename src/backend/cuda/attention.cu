// Causal attention over paged K and V, one tree of sums for decode and prefill.
//
// softmax(q k / sqrt(head_dim)) v by leaves of 128 keys at absolute positions. A leaf alone gives its
// largest score m (rounded up to an integer in the log2 domain, so rescaling is by powers of two and exact),
// l = sum of 2^(s - m) and O = sum of 2^(s - m) v; a row is the left fold of its leaves. Whether one CTA
// folds them or a second kernel does changes no bit.
//
// Mapping: a CTA of 4 warps a (tile of rows, KV head[, leaf]); kQueries (row, query head) pairs share each
// load. Scores: keys are the M operand (32 a warp), queries the N operand. O: dims are the M operand (32 a
// warp), queries N. So a query never meets another one. mma.sync m16n8k16 bf16: q, K and V are bf16, products
// exact, sums fp32; a share 2^(s - m) is the exact sum of three bf16 terms, so it is not rounded either.
// Bound: memory for few rows, tensor cores for many; reads K and V of a leaf once per tile.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/mma.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kNarrowQueries = 8;
constexpr int kWideQueries = 32;
constexpr int kTerms = 3;
constexpr float kLog2E = 1.44269504088896340736f;
static_assert(kThreads == kHeadDim && kThreads == kLeafKeys);

constexpr int kRowBytes = kHeadDim * 2;
constexpr int kChunks = kRowBytes / 16;
constexpr int kTileBytes = kLeafKeys * kRowBytes;  // K or V of a leaf
constexpr int kShareStride = kLeafKeys + 8;        // of a query's shares: 8 lanes meet 8 banks
template <int kQueries>
constexpr int kSharedBytes = 2 * kTileBytes + kQueries* kRowBytes;
// The shares take the place of K.
static_assert(kTerms * kWideQueries * kShareStride * 2 <= kTileBytes);

// Folding a leaf (m, l) onto a running one: what to scale both by.
struct Fold {
  float m, run, leaf;
};
__device__ inline Fold fold_of(float m_run, float m_leaf) {
  if (m_leaf == -INFINITY) return {m_run, 1.0f, 0.0f};
  const float m = fmaxf(m_run, m_leaf);
  return {m, m_run == -INFINITY ? 0.0f : pow2(m_run - m), pow2(m_leaf - m)};
}

// V's chunks: 8 keys' rows are read at once.
__device__ inline int v_place(int key, int chunk) {
  return key * kRowBytes + (chunk ^ (key & 7)) * 16;
}

// A of the sums over keys: 16 dims from `dim` on, 16 keys from `key` on.
__device__ inline void load_v(const char* v, int key, int dim, uint32_t (&a)[4]) {
  const int lane = threadIdx.x % 32, matrix = lane / 8;
  const uint32_t at = shared_address(v + v_place(key + matrix / 2 * 8 + lane % 8, dim / 8 + matrix % 2));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(at)
               : "memory");
}

// The rows of q, zeros where the tile has no more.
template <int kQueries>
__device__ inline void copy_queries(const AttentionTask& task, const RowTile& tile, int kv_head, int heads,
                                    char* q) {
  const int chunk = threadIdx.x % kChunks;
  for (int j = threadIdx.x / kChunks; j < kQueries; j += kThreads / kChunks) {
    const bool inside = j < tile.count * heads;
    const int64_t row = tile.row + (inside ? j / heads : 0),
                  head = kv_head * heads + (inside ? j % heads : 0);
    copy_16(q + swizzled<kRowBytes>(j, chunk), task.q + (row * task.q_heads + head) * kHeadDim + chunk * 8,
            inside);
  }
}

// K or V of a leaf's keys from `begin` to `end`; zeros from its `keys` on.
template <bool kIsV>
__device__ inline void copy_leaf(const uint16_t* base, const int64_t* key_at, int begin, int end, int keys,
                                 char* to) {
  const int chunk = threadIdx.x % kChunks;
#pragma unroll 4
  for (int key = threadIdx.x / kChunks; key < end; key += kThreads / kChunks)
    if (key >= begin)
      copy_16(to + (kIsV ? v_place(key, chunk) : swizzled<kRowBytes>(key, chunk)),
              base + key_at[key] + chunk * 8, key < keys);
  copies_commit();
}

// Scores of this warp's 32 keys: s[i][n] is a fragment of keys i * 16, queries n * 8.
template <int kTiles>
__device__ inline void multiply_scores(const char* k, const char* q, int used, float (&s)[2][kTiles][4]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int chunk = half * 8 + quad * 2;
    Pairs low[2], high[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      low[i] = load_pairs(k, warp * 32 + i * 16 + group, chunk);
      high[i] = load_pairs(k, warp * 32 + i * 16 + group + 8, chunk);
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (n >= used) break;
      const Pairs x = load_pairs(q, n * 8 + group, chunk);
#pragma unroll
      for (int step = 0; step < 4; ++step)
#pragma unroll
        for (int i = 0; i < 2; ++i) multiply(s[i][n], low[i], high[i], x, step);
    }
  }
}

// O of this warp's 32 dims: own[i][n] is a fragment of dims i * 16, queries n * 8.
template <int kTiles>
__device__ inline void multiply_shares(const char* v, const uint16_t* shares, int used,
                                       float (&own)[2][kTiles][4]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
#pragma unroll 2
  for (int key = 0; key < kLeafKeys; key += 16) {
    uint32_t a[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) load_v(v, key, warp * 32 + i * 16, a[i]);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (n >= used) break;
#pragma unroll
      for (int term = 0; term < kTerms; ++term) {
        const uint16_t* const at =
            shares + (term * kTiles * 8 + n * 8 + group) * kShareStride + key + quad * 2;
        const uint32_t b0 = *reinterpret_cast<const uint32_t*>(at);
        const uint32_t b1 = *reinterpret_cast<const uint32_t*>(at + 8);
#pragma unroll
        for (int i = 0; i < 2; ++i) multiply(own[i][n], a[i], b0, b1);
      }
    }
  }
}

template <int kQueries>
__global__ void __launch_bounds__(kThreads, 3) attention_kernel(const __grid_constant__ AttentionTask task) {
  uint64_t* const stamp = begin_launch();
  constexpr int kTiles = kQueries / 8;
  extern __shared__ __align__(16) char shared[];
  char *const k_tile = shared, *const v_tile = shared + kTileBytes, *const q_tile = shared + 2 * kTileBytes;
  auto* const shares =
      reinterpret_cast<uint16_t*>(k_tile);  // [term, query][kShareStride], smallest term first
  __shared__ float reduce[kWarps][kQueries], leaf_m[kQueries], fold_run[kQueries], fold_leaf[kQueries];
  __shared__ int limit[kQueries];  // last position a query may see; -1: no query
  __shared__ int64_t key_at[kLeafKeys];

  const bool alone = task.partials != nullptr;
  // Long rows first: the last CTAs to run are short.
  const RowTile tile = task.tiles[alone ? blockIdx.x : gridDim.x - 1 - blockIdx.x];
  const int kv_head = blockIdx.y, heads = task.q_heads / task.kv.kv_heads;
  const int last = tile.position + tile.count - 1, leaves = last / kLeafKeys + 1;
  // Old keys come while the rotation of the new one is under way.
  const bool early = alone && task.old_keys && static_cast<int>(blockIdx.z) < leaves;
  if (!early) wait_for_previous(stamp);
  if (alone && static_cast<int>(blockIdx.z) >= leaves) return;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = lane / 4, quad = lane % 4;
  const int queries = tile.count * heads, used = (queries + 7) / 8;
  if (thread < kQueries) limit[thread] = thread < queries ? tile.position + thread / heads : -1;
  if (!early) copy_queries<kQueries>(task, tile, kv_head, heads, q_tile);
  const float scale = kLog2E / sqrtf(static_cast<float>(kHeadDim));
  float m_run = -INFINITY, l_run = 0;  // of query `thread`, where there is one
  float sums[2][kTiles][4] = {};

  const int leaf_begin = alone ? blockIdx.z : 0, leaf_end = alone ? leaf_begin + 1 : leaves;
  for (int leaf = leaf_begin; leaf < leaf_end; ++leaf) {
    const int keys = min(kLeafKeys, last + 1 - leaf * kLeafKeys);
    const int key = leaf * kLeafKeys + min(thread, keys - 1);
    const int64_t block = task.block_table[tile.table_begin + key / task.kv.block_tokens];
    __syncthreads();  // the former leaf is read
    key_at[thread] = block * task.kv.block_stride +
                     (int64_t{kv_head} * task.kv.block_tokens + key % task.kv.block_tokens) * kHeadDim;
    __syncthreads();
    const uint16_t* const v_base = task.kv.base + task.kv.v_offset;
    const int old = early ? min(keys, last - leaf * kLeafKeys) : 0;
    if (early) {
      copy_leaf<false>(task.kv.base, key_at, 0, old, keys, k_tile);
      copy_leaf<true>(v_base, key_at, 0, old, keys, v_tile);
      wait_for_previous(stamp);
      copy_queries<kQueries>(task, tile, kv_head, heads, q_tile);
    }
    copy_leaf<false>(task.kv.base, key_at, old, old < kLeafKeys ? kLeafKeys : 0, keys, k_tile);
    copy_leaf<true>(v_base, key_at, old, old < kLeafKeys ? kLeafKeys : 0, keys, v_tile);
    copies_wait<1>();
    __syncthreads();

    float s[2][kTiles][4] = {};
    multiply_scores<kTiles>(k_tile, q_tile, used, s);
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int query = n * 8 + quad * 2 + e;
        float largest = -INFINITY;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int at = warp * 32 + i * 8 + group;
          float& score = s[i / 2][n][i % 2 * 2 + e];
          score = at < keys && leaf * kLeafKeys + at <= limit[query] ? score * scale : -INFINITY;
          largest = fmaxf(largest, score);
        }
#pragma unroll
        for (int step = 4; step < 32; step *= 2)
          largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
        if (group == 0) reduce[warp][query] = largest;
      }
    __syncthreads();  // K is read too
    if (thread < kQueries) {
      float largest = reduce[0][thread];
      for (int w = 1; w < kWarps; ++w) largest = fmaxf(largest, reduce[w][thread]);
      leaf_m[thread] = ceilf(largest);
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int query = n * 8 + quad * 2 + e;
        float sum = 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float score = s[i / 2][n][i % 2 * 2 + e];
          float share = score == -INFINITY ? 0.0f : exp2f(score - leaf_m[query]);
          sum += share;
          uint16_t* const to = shares + query * kShareStride + warp * 32 + i * 8 + group;
#pragma unroll
          for (int term = kTerms - 1; term >= 0; --term) {
            const uint16_t part = narrow(share);
            to[term * kQueries * kShareStride] = part;
            share -= widen(part);
          }
        }
#pragma unroll
        for (int step = 16; step >= 4; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
        if (group == 0) reduce[warp][query] = sum;
      }
    copies_wait<0>();
    __syncthreads();
    if (thread < kQueries) {
      float l_leaf = 0;
      for (int w = 0; w < kWarps; ++w) l_leaf += reduce[w][thread];
      if (alone) {
        m_run = leaf_m[thread];
        l_run = l_leaf;
      } else {
        const Fold fold = fold_of(m_run, leaf_m[thread]);
        l_run = l_run * fold.run + l_leaf * fold.leaf;
        m_run = fold.m;
        fold_run[thread] = fold.run;
        fold_leaf[thread] = fold.leaf;
      }
    }
    float own[2][kTiles][4] = {};
    multiply_shares<kTiles>(v_tile, shares, used, own);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int query = n * 8 + quad * 2 + e % 2;
          sums[i][n][e] =
              alone ? own[i][n][e] : sums[i][n][e] * fold_run[query] + own[i][n][e] * fold_leaf[query];
        }
  }

  if (thread < kQueries) leaf_m[thread] = l_run;
  __syncthreads();
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int query = n * 8 + quad * 2 + e;
      if (query >= queries) continue;
      const int64_t at = int64_t{tile.row + query / heads} * task.q_heads + kv_head * heads + query % heads;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int dim = warp * 32 + i * 8 + group;
        const float sum = sums[i / 2][n][i % 2 * 2 + e];
        if (alone) {
          task.partials[(at * task.leaves_max + blockIdx.z) * kPartialFloats + dim] = sum;
        } else {
          task.out[at * kHeadDim + dim] = narrow(sum / leaf_m[query]);
        }
      }
    }
  if (alone && thread < queries) {
    const int64_t at = int64_t{tile.row + thread / heads} * task.q_heads + kv_head * heads + thread % heads;
    float* const tail = task.partials + (at * task.leaves_max + blockIdx.z) * kPartialFloats + kHeadDim;
    tail[0] = m_run;
    tail[1] = l_run;
  }
}

// A CTA a (tile, query head): the left fold of each row's leaves. A head is a group of the quantisation.
constexpr int kFoldBatch = 16;  // leaves under way at once

__global__ void __launch_bounds__(kThreads) fold_kernel(const __grid_constant__ AttentionTask task) {
  uint64_t* const stamp = begin_launch();
  static_assert(kHeadDim == kScaleCols && kThreads % kFoldBatch == 0);
  __shared__ float warps[kWarps];
  __shared__ float2 tails[kThreads];  // m and l of the next kThreads leaves
  const RowTile tile = task.tiles[blockIdx.x];
  wait_for_previous(stamp);
  for (int i = 0; i < tile.count; ++i) {
    const int64_t at = int64_t{tile.row + i} * task.q_heads + blockIdx.y;
    const int leaves = (tile.position + i) / kLeafKeys + 1;
    const float* const leaf = task.partials + at * task.leaves_max * kPartialFloats;
    float m_run = -INFINITY, l_run = 0, sum = 0;
    float values[kFoldBatch];
    const auto load = [&](int first) {
#pragma unroll
      for (int n = 0; n < kFoldBatch; ++n)
        values[n] = first + n < leaves ? leaf[int64_t{first + n} * kPartialFloats + threadIdx.x] : 0.0f;
    };
    load(0);
    for (int first = 0; first < leaves; first += kFoldBatch) {
      if (first % kThreads == 0) {
        __syncthreads();  // the former tails are read
        const int own = first + static_cast<int>(threadIdx.x);
        if (own < leaves)
          tails[threadIdx.x] =
              *reinterpret_cast<const float2*>(leaf + int64_t{own} * kPartialFloats + kHeadDim);
        __syncthreads();
      }
      float folded[kFoldBatch];
#pragma unroll
      for (int n = 0; n < kFoldBatch; ++n) folded[n] = values[n];
      load(first + kFoldBatch);
#pragma unroll
      for (int n = 0; n < kFoldBatch; ++n) {
        if (first + n >= leaves) break;
        const float2 tail = tails[first % kThreads + n];
        const Fold fold = fold_of(m_run, tail.x);
        l_run = l_run * fold.run + tail.y * fold.leaf;
        sum = sum * fold.run + folded[n] * fold.leaf;
        m_run = fold.m;
      }
    }
    const uint16_t result = narrow(sum / l_run);
    task.out[at * kHeadDim + threadIdx.x] = result;
    if (task.grid == nullptr) continue;
    const float value = widen(result);
    float largest = fabsf(value);
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
      largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
    __syncthreads();  // the former row is read
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = largest;
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) largest = fmaxf(largest, warps[w]);
    const float scale = quantisation_scale(largest);
    store_quantised_one(task.grid, task.order, at * kHeadDim + threadIdx.x, quantised(value, scale));
    if (threadIdx.x == 0) task.scales[at] = scale;
  }
}
static_assert(kPartialFloats % 2 == 0);

constexpr int kCtasEarly = 132;

template <int kQueries>
void launch(const AttentionTask& task, const dim3& grid, StreamHandle stream) {
  ctas_at_once<attention_kernel<kQueries>>(kThreads, kSharedBytes<kQueries>);
  launch_kernel<attention_kernel<kQueries>>("attention", grid, kThreads, kSharedBytes<kQueries>, stream,
                                            task);
}

}  // namespace

int32_t wide_rows(int32_t group) {
  return kWideQueries / group;
}

void attention(const AttentionTask& given, int32_t rows, StreamHandle stream) {
  if (rows == 0) return;
  AttentionTask task = given;
  const dim3 grid(task.tile_count, task.kv.kv_heads, task.partials != nullptr ? task.leaves_max : 1);
  // Where the device cannot hold all leaves at once, early copies are in the way of the rotation and gain
  // nothing.
  task.old_keys = task.old_keys && int64_t{grid.x} * grid.y * grid.z <= kCtasEarly;
  if (task.wide) {
    launch<kWideQueries>(task, grid, stream);
  } else {
    launch<kNarrowQueries>(task, grid, stream);
  }
  if (task.partials != nullptr) {
    launch_kernel<fold_kernel>("attention fold", dim3(task.tile_count, task.q_heads), kThreads, 0, stream,
                               task);
  } else if (task.grid != nullptr) {
    QuantiseTask quantised;
    quantised.x = task.out;
    quantised.rows = rows;
    quantised.width = task.q_heads * kHeadDim;
    quantised.out = task.grid;
    quantised.scales = task.scales;
    quantised.order = task.order;
    quantise(quantised, stream);
  }
}

}  // namespace minimax::backend::cuda
