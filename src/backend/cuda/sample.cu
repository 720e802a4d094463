// From rows of logits to tokens, without a sort of the vocabulary and without the host.
//
// adjust: masks, biases, penalties into a copy of the row, for draws that have any. groups: one pass that
// leaves the largest value of each 64 ids. over_all: the Gumbel maximum or the mass of the whole row, for
// draws that nothing else restricts. choose: a CTA a draw; top_k, min_p and top_p give a lower bound from the
// groups, the ids above it are collected, sorted and drawn from: the same steps as backend/cpu/sample.cc.
//
// Bits: base/exact_math.h and base/gumbel.h are compiled here as they are (-fmad=false). Masses are integers;
// maxima, counts and ties by id have no order. So tokens do not depend on the grid.
// Bound: memory for the passes over the row, latency for choose.

#include <cmath>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/sample.h"
#include "base/exact_math.h"
#include "base/gumbel.h"

namespace minimax::backend::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr float kNoiseMax = 23.0f;  // base/gumbel.h

__device__ inline const float* row_of(const DrawTask& task, const Draw& draw) {
  return draw.adjusted >= 0 ? task.adjusted + int64_t{draw.adjusted} * task.vocab_size
                            : task.logits + draw.row * task.stride;
}

// ---------------------------------------------------------------------------------------------------------------
// Masks, bias, penalties. A NaN stays a NaN: it says that the row is broken.

__global__ void __launch_bounds__(kThreads) copy_masked_kernel(const __grid_constant__ DrawTask task) {
  wait_for_previous();
  const Draw& draw = task.draws[blockIdx.y];
  if (draw.adjusted < 0) return;
  const float* const from = task.logits + draw.row * task.stride;
  float* const to = task.adjusted + int64_t{draw.adjusted} * task.vocab_size;
  const uint32_t* const mask = draw.mask >= 0 ? task.masks + int64_t{draw.mask} * task.mask_words : nullptr;
  for (int id = blockIdx.x * kThreads + threadIdx.x; id < task.vocab_size; id += gridDim.x * kThreads) {
    const float value = from[id];
    const bool allowed = mask == nullptr || (mask[id / 32] >> (id % 32) & 1) != 0;
    to[id] = allowed || isnan(value) ? value : -INFINITY;
  }
}

