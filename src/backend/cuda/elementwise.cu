// The kernels that go over rows once: embedding, residual stream with norm and quantisation, rotation.
// Bound: memory, or the launch for few rows. docs/numerics.md says what is rounded where.

#include <algorithm>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/peer.cuh"
#include "backend/cuda/residual.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kThreads = 256;

int64_t blocks_for(int64_t count) {
  return (count + kThreads - 1) / kThreads;
}

__host__ __device__ inline int groups_of(int columns) {
  return (columns + kScaleCols - 1) / kScaleCols;
}

__global__ void embed_kernel(const __grid_constant__ EmbedTask task) {
  wait_for_previous();
  int token = task.tokens[blockIdx.x], part = 0;
  if (task.parts == 1) {
    token = (token - task.first_row[0]) % (task.first_row[1] - task.first_row[0]);
    if (token < 0) token += task.first_row[1] - task.first_row[0];
  } else {
    while (token >= task.first_row[part + 1]) ++part;
    token -= task.first_row[part];
  }
  const uint16_t* const from = task.tables[part] + int64_t{token} * task.hidden;
  for (int i = threadIdx.x; i < task.hidden; i += kThreads)
    task.out[int64_t{blockIdx.x} * task.hidden + i] = from[i];
}

// A warp a group of 128 columns, a lane 4 of them. A slice may begin inside a group.
struct Group {
  Quad values;   // zeros outside the row
  int64_t quad;  // where in x; -1: outside
  __device__ Group(const QuantiseTask& task, int64_t row, int group) {
    const int column = group * kScaleCols - task.lead + static_cast<int>(threadIdx.x % 32) * 4;
    const bool inside = column >= 0 && column < task.width;
    quad = inside ? (row * task.width + column) / 4 : -1;
    values = inside ? widen_quad(reinterpret_cast<const uint2*>(task.x)[quad]) : Quad{};
  }
  __device__ void store(const QuantiseTask& task, float amax, float* scale_out) const {
    const float scale = quantisation_scale(amax);
    if (quad >= 0) store_quantised(task.out, task.order, quad, quantised_quad(values.at, scale));
    if (threadIdx.x % 32 == 0) *scale_out = scale;
  }
};

__global__ void quantise_kernel(const __grid_constant__ QuantiseTask task) {
  wait_for_previous();
  const int groups = groups_of(task.lead + task.width);
  const int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32;
  if (at >= int64_t{task.rows} * groups) return;
  if (task.held.count != 0 && !task.held.holds(task.row_experts[at / groups])) return;
  const Group group(task, at / groups, static_cast<int>(at % groups));
  group.store(task, warp_amax(group.values), task.scales + at);
}

// The ranks that hold columns of a group: which, and where each keeps its maximum. Every rank holds as many
// columns as this one, in the order of ranks.
struct GroupShare {
  int first, last;
  __device__ GroupShare(const QuantiseTask& task, int group) {
    const int block = task.peers.rank * task.width / kScaleCols + group;
    first = block * kScaleCols / task.width;
    last = min(((block + 1) * kScaleCols - 1) / task.width, task.peers.ranks - 1);
  }
  // 0 if the group is the first of rank `r`, else 1: no other is cut.
  __device__ static int side(const QuantiseTask& task, int r, int group) {
    return r * task.width / kScaleCols == task.peers.rank * task.width / kScaleCols + group ? 0 : 1;
  }
};

