// Causal attention over paged K and V, one tree of sums for decode and prefill.
//
// softmax(q k / sqrt(head_dim)) v by leaves of 128 keys at absolute positions. A leaf alone gives its
// largest score m (rounded up to an integer in the log2 domain, so rescaling is by powers of two and exact),
// l = sum of 2^(s - m) and O = sum of 2^(s - m) v; a row is the left fold of its leaves. Whether one CTA
// folds them or a second kernel does changes no bit.
//
// Mapping: a CTA of 128 threads a (tile of rows, KV head[, leaf]); kQueries (row, query head) pairs share
// each load. For scores a thread is a key (one fma chain over the dims), for O a thread is a dim (one fma
// chain over the leaf's keys). Plain fp32 arithmetic: scores and probabilities are not rounded.
// Bound: fp32 units; reads K and V of a leaf once per tile.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"

namespace minimax::backend::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kNarrowQueries = 8;
constexpr int kWideQueries = 24;
constexpr float kLog2E = 1.44269504088896340736f;
static_assert(kThreads == kHeadDim && kThreads == kLeafKeys);

// Folding a leaf (m, l) onto a running one: what to scale both by.
struct Fold {
  float m, run, leaf;
};
__device__ inline Fold fold_of(float m_run, float m_leaf) {
  if (m_leaf == -INFINITY) return {m_run, 1.0f, 0.0f};
  const float m = fmaxf(m_run, m_leaf);
  return {m, m_run == -INFINITY ? 0.0f : pow2(m_run - m), pow2(m_leaf - m)};
}

