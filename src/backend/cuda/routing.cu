// Which experts a row goes to, and which rows an expert gets.

#include <cfloat>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kExpertsMax = 1024;
constexpr int kSlotsMax = 32;
constexpr int kGroupThreads = 1024;

// A warp a row: the largest of score + bias, one slot after the other, ties to the lower id. A NaN or minus
// infinity counts as the smallest number, so that ids stay valid whatever the input.
__global__ void __launch_bounds__(32) route_kernel(const RouteTask task) {
  wait_for_previous();
  __shared__ float choice[kExpertsMax];
  __shared__ int32_t ids[kSlotsMax];
  const int64_t row = blockIdx.x;
  const int lane = threadIdx.x;
  float* const scores = task.scores + row * task.experts;
  for (int e = lane; e < task.experts; e += 32) {
    const float score = 1.0f / (1.0f + expf(-task.logits[row * task.experts + e]));
    scores[e] = score;
    const float value = score + task.bias[e];
    choice[e] = value > -FLT_MAX ? value : -FLT_MAX;
  }
  __syncwarp();
  for (int slot = 0; slot < task.slots; ++slot) {
    float best = -INFINITY;
    int best_id = kExpertsMax;
    for (int e = lane; e < task.experts; e += 32) {
      const float value = choice[e];
      if (value > best) {
        best = value;
        best_id = e;
      }
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(0xFFFFFFFFu, best, step);
      const int other_id = __shfl_xor_sync(0xFFFFFFFFu, best_id, step);
      if (other > best || (other == best && other_id < best_id)) {
        best = other;
        best_id = other_id;
      }
    }
    if (lane == 0) {
      ids[slot] = best_id;
      choice[best_id] = -INFINITY;  // taken
    }
    __syncwarp();
  }
  if (lane == 0) {
    float sum = 0;
    for (int slot = 0; slot < task.slots; ++slot) sum += scores[ids[slot]];
    for (int slot = 0; slot < task.slots; ++slot) {
      task.ids[row * task.slots + slot] = ids[slot];
      task.weights[row * task.slots + slot] = scores[ids[slot]] / sum;
    }
  }
}

// Inclusive sums over the CTA's threads, of two values each. `totals`: [32] shared, not in use.
__device__ inline int2 running_sums(int2 value, int2* totals) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const auto scan = [lane](int2 own) {
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int2 before{__shfl_up_sync(0xFFFFFFFFu, own.x, step), __shfl_up_sync(0xFFFFFFFFu, own.y, step)};
      if (lane >= step) own = {own.x + before.x, own.y + before.y};
    }
    return own;
  };
  value = scan(value);
  if (lane == 31) totals[warp] = value;
  __syncthreads();
  if (warp == 0) totals[lane] = scan(totals[lane]);
  __syncthreads();
  return warp == 0 ? value : int2{value.x + totals[warp - 1].x, value.y + totals[warp - 1].y};
}

// One CTA, a thread an expert: counts, places, tiles.
__global__ void __launch_bounds__(kGroupThreads)
    group_kernel(const int32_t* ids, int parts_count, int experts, int tile_rows, int32_t* parts,
                 PartTile* tiles, int32_t* tile_count) {
  wait_for_previous();
  __shared__ int32_t counts[kExpertsMax], next[kExpertsMax];
  __shared__ int2 totals[32];
  const int e = threadIdx.x;
  counts[e] = 0;
  __syncthreads();
  for (int part = threadIdx.x; part < parts_count; part += kGroupThreads) atomicAdd(&counts[ids[part]], 1);
  __syncthreads();
  const int count = counts[e], tile_own = (count + tile_rows - 1) / tile_rows;
  const int2 end = running_sums({count, tile_own}, totals);
  const int begin = end.x - count, tile_begin = end.y - tile_own;
  next[e] = begin;
  if (e == experts - 1) *tile_count = end.y;
  __syncthreads();
  for (int part = threadIdx.x; part < parts_count; part += kGroupThreads)
    parts[atomicAdd(&next[ids[part]], 1)] = part;
  for (int at = 0, tile = tile_begin; at < count; at += tile_rows, ++tile)
    tiles[tile] = {e, begin + at, min(tile_rows, count - at)};
}
static_assert(kGroupThreads == kExpertsMax);

}  // namespace

void route(const RouteTask& task, StreamHandle stream) {
  launch_kernel<route_kernel>("route", task.rows, 32, 0, stream, task);
}

void group_parts(const int32_t* ids, int32_t parts_count, int32_t experts, int32_t tile_rows, int32_t* parts,
                 PartTile* tiles, int32_t* tile_count, StreamHandle stream) {
  launch_kernel<group_kernel>("group_parts", 1, kGroupThreads, 0, stream, ids, parts_count, experts,
                              tile_rows, parts, tiles, tile_count);
}

}  // namespace minimax::backend::cuda