__global__ void __launch_bounds__(kThreads) edit_kernel(const __grid_constant__ DrawTask task) {
  wait_for_previous();
  const Draw& draw = task.draws[blockIdx.x];
  if (draw.adjusted < 0) return;
  float* const x = task.adjusted + int64_t{draw.adjusted} * task.vocab_size;
  const DrawEdit* edits = task.edits + draw.edit_begin;
  for (int i = threadIdx.x; i < draw.forbidden; i += kThreads)
    if (!isnan(x[edits[i].token])) x[edits[i].token] = -INFINITY;
  edits += draw.forbidden;
  __syncthreads();
  for (int i = threadIdx.x; i < draw.biases; i += kThreads) {
    const int token = edits[i].token;
    bool first = true;  // the first of equal ids adds them all, in order
    for (int j = 0; j < i; ++j) first &= edits[j].token != token;
    if (!first) continue;
    for (int j = i; j < draw.biases; ++j)
      if (edits[j].token == token) x[token] = x[token] + edits[j].bias;
  }
  edits += draw.biases;
  __syncthreads();
  for (int i = threadIdx.x; i < draw.counts; i += kThreads) {
    float value = x[edits[i].token];
    if (draw.repetition != 1.0f) value = value > 0 ? value / draw.repetition : value * draw.repetition;
    if (edits[i].output_count != 0) {
      value = value - draw.frequency * static_cast<float>(edits[i].output_count);
      value = value - draw.presence;
    }
    x[edits[i].token] = value;
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Passes over the whole row.

// The largest of x / temperature a group; NaN if the group holds one.
__global__ void __launch_bounds__(kThreads) groups_kernel(const __grid_constant__ DrawTask task) {
  wait_for_previous();
  const Draw& draw = task.draws[blockIdx.y];
  const float* const x = row_of(task, draw);
  const int groups = draw_groups(task.vocab_size), lane = threadIdx.x % 32;
  for (int group = blockIdx.x * kWarps + threadIdx.x / 32; group < groups; group += gridDim.x * kWarps) {
    float largest = -INFINITY;
    bool broken = false;
#pragma unroll
    for (int i = 0; i < kDrawGroup / 32; ++i) {
      const int id = group * kDrawGroup + i * 32 + lane;
      const float value = id < task.vocab_size ? x[id] / draw.temperature : -INFINITY;
      broken |= isnan(value);
      largest = fmaxf(largest, value);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
      largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
    broken = __any_sync(0xFFFFFFFFu, broken);
    if (lane == 0) task.groups[int64_t{blockIdx.y} * groups + group] = broken ? NAN : largest;
  }
}

// The CTA's largest value, NaN if one is; for all threads. `scratch`: [kWarps] shared, not in use.
__device__ inline float largest_of(const float* groups, int count, float* scratch) {
  float largest = -INFINITY;
  bool broken = false;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    broken |= isnan(groups[i]);
    largest = fmaxf(largest, groups[i]);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
  if (__any_sync(0xFFFFFFFFu, broken)) largest = NAN;
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = largest;
  __syncthreads();
  largest = scratch[0];
  for (int warp = 1; warp < kWarps; ++warp) {
    const float other = scratch[warp];
    largest = isnan(largest) || isnan(other) ? NAN : fmaxf(largest, other);
  }
  return largest;
}

struct Best {
  float score = -INFINITY;
  int32_t id = -1;
};
__device__ inline Best better(const Best& a, const Best& b) {
  if (a.id < 0) return b;
  if (b.id < 0) return a;
  return b.score > a.score || (b.score == a.score && b.id < a.id) ? b : a;
}
// The CTA's best, in thread 0. `scratch`: [kWarps] shared, not in use.
__device__ inline Best best_of(Best best, Best* scratch) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const Best other{__shfl_xor_sync(0xFFFFFFFFu, best.score, step),
                     __shfl_xor_sync(0xFFFFFFFFu, best.id, step)};
    best = better(best, other);
  }
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = best;
  __syncthreads();
  best = scratch[0];
  for (int warp = 1; warp < kWarps; ++warp) best = better(best, scratch[warp]);
  return best;
}

// Probability relative to the likeliest, in units of 2^-40: docs/sampling.md.
__device__ inline uint64_t mass_of(float x, float largest) {
  return static_cast<uint64_t>(exact_exp(x - largest) * 0x1p40f);
}
__device__ inline uint64_t sum_of(uint64_t sum, uint64_t* scratch) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = sum;
  __syncthreads();
  sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += scratch[warp];
  return sum;
}