// The same where groups are cut: their maxima are exchanged first. A warp a group, in turns.
__global__ void quantise_cut_kernel(const __grid_constant__ QuantiseTask task) {
  wait_for_previous();
  const PeerView& peers = task.peers;
  const int groups = groups_of(task.lead + task.width), lane = threadIdx.x % 32;
  const int64_t count = int64_t{task.rows} * groups, step = int64_t{gridDim.x} * (kThreads / 32);
  const int64_t begin = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32;
  auto* const counts = peer_at<uint32_t>(peers, peers.rank, peers.at.maxima_counts);
  const auto place = [&](uint32_t turn, int rank, int64_t row, int side) {
    return ((int64_t{turn & 1} * peers.ranks + rank) * peers.sizes.parts_max + row) * 2 + side;
  };
  for (int64_t at = begin; at < count; at += step) {
    const int64_t row = at / groups;
    const int group = static_cast<int>(at % groups);
    const GroupShare share(task, group);
    if (share.first == share.last) continue;
    const float amax = warp_amax(Group(task, row, group).values);
    const int side = GroupShare::side(task, peers.rank, group);
    const uint32_t turn = counts[row * 2 + side] + 1;
    const int other = share.first + lane;
    if (other <= share.last && other != peers.rank)
      set_word(peer_at<uint64_t>(peers, other, peers.at.maxima) + place(turn, peers.rank, row, side),
               word_of(amax, turn));
  }
  for (int64_t at = begin; at < count; at += step) {
    const int64_t row = at / groups;
    const int group = static_cast<int>(at % groups);
    const GroupShare share(task, group);
    const Group own(task, row, group);
    float amax = warp_amax(own.values);
    if (share.first != share.last) {
      const int side = GroupShare::side(task, peers.rank, group);
      const uint32_t turn = counts[row * 2 + side] + 1;
      const int other = share.first + lane;
      if (other <= share.last && other != peers.rank)
        amax = fmaxf(amax, await_word(peers,
                                      peer_at<uint64_t>(peers, peers.rank, peers.at.maxima) +
                                          place(turn, other, row, GroupShare::side(task, other, group)),
                                      turn));
#pragma unroll
      for (int half = 16; half > 0; half /= 2) amax = fmaxf(amax, __shfl_xor_sync(0xFFFFFFFFu, amax, half));
      if (lane == 0) counts[row * 2 + side] = turn;
    }
    own.store(task, amax, task.scales + at);
  }
}

template <int kQuads>
__global__ void __launch_bounds__(kRowThreads)
    residual_norm_kernel(const __grid_constant__ ResidualTask task) {
  uint64_t* const stamp = begin_launch();
  const NormWeights<kQuads> norm(task);
  wait_for_previous(stamp);
  __shared__ float warps[kRowThreads / 32];
  const int64_t row = blockIdx.x;
  const int quads = task.width / 4;
  if (task.parts != nullptr) {
    residual_row<true, kQuads>(
        task, norm, row, [&](int quad) { return narrow_quad(combined_quad(task, row, quad)); }, warps);
  } else if (task.y != nullptr) {
    residual_row<true, kQuads>(
        task, norm, row, [&](int quad) { return reinterpret_cast<const uint2*>(task.y)[row * quads + quad]; },
        warps);
  } else {
    residual_row<false, kQuads>(
        task, norm, row, [](int) { return uint2{}; }, warps);
  }
}

__global__ void rope_table_kernel(const int32_t* positions, const double* frequencies, int rows, int half,
                                  float* cos_out, float* sin_out) {
  wait_for_previous();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{rows} * half) return;
  double s, c;
  sincos(static_cast<double>(positions[i / half]) * frequencies[i % half], &s, &c);
  cos_out[i] = static_cast<float>(c);
  sin_out[i] = static_cast<float>(s);
}

// One projection of a row into shared memory; a thread's share of its sum of squares.
__device__ inline float load_heads(const uint16_t* from, int width, uint16_t* to) {
  auto* const values = reinterpret_cast<uint2*>(to);
  float sum = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < width / 4; i += kThreads) {
    values[i] = reinterpret_cast<const uint2*>(from)[i];
    const Quad value = widen_quad(values[i]);
#pragma unroll
    for (int e = 0; e < 4; ++e) sum = __fmaf_rn(value.at[e], value.at[e], sum);
  }
  return sum;
}

// The norm's weights for this thread's first values of a projection; may be loaded before the row is there.
constexpr int kHeadQuads = 2;
struct HeadNorm {
  const float* norm;
  float4 at[kHeadQuads];
  __device__ HeadNorm(const float* weights, int width) : norm(weights) {
#pragma unroll
    for (int n = 0; n < kHeadQuads; ++n) {
      const int i = n * kThreads + static_cast<int>(threadIdx.x);
      if (norm != nullptr && i < width / 4) at[n] = reinterpret_cast<const float4*>(norm)[i];
    }
  }
};

