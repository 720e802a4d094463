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
// Codes of an fp8 cache are widened to bf16 in registers. Bound: memory for few rows, tensor cores for many;
// reads K and V of a leaf once per tile.

#include <algorithm>
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

constexpr int kRowBytes = kHeadDim * 2;  // of q
constexpr int kChunks = kRowBytes / 16;
template <bool kFp8>
constexpr int kKeyBytes = kFp8 ? kHeadDim : kHeadDim * 2;
template <bool kFp8>
constexpr int kTileBytes = kLeafKeys* kKeyBytes<kFp8>;  // K or V of a leaf
constexpr int kShareStride = kLeafKeys + 8;             // of a query's shares: 8 lanes meet 8 banks
// K, whose place the shares take, then V, then q.
template <int kQueries, bool kFp8>
constexpr int kVOffset = std::max(kTileBytes<kFp8>, kTerms* kQueries* kShareStride * 2);
template <int kQueries, bool kFp8>
constexpr int kQueryOffset = kVOffset<kQueries, kFp8> + kTileBytes<kFp8>;
template <int kQueries, bool kFp8>
constexpr int kSharedBytes = kQueryOffset<kQueries, kFp8> + kQueries* kRowBytes;
static_assert(kVOffset<kWideQueries, true> % 256 == 0 && kVOffset<kNarrowQueries, true> % 256 == 0);

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
template <bool kFp8>
__device__ inline int v_place(int key, int chunk) {
  return key * kKeyBytes<kFp8> + (chunk ^ (key & 7)) * 16;
}

// Four matrices of 8 keys by 16 bytes, transposed; a lane gives the address of a key's part of one.
__device__ inline void load_transposed(const char* from, uint32_t (&a)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(shared_address(from))
               : "memory");
}

// A of the sums over keys: this warp's 32 dims, in two fragments of 16, and 16 keys from `key` on.
template <bool kFp8>
__device__ inline void load_v(const char* v, int key, uint32_t (&a)[2][4]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, matrix = lane / 8;
  if constexpr (kFp8) {
    // Two codes, of neighbouring dims, move together: the even dims are a fragment's rows 0 to 7, the odd
    // ones its rows 8 to 15.
    uint32_t codes[4];
    load_transposed(v + v_place<true>(key + matrix % 2 * 8 + lane % 8, warp * 2 + matrix / 2), codes);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      a[i / 2][i % 2 * 2] = widen_e4m3(__byte_perm(codes[i], 0, 0x2404));
      a[i / 2][i % 2 * 2 + 1] = widen_e4m3(codes[i] & 0xFF00FF00u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 2; ++i)
      load_transposed(v + v_place<false>(key + matrix / 2 * 8 + lane % 8, warp * 4 + i * 2 + matrix % 2),
                      a[i]);
  }
}
// The dim of a fragment's row: `half` 0 for rows 0 to 7, `row` among its 8.
template <bool kFp8>
__device__ inline int dim_of(int fragment, int half, int row) {
  const int dim = static_cast<int>(threadIdx.x) / 32 * 32 + fragment * 16;
  return dim + (kFp8 ? row * 2 + half : half * 8 + row);
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
template <bool kFp8, bool kIsV>
__device__ inline void copy_leaf(const std::byte* base, const int64_t* key_at, int begin, int end, int keys,
                                 char* to) {
  constexpr int kPieces = kKeyBytes<kFp8> / 16;
  const int piece = threadIdx.x % kPieces;
#pragma unroll 4
  for (int key = threadIdx.x / kPieces; key < end; key += kThreads / kPieces)
    if (key >= begin)
      copy_16(to + (kIsV ? v_place<kFp8>(key, piece) : swizzled<kKeyBytes<kFp8>>(key, piece)),
              base + key_at[key] + piece * 16, key < keys);
  copies_commit();
}

// A lane's 16 values of half a key; codes are widened here: bf16 holds them exactly.
template <bool kFp8>
__device__ inline Pairs load_key(const char* k, int key, int half) {
  const int quad = threadIdx.x % 4;
  if constexpr (kFp8) {
    const uint4 codes = *reinterpret_cast<const uint4*>(k + swizzled<kKeyBytes<true>>(key, half * 4 + quad));
    const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
    Pairs out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out.pair[2 * i] = widen_e4m3(__byte_perm(words[i], 0, 0x1404));
      out.pair[2 * i + 1] = widen_e4m3(__byte_perm(words[i], 0, 0x3424));
    }
    return out;
  } else {
    return load_pairs(k, key, half * 8 + quad * 2);
  }
}

