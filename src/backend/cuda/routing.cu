// Which experts a row goes to, and which rows an expert gets.

#include <cfloat>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/kernels.h"

namespace minimax::backend::cuda {

namespace {

constexpr int kExpertsMax = 1024;
constexpr int kSlotsMax = 32;
constexpr int kGroupThreads = 1024;

// A warp a row: the largest of score + bias, one slot after the other, ties to the lower id. A NaN or minus
// infinity counts as the smallest number, so that ids stay valid whatever the input.
__global__ void __launch_bounds__(32) route_kernel(const RouteTask task) {
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

// One CTA: counts, places, tiles.
__global__ void __launch_bounds__(kGroupThreads)
    group_kernel(const int32_t* ids, int parts_count, int experts, int tile_rows, int32_t* parts,
                 PartTile* tiles, int32_t* tile_count) {
  __shared__ int32_t counts[kExpertsMax], begins[kExpertsMax], next[kExpertsMax], tile_begins[kExpertsMax];
  for (int e = threadIdx.x; e < experts; e += kGroupThreads) counts[e] = 0;
  __syncthreads();
  for (int part = threadIdx.x; part < parts_count; part += kGroupThreads) atomicAdd(&counts[ids[part]], 1);
  __syncthreads();
  if (threadIdx.x == 0) {
    int begin = 0, tile = 0;
    for (int e = 0; e < experts; ++e) {
      begins[e] = next[e] = begin;
      tile_begins[e] = tile;
      begin += counts[e];
      tile += (counts[e] + tile_rows - 1) / tile_rows;
    }
    *tile_count = tile;
  }
  __syncthreads();
  for (int part = threadIdx.x; part < parts_count; part += kGroupThreads)
    parts[atomicAdd(&next[ids[part]], 1)] = part;
  for (int e = threadIdx.x; e < experts; e += kGroupThreads)
    for (int at = 0, tile = tile_begins[e]; at < counts[e]; at += tile_rows, ++tile)
      tiles[tile] = {e, begins[e] + at, min(tile_rows, counts[e] - at)};
}

}  // namespace

void route(const RouteTask& task, StreamHandle stream) {
  route_kernel<<<task.rows, 32, 0, stream>>>(task);
  insist_launched("route");
}

void group_parts(const int32_t* ids, int32_t parts_count, int32_t experts, int32_t tile_rows, int32_t* parts,
                 PartTile* tiles, int32_t* tile_count, StreamHandle stream) {
  group_kernel<<<1, kGroupThreads, 0, stream>>>(ids, parts_count, experts, tile_rows, parts, tiles, tile_count);
  insist_launched("group_parts");
}

}  // namespace minimax::backend::cuda