__device__ inline void norm_heads(uint16_t* heads, int width, const HeadNorm& norm, float factor,
                                  uint16_t* normed) {
  auto* const values = reinterpret_cast<uint2*>(heads);
  const auto apply = [&](int i, const float4& weight) {
    const Quad value = widen_quad(values[i]);
    values[i] = narrow_quad({{value.at[0] * factor * weight.x, value.at[1] * factor * weight.y,
                              value.at[2] * factor * weight.z, value.at[3] * factor * weight.w}});
    if (normed != nullptr) reinterpret_cast<uint2*>(normed)[i] = values[i];
  };
#pragma unroll
  for (int n = 0; n < kHeadQuads; ++n) {
    const int i = n * kThreads + static_cast<int>(threadIdx.x);
    if (i < width / 4) apply(i, norm.at[n]);
  }
  for (int i = kHeadQuads * kThreads + static_cast<int>(threadIdx.x); i < width / 4; i += kThreads)
    apply(i, reinterpret_cast<const float4*>(norm.norm)[i]);
}

// Element i of heads in shared memory, turned.
__device__ inline float turned(const uint16_t* values, int i, int half, const float* cos, const float* sin) {
  const int dim = i % kHeadDim;
  if (dim >= 2 * half) return widen(values[i]);
  const int pair = dim < half ? dim : dim - half;
  const float c = cos[pair], s = sin[pair];
  const float low = widen(values[i - dim + pair]), high = widen(values[i - dim + pair + half]);
  return dim < half ? low * c - high * s : high * c + low * s;
}
__device__ inline uint32_t turned_pair(const uint16_t* values, int pair, int half, const float* cos,
                                       const float* sin) {
  return narrow_pair(turned(values, 2 * pair, half, cos, sin), turned(values, 2 * pair + 1, half, cos, sin));
}

// The sums of squares of a row, exchanged: q at side 0, k at side 1.
__device__ inline int64_t square_place(const PeerView& peers, uint32_t turn, int rank, int64_t row) {
  return ((int64_t{turn & 1} * peers.ranks + rank) * peers.sizes.rows_max + row) * 2 + blockIdx.y;
}
__device__ inline void send_square(const PeerView& peers, uint32_t turn, int64_t row, float sum) {
  const int other = threadIdx.x;
  if (other < peers.ranks)
    set_word(peer_at<uint64_t>(peers, other, peers.at.squares) + square_place(peers, turn, peers.rank, row),
             word_of(sum, turn));
}
// Over the ranks 0, step, 2 * step and so on, in this order; for all threads. `sums`: [kRanksMax] shared, not
// in use.
__device__ inline float await_squares(const PeerView& peers, uint32_t turn, int64_t row, int step,
                                      float* sums) {
  const int other = threadIdx.x;
  if (other < peers.ranks)
    sums[other] = await_word(
        peers, peer_at<uint64_t>(peers, peers.rank, peers.at.squares) + square_place(peers, turn, other, row),
        turn);
  __syncthreads();
  float total = 0;
  for (int r = 0; r < peers.ranks; r += step) total += sums[r];
  return total;
}

// K, turned, and V of a row into the cache.
__device__ inline void store_kv(const RotateTask& task, int64_t row, int64_t place_of_row,
                                const uint16_t* heads, const float* cos, const float* sin) {
  const int kv_width = task.kv.kv_heads * kHeadDim;
  const int64_t block = place_of_row / task.kv.block_tokens, place = place_of_row % task.kv.block_tokens;
  std::byte* const base = task.kv.base + block * task.kv.block_bytes;
  const auto* const v = reinterpret_cast<const uint32_t*>(task.v + row * kv_width);
  for (int i = threadIdx.x; i < kv_width / 2; i += kThreads) {
    const uint32_t k = turned_pair(heads, i, task.half, cos, sin);
    std::byte* const at = base + task.kv.place(2 * i / kHeadDim, place) + 2 * i % kHeadDim * 2;
    *reinterpret_cast<uint32_t*>(at) = k;
    *reinterpret_cast<uint32_t*>(at + task.kv.v_bytes) = v[i];
    if (task.k_out != nullptr) reinterpret_cast<uint32_t*>(task.k_out + row * kv_width)[i] = k;
  }
}