// Scores of this warp's 32 keys: s[i][n] is a fragment of keys i * 16, queries n * 8.
template <int kTiles, bool kFp8>
__device__ inline void multiply_scores(const char* k, const char* q, int used, float (&s)[2][kTiles][4]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Pairs low[2], high[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      low[i] = load_key<kFp8>(k, warp * 32 + i * 16 + group, half);
      high[i] = load_key<kFp8>(k, warp * 32 + i * 16 + group + 8, half);
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (n >= used) break;
      const Pairs x = load_pairs(q, n * 8 + group, half * 8 + quad * 2);
#pragma unroll
      for (int step = 0; step < 4; ++step)
#pragma unroll
        for (int i = 0; i < 2; ++i) multiply(s[i][n], low[i], high[i], x, step);
    }
  }
}

// O of this warp's 32 dims: own[i][n] is a fragment of 16 dims (dim_of), queries n * 8.
template <int kTiles, bool kFp8>
__device__ inline void multiply_shares(const char* v, const uint16_t* shares, int used,
                                       float (&own)[2][kTiles][4]) {
  const int lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
#pragma unroll 2
  for (int key = 0; key < kLeafKeys; key += 16) {
    uint32_t a[2][4];
    load_v<kFp8>(v, key, a);
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

template <int kQueries, bool kFp8>
__global__ void __launch_bounds__(kThreads, 3) attention_kernel(const __grid_constant__ AttentionTask task) {
  uint64_t* const stamp = begin_launch();
  constexpr int kTiles = kQueries / 8;
  extern __shared__ __align__(16) char shared[];
  char *const k_tile = shared, *const v_tile = shared + kVOffset<kQueries, kFp8>,
              *const q_tile = shared + kQueryOffset<kQueries, kFp8>;
  auto* const shares =
      reinterpret_cast<uint16_t*>(k_tile);  // [term, query][kShareStride], smallest term first
  __shared__ float reduce[kWarps][kQueries], leaf_m[kQueries], fold_run[kQueries], fold_leaf[kQueries];
  __shared__ int limit[kQueries];        // last position a query may see; -1: no query
  __shared__ int64_t key_at[kLeafKeys];  // bytes
  __shared__ float k_scales[kFp8 ? kLeafKeys : 1], v_scales[kFp8 ? kLeafKeys : 1];

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
    key_at[thread] = block * task.kv.block_bytes + task.kv.place(kv_head, key % task.kv.block_tokens);
    __syncthreads();
    const std::byte* const v_base = task.kv.base + task.kv.v_bytes;
    const int old = early ? min(keys, last - leaf * kLeafKeys) : 0;
    if (early) {
      copy_leaf<kFp8, false>(task.kv.base, key_at, 0, old, keys, k_tile);
      copy_leaf<kFp8, true>(v_base, key_at, 0, old, keys, v_tile);
      wait_for_previous(stamp);
      copy_queries<kQueries>(task, tile, kv_head, heads, q_tile);
    }
    if constexpr (kFp8) {
      const std::byte* const scale_at = task.kv.base + block * task.kv.block_bytes +
                                        task.kv.scale_place(kv_head, key % task.kv.block_tokens);
      k_scales[thread] = __ldcg(reinterpret_cast<const float*>(scale_at));
      v_scales[thread] = __ldcg(reinterpret_cast<const float*>(scale_at + task.kv.v_bytes));
    }
    copy_leaf<kFp8, false>(task.kv.base, key_at, old, old < kLeafKeys ? kLeafKeys : 0, keys, k_tile);
    copy_leaf<kFp8, true>(v_base, key_at, old, old < kLeafKeys ? kLeafKeys : 0, keys, v_tile);
    copies_wait<1>();
    __syncthreads();

    float s[2][kTiles][4] = {};
    multiply_scores<kTiles, kFp8>(k_tile, q_tile, used, s);
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
          if constexpr (kFp8) score *= k_scales[at];
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
          if constexpr (kFp8)  // a key that is masked has no say, whatever its scale
            if (share != 0) share *= v_scales[warp * 32 + i * 8 + group];
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
    multiply_shares<kTiles, kFp8>(v_tile, shares, used, own);
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
        const int dim = dim_of<kFp8>(i / 2, i % 2, group);
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

template <int kQueries, bool kFp8>
void launch(const AttentionTask& task, const dim3& grid, StreamHandle stream) {
  constexpr auto kKernel = attention_kernel<kQueries, kFp8>;
  constexpr int kBytes = kSharedBytes<kQueries, kFp8>;
  ctas_at_once<kKernel>(kThreads, kBytes);
  launch_kernel<kKernel>("attention", grid, kThreads, kBytes, stream, task);
}
template <int kQueries>
void launch(const AttentionTask& task, const dim3& grid, StreamHandle stream) {
  const auto form = task.kv.fp8 ? launch<kQueries, true> : launch<kQueries, false>;
  form(task, grid, stream);
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
