// Which experts a row goes to, and which rows an expert gets.

#include <cfloat>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kExpertsMax = 1024;
constexpr int kGroupThreads = 1024;

// Keeps the order of floats that are no NaN; none is 0.
__device__ inline uint32_t ordered(float value) {
  const uint32_t bits = __float_as_uint(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// A warp for a row: the largest of score + bias, one slot after the other, ties to the lower id. A NaN or
// minus infinity counts as the smallest number, so that ids stay valid whatever the input. kEach: experts of
// a lane.
template <int kEach>
__device__ inline void route_row(const RouteTask& task, int64_t row, const float (&bias)[kEach]) {
  constexpr uint32_t kAll = 0xFFFFFFFFu;
  const int lane = threadIdx.x % 32;
  float scores[kEach];
  uint32_t keys[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int e = i * 32 + lane;
    scores[i] = e < task.experts ? task.logits[row * task.experts + e] : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int e = i * 32 + lane;
    keys[i] = 0;  // no expert, or taken
    if (e >= task.experts) continue;
    scores[i] = 1.0f / (1.0f + expf(-scores[i]));
    task.scores[row * task.experts + e] = scores[i];
    const float value = scores[i] + bias[i];
    keys[i] = ordered(value > -FLT_MAX ? value : -FLT_MAX);
  }
  int32_t id = 0;  // of slot `lane`
  float score = 0, sum = 0;
  for (int slot = 0; slot < task.slots; ++slot) {
    uint32_t best = 0;
    int best_at = 0;
    float best_score = 0;
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (keys[i] > best) {
        best = keys[i];
        best_at = i;
        best_score = scores[i];
      }
    const uint32_t largest = __reduce_max_sync(kAll, best);
    const auto best_id = static_cast<uint32_t>(best_at * 32 + lane);
    const uint32_t chosen = __reduce_min_sync(kAll, best == largest ? best_id : ~0u);
    const float chosen_score = __shfl_sync(kAll, best_score, static_cast<int>(chosen % 32));
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (best_id == chosen && i == best_at) keys[i] = 0;
    sum += chosen_score;
    if (lane == slot) {
      id = static_cast<int32_t>(chosen);
      score = chosen_score;
    }
  }
  if (lane < task.slots) {
    task.ids[row * task.slots + lane] = id;
    task.weights[row * task.slots + lane] = score / sum;
  }
}

template <int kEach>
__device__ inline void load_bias(const RouteTask& task, float (&bias)[kEach]) {
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int e = i * 32 + static_cast<int>(threadIdx.x % 32);
    bias[i] = e < task.experts ? task.bias[e] : 0.0f;
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
__device__ inline void group_rows(const int32_t* ids, int parts_count, int all_experts,
                                  const GroupTask& task) {
  const int experts = task.held.count == 0 ? all_experts : task.held.count;
  __shared__ int32_t counts[kExpertsMax], next[kExpertsMax];
  __shared__ int2 totals[32];
  const int e = threadIdx.x;
  counts[e] = 0;
  __syncthreads();
  for (int part = threadIdx.x; part < parts_count; part += kGroupThreads)
    if (task.held.holds(ids[part])) atomicAdd(&counts[ids[part] - task.held.begin], 1);
  __syncthreads();
  const int count = counts[e], tile_own = (count + task.tile_rows - 1) / task.tile_rows;
  const int2 end = running_sums({count, tile_own}, totals);
  const int begin = end.x - count, tile_begin = end.y - tile_own;
  next[e] = begin;
  if (e == experts - 1) *task.tile_count = end.y;
  __syncthreads();
  for (int part = threadIdx.x; part < parts_count; part += kGroupThreads)
    if (task.held.holds(ids[part])) task.parts[atomicAdd(&next[ids[part] - task.held.begin], 1)] = part;
  for (int at = 0, tile = tile_begin; at < count; at += task.tile_rows, ++tile)
    task.tiles[tile] = {e, begin + at, min(task.tile_rows, count - at)};
}
static_assert(kGroupThreads == kExpertsMax);

// Few rows: all in one CTA, a warp a row, and their groups.
constexpr int kRowsTogether = 16;
static_assert(kRowsTogether <= kGroupThreads / 32);
template <int kEach>
__global__ void __launch_bounds__(kGroupThreads)
    route_together_kernel(const __grid_constant__ RouteTask task, const __grid_constant__ GroupTask groups) {
  uint64_t* const stamp = begin_launch();
  float bias[kEach];
  load_bias(task, bias);
  wait_for_previous(stamp);
  const int row = static_cast<int>(threadIdx.x) / 32;
  if (row < task.rows) route_row(task, row, bias);
  __syncthreads();  // ids of this CTA's own are read
  group_rows(task.ids, task.rows * task.slots, task.experts, groups);
}

template <int kEach>
__global__ void __launch_bounds__(32) route_kernel(const __grid_constant__ RouteTask task) {
  uint64_t* const stamp = begin_launch();
  float bias[kEach];
  load_bias(task, bias);
  wait_for_previous(stamp);
  route_row(task, blockIdx.x, bias);
}

__global__ void __launch_bounds__(kGroupThreads)
    group_kernel(const __grid_constant__ RouteTask task, const __grid_constant__ GroupTask groups) {
  wait_for_previous();
  group_rows(task.ids, task.rows * task.slots, task.experts, groups);
}

template <int kEach>
void launch_route(const RouteTask& task, const GroupTask& groups, StreamHandle stream) {
  if (kEach <= 8 && task.rows <= kRowsTogether) {
    launch_kernel<route_together_kernel<8>>("route", 1, kGroupThreads, 0, stream, task, groups);
    return;
  }
  launch_kernel<route_kernel<kEach>>("route", task.rows, 32, 0, stream, task);
  launch_kernel<group_kernel>("group_parts", 1, kGroupThreads, 0, stream, task, groups);
}

}  // namespace

void route(const RouteTask& task, const GroupTask& groups, StreamHandle stream) {
  if (task.rows == 0) return;
  if (task.experts <= 8 * 32) {
    launch_route<8>(task, groups, stream);
  } else {
    launch_route<kExpertsMax / 32>(task, groups, stream);
  }
}

}  // namespace minimax::backend::cuda