// The same as codes and scales. A warp a head of K or V, a lane four values.
__device__ inline void store_kv_fp8(const RotateTask& task, int64_t row, int64_t place_of_row,
                                    const uint16_t* heads, const float* cos, const float* sin) {
  const int kv_width = task.kv.kv_heads * kHeadDim, lane = threadIdx.x % 32;
  const int64_t block = place_of_row / task.kv.block_tokens, place = place_of_row % task.kv.block_tokens;
  for (int item = static_cast<int>(threadIdx.x) / 32; item < 2 * task.kv.kv_heads; item += kThreads / 32) {
    const int head = item / 2, quad = head * kHeadDim / 4 + lane;
    const bool is_v = item % 2 != 0;
    uint2 bits;
    if (is_v) {
      bits = reinterpret_cast<const uint2*>(task.v + row * kv_width)[quad];
    } else {
      bits = {turned_pair(heads, 2 * quad, task.half, cos, sin),
              turned_pair(heads, 2 * quad + 1, task.half, cos, sin)};
      if (task.k_out != nullptr) reinterpret_cast<uint2*>(task.k_out + row * kv_width)[quad] = bits;
    }
    const Quad value = widen_quad(bits);
    float scale = quantisation_scale(warp_amax(value));
    const bool finite =
        isfinite(value.at[0]) && isfinite(value.at[1]) && isfinite(value.at[2]) && isfinite(value.at[3]);
    std::byte* const base = task.kv.base + block * task.kv.block_bytes + (is_v ? task.kv.v_bytes : 0);
    reinterpret_cast<uint32_t*>(base + task.kv.place(head, place))[lane] = quantised_quad(value.at, scale);
    if (!__all_sync(0xFFFFFFFFu, finite)) scale = __builtin_nanf("");
    if (lane == 0) *reinterpret_cast<float*>(base + task.kv.scale_place(head, place)) = scale;
  }
}