template <int kQueries>
__global__ void __launch_bounds__(kThreads) attention_kernel(const AttentionTask task) {
  __shared__ alignas(16) float q[kQueries][kHeadDim];
  __shared__ alignas(16) float p[kQueries][kLeafKeys];
  __shared__ float reduce[kWarps][kQueries], leaf_m[kQueries], fold_run[kQueries], fold_leaf[kQueries];
  __shared__ int limit[kQueries];  // last position a query may see; -1: no query
  __shared__ int64_t key_at[kLeafKeys];

  const RowTile tile = task.tiles[blockIdx.x];
  const int kv_head = blockIdx.y, heads = task.q_heads / task.kv.kv_heads;
  const int last = tile.position + tile.count - 1, leaves = last / kLeafKeys + 1;
  const bool alone = task.partials != nullptr;
  if (alone && static_cast<int>(blockIdx.z) >= leaves) return;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int queries = tile.count * heads;
  if (thread < kQueries) limit[thread] = thread < queries ? tile.position + thread / heads : -1;
  for (int j = 0; j < kQueries; ++j) {
    const int64_t row = tile.row + j / heads, head = kv_head * heads + j % heads;
    q[j][thread] = j < queries ? widen(task.q[(row * task.q_heads + head) * kHeadDim + thread]) : 0.0f;
  }
  const float scale = kLog2E / sqrtf(static_cast<float>(kHeadDim));
  float m_run = -INFINITY, l_run = 0;  // of query `thread`, where there is one
  float sums[kQueries] = {};

  const int leaf_begin = alone ? blockIdx.z : 0, leaf_end = alone ? leaf_begin + 1 : leaves;
  for (int leaf = leaf_begin; leaf < leaf_end; ++leaf) {
    const int key = leaf * kLeafKeys + thread;
    const int keys = min(kLeafKeys, last + 1 - leaf * kLeafKeys);
    __syncthreads();  // q is written; the former leaf is read
    float s[kQueries];
#pragma unroll
    for (int j = 0; j < kQueries; ++j) s[j] = 0;
    if (thread < keys) {
      const int64_t block = task.block_table[tile.table_begin + key / task.kv.block_tokens];
      const int64_t at = block * task.kv.block_stride +
                         (int64_t{kv_head} * task.kv.block_tokens + key % task.kv.block_tokens) * kHeadDim;
      key_at[thread] = at;
      const uint4* const k = reinterpret_cast<const uint4*>(task.kv.base + at);
      for (int d = 0; d < kHeadDim / 8; ++d) {
        const uint4 bits = k[d];
        const float values[8] = {widen_low(bits.x), widen_high(bits.x), widen_low(bits.y), widen_high(bits.y),
                                 widen_low(bits.z), widen_high(bits.z), widen_low(bits.w), widen_high(bits.w)};
#pragma unroll
        for (int j = 0; j < kQueries; ++j) {
          const float4 a = *reinterpret_cast<const float4*>(&q[j][d * 8]);
          const float4 b = *reinterpret_cast<const float4*>(&q[j][d * 8 + 4]);
          const float parts[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
          for (int i = 0; i < 8; ++i) s[j] = __fmaf_rn(parts[i], values[i], s[j]);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kQueries; ++j) {
      s[j] = thread < keys && key <= limit[j] ? s[j] * scale : -INFINITY;
      float largest = s[j];
#pragma unroll
      for (int step = 16; step > 0; step /= 2)
        largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
      if (lane == 0) reduce[warp][j] = largest;
    }
    __syncthreads();
    if (thread < kQueries) {
      float largest = reduce[0][thread];
      for (int w = 1; w < kWarps; ++w) largest = fmaxf(largest, reduce[w][thread]);
      leaf_m[thread] = ceilf(largest);
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kQueries; ++j) {
      const float share = s[j] == -INFINITY ? 0.0f : exp2f(s[j] - leaf_m[j]);
      p[j][thread] = share;
      float sum = share;
#pragma unroll
      for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
      if (lane == 0) reduce[warp][j] = sum;
    }
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
    float own[kQueries];
#pragma unroll
    for (int j = 0; j < kQueries; ++j) own[j] = 0;
    const uint16_t* const v = task.kv.base + task.kv.v_offset + thread;
    int k = 0;
    for (; k + 4 <= keys; k += 4) {
      float values[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = widen(v[key_at[k + i]]);
#pragma unroll
      for (int j = 0; j < kQueries; ++j) {
        const float4 shares = *reinterpret_cast<const float4*>(&p[j][k]);
        own[j] = __fmaf_rn(shares.x, values[0], own[j]);
        own[j] = __fmaf_rn(shares.y, values[1], own[j]);
        own[j] = __fmaf_rn(shares.z, values[2], own[j]);
        own[j] = __fmaf_rn(shares.w, values[3], own[j]);
      }
    }
    for (; k < keys; ++k) {
      const float value = widen(v[key_at[k]]);
#pragma unroll
      for (int j = 0; j < kQueries; ++j) own[j] = __fmaf_rn(p[j][k], value, own[j]);
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kQueries; ++j)
      sums[j] = alone ? own[j] : sums[j] * fold_run[j] + own[j] * fold_leaf[j];
  }

  if (thread < kQueries) leaf_m[thread] = l_run;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kQueries; ++j) {
    if (j >= queries) continue;
    const int64_t at = int64_t{tile.row + j / heads} * task.q_heads + kv_head * heads + j % heads;
    if (alone) {
      task.partials[(at * task.leaves_max + blockIdx.z) * kPartialFloats + thread] = sums[j];
    } else {
      task.out[at * kHeadDim + thread] = narrow(sums[j] / leaf_m[j]);
    }
  }
  if (alone && thread < queries) {
    const int64_t at = int64_t{tile.row + thread / heads} * task.q_heads + kv_head * heads + thread % heads;
    float* const tail = task.partials + (at * task.leaves_max + blockIdx.z) * kPartialFloats + kHeadDim;
    tail[0] = m_run;
    tail[1] = l_run;
  }
}

// A CTA a (tile, query head): the left fold of each row's leaves.
__global__ void __launch_bounds__(kThreads) fold_kernel(const AttentionTask task) {
  const RowTile tile = task.tiles[blockIdx.x];
  const int leaves = (tile.position + tile.count - 1) / kLeafKeys + 1;
  for (int i = 0; i < tile.count; ++i) {
    const int64_t at = int64_t{tile.row + i} * task.q_heads + blockIdx.y;
    const float* leaf = task.partials + at * task.leaves_max * kPartialFloats;
    float m_run = -INFINITY, l_run = 0, sum = 0;
    for (int n = 0; n < leaves; ++n, leaf += kPartialFloats) {
      const Fold fold = fold_of(m_run, leaf[kHeadDim]);
      l_run = l_run * fold.run + leaf[kHeadDim + 1] * fold.leaf;
      sum = sum * fold.run + leaf[threadIdx.x] * fold.leaf;
      m_run = fold.m;
    }
    task.out[at * kHeadDim + threadIdx.x] = narrow(sum / l_run);
  }
}

}  // namespace

int32_t wide_rows(int32_t group) {
  return kWideQueries / group;
}

void attention(const AttentionTask& task, int32_t rows, StreamHandle stream) {
  if (rows == 0) return;
  const dim3 grid(task.tile_count, task.kv.kv_heads, task.partials != nullptr ? task.leaves_max : 1);
  if (task.wide) {
    attention_kernel<kWideQueries><<<grid, kThreads, 0, stream>>>(task);
  } else {
    attention_kernel<kNarrowQueries><<<grid, kThreads, 0, stream>>>(task);
  }
  insist_launched("attention");
  if (task.partials == nullptr) return;
  fold_kernel<<<dim3(task.tile_count, task.q_heads), kThreads, 0, stream>>>(task);
  insist_launched("attention fold");
}

}  // namespace minimax::backend::cuda