// kAll: a thread's best of 4 ids at a time, which share a block of noise. kMass: the sum of masses.
__global__ void __launch_bounds__(kThreads) over_all_kernel(const __grid_constant__ DrawTask task) {
  wait_for_previous();
  __shared__ float scratch[kWarps];
  __shared__ Best bests[kWarps];
  __shared__ uint64_t sums[kWarps];
  const Draw& draw = task.draws[blockIdx.y];
  if (draw.mode != DrawMode::kAll && draw.mode != DrawMode::kMass) return;
  const int count = draw_groups(task.vocab_size);
  const float* const groups = task.groups + int64_t{blockIdx.y} * count;
  const float largest = largest_of(groups, count, scratch);
  if (!isfinite(largest)) return;  // choose finds the same
  const float* const x = row_of(task, draw);
  const int64_t at = int64_t{blockIdx.y} * kDrawSlices + blockIdx.x;
  const int stride = kDrawSlices * kThreads;
  if (draw.mode == DrawMode::kMass) {
    uint64_t mass = 0;
    for (int id = blockIdx.x * kThreads + threadIdx.x; id < task.vocab_size; id += stride) {
      const float value = x[id] / draw.temperature;
      if (value - largest > -28.0f) mass += mass_of(value, largest);
    }
    mass = sum_of(mass, sums);
    if (threadIdx.x == 0) task.masses[at] = mass;
    return;
  }
  Best best;
  for (int quad = blockIdx.x * kThreads + threadIdx.x; quad * 4 < task.vocab_size; quad += stride) {
    // Ids that far behind the best score so far cannot win.
    if (best.id >= 0 && groups[quad * 4 / kDrawGroup] - largest + kNoiseMax < best.score) continue;
    const PhiloxBlock words =
        gumbel_words(draw.seed, draw.sample_idx, draw.output_position, static_cast<uint32_t>(quad));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int id = quad * 4 + i;
      const float value = id < task.vocab_size ? x[id] / draw.temperature : -INFINITY;
      if (value == -INFINITY) continue;
      best = better(best, {(value - largest) + gumbel_from_word(words[static_cast<size_t>(i)]), id});
    }
  }
  best = best_of(best, bests);
  if (threadIdx.x == 0) {
    task.best_scores[at] = best.score;
    task.best_ids[at] = best.id;
  }
}

// ---------------------------------------------------------------------------------------------------------------
// A CTA a draw.

// Order of floats as that of unsigned integers; both zeros are one.
__device__ inline uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ inline float value_of(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7FFFFFFFu : ~key);
}

struct Chooser {
  const DrawTask& task;
  const Draw& draw;
  const float* x;
  const float* groups;  // shared
  int group_count;
  float largest;
  uint64_t* candidates;  // shared: key, then the id's complement; falling = by falling x, ties by id
  int count;             // of candidates; the same in all threads

  __device__ float candidate_x(int i) const { return value_of(static_cast<uint32_t>(candidates[i] >> 32)); }
  __device__ int32_t candidate_id(int i) const {
    return static_cast<int32_t>(~static_cast<uint32_t>(candidates[i]));
  }

  // The k-th largest of the groups' values: at least k ids reach it. Minus infinity with fewer groups.
  __device__ float kth_group(int k) const {
    if (k < 1 || k > group_count) return -INFINITY;
    __shared__ int bins[256];
    __shared__ uint32_t chosen;
    __shared__ int rank;
    uint32_t prefix = 0;
    int wanted = k;  // among those with the prefix
    for (int shift = 24; shift >= 0; shift -= 8) {
      for (int i = threadIdx.x; i < 256; i += kThreads) bins[i] = 0;
      __syncthreads();
      const uint32_t high = shift == 24 ? 0 : 0xFFFFFFFFu << (shift + 8);
      for (int i = threadIdx.x; i < group_count; i += kThreads) {
        const uint32_t key = key_of(groups[i]);
        if ((key & high) == prefix) atomicAdd(&bins[key >> shift & 255], 1);
      }
      __syncthreads();
      if (threadIdx.x == 0) {
        int bin = 255, left = wanted;
        while (bin > 0 && bins[bin] < left) left -= bins[bin--];
        chosen = prefix | static_cast<uint32_t>(bin) << shift;
        rank = left;
      }
      __syncthreads();
      prefix = chosen;
      wanted = rank;
    }
    return value_of(prefix);
  }