// Two CTAs a row: q, then k and v; rows in turns where there are more than CTAs.
__global__ void __launch_bounds__(kThreads) rotate_kernel(const __grid_constant__ RotateTask task) {
  uint64_t* const stamp = begin_launch();
  extern __shared__ __align__(16) uint16_t heads[];                          // [the wider of q and k]
  __shared__ float warps[kThreads / 32], sums[kRanksMax], angles[kHeadDim];  // cosines, sines
  const PeerView& peers = task.peers;
  const bool is_q = blockIdx.y == 0;
  const int width = (is_q ? task.q_heads : task.kv.kv_heads) * kHeadDim;
  const uint16_t* const from = is_q ? task.q : task.k;
  const HeadNorm norm(is_q ? task.q_norm : task.k_norm, width);
  uint16_t* const normed = is_q ? task.q_normed : task.k_normed;
  const bool exchanges = norm.norm != nullptr && peers.ranks > 1;
  auto* const counts = peer_at<uint32_t>(peers, peers.rank, peers.at.square_counts) + blockIdx.y;
  const bool once = task.rows <= static_cast<int>(gridDim.x);
  const auto angle_of = [&](int64_t row) {
    const int i = static_cast<int>(threadIdx.x);
    return i < task.half ? task.cos[row * task.half + i] : task.sin[row * task.half + i - task.half];
  };
  const int64_t first_place = task.places[blockIdx.x];
  wait_for_previous(stamp);
  const float first_angle = static_cast<int>(threadIdx.x) < 2 * task.half ? angle_of(blockIdx.x) : 0.0f;
  float sum = 0;
  for (int64_t row = blockIdx.x; (exchanges || once) && row < task.rows; row += gridDim.x) {
    sum = load_heads(from + row * width, width, heads);
    if (norm.norm != nullptr) sum = cta_sum<kThreads>(sum, warps);
    if (exchanges) send_square(peers, counts[row * 2] + 1, row, sum);
    __syncthreads();
  }
  for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    if (static_cast<int>(threadIdx.x) < 2 * task.half)
      angles[threadIdx.x] = row == static_cast<int>(blockIdx.x) ? first_angle : angle_of(row);
    if (!once) {
      sum = load_heads(from + row * width, width, heads);
      if (norm.norm != nullptr && !exchanges) sum = cta_sum<kThreads>(sum, warps);
    }
    if (exchanges) {
      const uint32_t turn = counts[row * 2] + 1;
      sum = await_squares(peers, turn, row, is_q ? 1 : task.k_copies, sums);
      if (threadIdx.x == 0) counts[row * 2] = turn;
    }
    if (norm.norm != nullptr)
      norm_heads(heads, width, norm, norm_factor(sum, is_q ? task.q_width : task.k_width, task.eps),
                 normed != nullptr ? normed + row * width : nullptr);
    __syncthreads();
    const float *const cos = angles, *const sin = angles + task.half;
    if (is_q) {
      auto* const out = reinterpret_cast<uint32_t*>(task.q_out + row * width);
      for (int i = threadIdx.x; i < width / 2; i += kThreads)
        out[i] = turned_pair(heads, i, task.half, cos, sin);
    } else {
      const int64_t place = row == static_cast<int>(blockIdx.x) ? first_place : task.places[row];
      if (task.kv.fp8) {
        store_kv_fp8(task, row, place, heads, cos, sin);
      } else {
        store_kv(task, row, place, heads, cos, sin);
      }
    }
    __syncthreads();  // the heads are read
  }
}

}  // namespace

void embed(const EmbedTask& task, int32_t rows, StreamHandle stream) {
  launch_kernel<embed_kernel>("embed", rows, kThreads, 0, stream, task);
}

void residual_norm(const ResidualTask& task, StreamHandle stream) {
  if (task.rows == 0) return;
  const auto launch = [&]<int kQuads>() {
    launch_kernel<residual_norm_kernel<kQuads>>("residual_norm", task.rows, kRowThreads, 0, stream, task);
  };
  one_quad(task.width) ? launch.operator()<1>() : launch.operator()<kRowQuadsMax>();
}

void quantise(const QuantiseTask& task, StreamHandle stream) {
  const int64_t warps = int64_t{task.rows} * groups_of(task.lead + task.width);
  const bool cut = task.peers.ranks > 1 && task.width % kScaleCols != 0;
  if (!cut) {
    launch_kernel<quantise_kernel>("quantise", blocks_for(warps * 32), kThreads, 0, stream, task);
    return;
  }
  const int64_t most = std::min(ctas_at_once<quantise_cut_kernel>(kThreads, 0), task.peers.ctas_max);
  launch_kernel<quantise_cut_kernel>("quantise", std::min(blocks_for(warps * 32), most), kThreads, 0, stream,
                                     task);
}

void rope_table(const int32_t* positions, const double* frequencies, int32_t rows, int32_t half, float* cos,
                float* sin, StreamHandle stream) {
  launch_kernel<rope_table_kernel>("rope_table", blocks_for(int64_t{rows} * half), kThreads, 0, stream,
                                   positions, frequencies, rows, half, cos, sin);
}

void rotate(const RotateTask& task, StreamHandle stream) {
  const int bytes = std::max(task.q_heads, task.kv.kv_heads) * kHeadDim * 2;
  int ctas = task.rows;
  if (task.peers.ranks > 1) {
    const int most = std::min(ctas_at_once<rotate_kernel>(kThreads, bytes), task.peers.ctas_max);
    ctas = std::min(ctas, std::max(1, most / 2));
  }
  launch_kernel<rotate_kernel>("rotate", dim3(ctas, 2), kThreads, bytes, stream, task);
}

}  // namespace minimax::backend::cuda