  // All ids with x >= bound that can be drawn, sorted; false if they are too many.
  __device__ bool collect(float bound) {
    __shared__ int used;
    __syncthreads();
    if (threadIdx.x == 0) used = 0;
    __syncthreads();
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int group = warp; group < group_count; group += kWarps) {
      if (!(groups[group] >= bound)) continue;
#pragma unroll
      for (int i = 0; i < kDrawGroup / 32; ++i) {
        const int id = group * kDrawGroup + i * 32 + lane;
        if (id >= task.vocab_size) continue;
        const float value = x[id] / draw.temperature;
        if (!(value >= bound) || value == -INFINITY) continue;
        const int place = atomicAdd(&used, 1);
        if (place < kDrawCandidatesMax)
          candidates[place] = uint64_t{key_of(value)} << 32 | ~static_cast<uint32_t>(id);
      }
    }
    __syncthreads();
    if (used > kDrawCandidatesMax) return false;
    count = used;
    sort();
    return true;
  }

  // Bitonic, falling; the places up to the next power of two are filled with the smallest.
  __device__ void sort() {
    int size = 1;
    while (size < count) size *= 2;
    for (int i = count + static_cast<int>(threadIdx.x); i < size; i += kThreads) candidates[i] = 0;
    for (int width = 2; width <= size; width *= 2) {
      for (int step = width / 2; step > 0; step /= 2) {
        __syncthreads();
        for (int i = threadIdx.x; i < size / 2; i += kThreads) {
          const int low = i / step * 2 * step + i % step, high = low + step;
          const bool falling = (low & width) == 0;
          const uint64_t a = candidates[low], b = candidates[high];
          if ((a < b) == falling) {
            candidates[low] = b;
            candidates[high] = a;
          }
        }
      }
    }
    __syncthreads();
  }

  // Keeps the candidates before the first that fails.
  template <typename Predicate>
  __device__ void keep_while(Predicate predicate) {
    __shared__ int first;
    __syncthreads();
    if (threadIdx.x == 0) first = count;
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += kThreads)
      if (!predicate(candidate_x(i))) atomicMin(&first, i);
    __syncthreads();
    count = first;
  }

  // Keeps the smallest leading run whose mass reaches top_p of the total; false if all of them do not.
  // total 0: that of the candidates.
  __device__ bool keep_mass(uint64_t total) {
    __shared__ uint64_t before[kThreads];
    __shared__ int kept;
    const int each = (count + kThreads - 1) / kThreads;
    const int begin = min(count, each * static_cast<int>(threadIdx.x)), end = min(count, begin + each);
    uint64_t own = 0;
    for (int i = begin; i < end; ++i) own += mass_of(candidate_x(i), largest);
    __syncthreads();
    before[threadIdx.x] = own;
    if (threadIdx.x == 0) kept = count + 1;
    __syncthreads();
    uint64_t sum = 0, all = 0;
    for (int i = 0; i < kThreads; ++i) {
      if (i == static_cast<int>(threadIdx.x)) sum = all;
      all += before[i];
    }
    const double wanted = static_cast<double>(draw.top_p) * static_cast<double>(total == 0 ? all : total);
    for (int i = begin; i < end; ++i) {
      sum += mass_of(candidate_x(i), largest);
      if (static_cast<double>(sum) >= wanted) {
        atomicMin(&kept, i + 1);
        break;
      }
    }
    __syncthreads();
    if (kept > count) return false;
    count = kept;
    return true;
  }

  __device__ bool select() {
    if (draw.mode == DrawMode::kMass) {
      uint64_t total = 0;
      for (int slice = 0; slice < kDrawSlices; ++slice)
        total += task.masses[int64_t{blockIdx.x} * kDrawSlices + slice];
      for (const float depth : {4.0f, 10.0f, 20.0f}) {
        if (!collect(largest - depth)) return false;
        if (keep_mass(total)) return true;
      }
      return false;
    }
    const float min_p_bound = draw.min_p > 0 ? largest + draw.min_p_bound : -INFINITY;
    if (!collect(fmaxf(min_p_bound, kth_group(draw.top_k)))) return false;
    if (draw.min_p > 0) keep_while([this](float value) { return exact_exp(value - largest) >= draw.min_p; });
    if (draw.top_k > 0 && draw.top_k < count) {
      const float kth = candidate_x(draw.top_k - 1);
      keep_while([kth](float value) { return value >= kth; });
    }
    if (draw.top_p < 1) keep_mass(0);  // reached at the last one at the latest
    return true;
  }
};

__device__ inline int32_t first_largest(const Chooser& own) {
  __shared__ int first_group, first_id;
  if (threadIdx.x == 0) first_group = first_id = 0x7FFFFFFF;
  __syncthreads();
  for (int i = threadIdx.x; i < own.group_count; i += kThreads)
    if (own.groups[i] == own.largest) atomicMin(&first_group, i);
  __syncthreads();
  const int id = first_group * kDrawGroup + static_cast<int>(threadIdx.x);
  if (threadIdx.x < kDrawGroup && id < own.task.vocab_size && own.x[id] / own.draw.temperature == own.largest)
    atomicMin(&first_id, id);
  __syncthreads();
  return first_id;
}

__global__ void __launch_bounds__(kThreads) choose_kernel(const __grid_constant__ DrawTask task) {
  wait_for_previous();
  extern __shared__ __align__(16) char shared[];  // candidates, then groups
  __shared__ float scratch[kWarps];
  __shared__ Best bests[kWarps];
  const Draw& draw = task.draws[blockIdx.x];
  const int group_count = draw_groups(task.vocab_size);
  auto* const groups = reinterpret_cast<float*>(shared + kDrawCandidatesMax * sizeof(uint64_t));
  for (int i = threadIdx.x; i < group_count; i += kThreads)
    groups[i] = task.groups[int64_t{blockIdx.x} * group_count + i];
  __syncthreads();
  const float largest = largest_of(groups, group_count, scratch);
  if (!isfinite(largest)) {
    if (threadIdx.x == 0) task.tokens[blockIdx.x] = kDrawNotFinite;
    return;
  }
  Chooser own{
      task, draw, row_of(task, draw), groups, group_count, largest, reinterpret_cast<uint64_t*>(shared), 0};
  if (draw.mode == DrawMode::kGreedy) {
    const int32_t token = first_largest(own);
    if (threadIdx.x == 0) task.tokens[blockIdx.x] = token;
    return;
  }
  Best best;
  if (draw.mode == DrawMode::kAll) {
    if (threadIdx.x < kDrawSlices) {
      const int64_t at = int64_t{blockIdx.x} * kDrawSlices + threadIdx.x;
      best = {task.best_scores[at], task.best_ids[at]};
    }
  } else {
    if (!own.select()) {
      if (threadIdx.x == 0) task.tokens[blockIdx.x] = kDrawUndecided;
      return;
    }
    for (int i = threadIdx.x; i < own.count; i += kThreads) {
      const int32_t id = own.candidate_id(i);
      const float noise = gumbel_noise(draw.seed, draw.sample_idx, draw.output_position, id);
      best = better(best, {(own.candidate_x(i) - largest) + noise, id});
    }
  }
  best = best_of(best, bests);
  if (threadIdx.x == 0) task.tokens[blockIdx.x] = best.id;
}

}  // namespace

void draw(const DrawTask& task, StreamHandle stream) {
  if (task.count == 0) return;
  const dim3 slices(kDrawSlices, task.count);
  if (task.any_adjusted) {
    launch_kernel<copy_masked_kernel>("copy_masked", slices, kThreads, 0, stream, task);
    launch_kernel<edit_kernel>("edit", task.count, kThreads, 0, stream, task);
  }
  launch_kernel<groups_kernel>("groups", slices, kThreads, 0, stream, task);
  if (task.any_over_all) {
    launch_kernel<over_all_kernel>("over_all", slices, kThreads, 0, stream, task);
  }
  const int bytes = kDrawCandidatesMax * 8 + draw_groups(task.vocab_size) * 4;
  once_a_device([](int) {
    const int most = kDrawCandidatesMax * 8 + kDrawVocabMax / kDrawGroup * 4;
    insist(cudaFuncSetAttribute(choose_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most), "choose");
    return most;
  });
  launch_kernel<choose_kernel>("choose", task.count, kThreads, bytes, stream, task);
}

}  // namespace minimax::backend::cuda
