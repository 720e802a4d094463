// Sums over ranks, fused with what follows in the residual stream, and the gathering of logits. peer.h says
// how ranks meet.
//
// Three forms of a sum, the same bits. Words: every rank sends its fp32 part of a row to all, each float with
// the count of the exchange, and sums the row itself: one way over the links, no fence, twice the bytes.
// Push: the same with one flag a row, set after a fence. Owned: each row is summed by one rank, which reads
// the others' parts and hands the bf16 result round; two meetings, but (ranks - 1) / ranks of 6 bytes an
// element instead of ranks - 1 of 4. Bound: the latency of the links for few rows, their bandwidth for many.

#include <algorithm>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/peer.cuh"
#include "backend/cuda/residual.cuh"

namespace minimax::backend::cuda {

namespace {

// Four columns of this rank's part of a row.
__device__ inline float4 own_quad(const ResidualTask& task, const float* partial, int64_t row, int quad) {
  if (task.parts != nullptr) return as_float4(combined_quad(task, row, quad));
  return reinterpret_cast<const float4*>(partial)[row * (task.width / 4) + quad];
}

// A rank alone: nothing to exchange.
template <int kQuads>
__global__ void __launch_bounds__(kRowThreads)
    alone_kernel(const __grid_constant__ ResidualTask task, const float* partial) {
  uint64_t* const stamp = begin_launch();
  const NormWeights<kQuads> norm(task);
  wait_for_previous(stamp);
  __shared__ float warps[kRowThreads / 32];
  const int64_t row = blockIdx.x;
  residual_row<true, kQuads>(
      task, norm, row,
      [&](int quad) {
        const float4 own = own_quad(task, partial, row, quad);
        return narrow_quad({{own.x, own.y, own.z, own.w}});
      },
      warps);
}

// Four columns of the sum over ranks. `row`: of rank 0; the others follow `stride` apart. A rank's row is two
// halves: of each four columns the first two, and the last two.
constexpr int kRanksAtOnce = 4;
__device__ inline Quad await_sum(const PeerView& peers, const uint4* row, int64_t stride, int quads, int quad,
                                 uint32_t turn) {
  Quad sum{};
  for (int begin = 0; begin < peers.ranks; begin += kRanksAtOnce) {
    uint4 words[kRanksAtOnce][2];
    spin_until(peers, [&] {
      bool all = true;
#pragma unroll
      for (int r = 0; r < kRanksAtOnce; ++r)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (begin + r < peers.ranks)
            words[r][half] = read_two(row + (begin + r) * stride + half * quads + quad);
#pragma unroll
      for (int r = 0; r < kRanksAtOnce; ++r)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (begin + r < peers.ranks) all = all && words[r][half].y == turn && words[r][half].w == turn;
      return all;
    });
#pragma unroll
    for (int r = 0; r < kRanksAtOnce; ++r)
      if (begin + r < peers.ranks)
        add(sum, {__uint_as_float(words[r][0].x), __uint_as_float(words[r][0].z),
                  __uint_as_float(words[r][1].x), __uint_as_float(words[r][1].z)});
  }
  return sum;
}

template <int kQuads>
__global__ void __launch_bounds__(kRowThreads)
    words_kernel(const __grid_constant__ ResidualTask task, const float* partial,
                 const __grid_constant__ PeerView peers) {
  uint64_t* const stamp = begin_launch();
  const NormWeights<kQuads> norm(task);
  wait_for_previous(stamp);
  __shared__ float warps[kRowThreads / 32];
  const int quads = task.width / 4;
  auto* const counts = peer_at<uint32_t>(peers, peers.rank, peers.at.word_counts);
  const int64_t stride = int64_t{kWordRows} * quads * 2;  // of a rank
  const auto place = [&](uint32_t turn, int64_t row) {
    return (turn & 1) * peers.ranks * stride + row * quads * 2;
  };
  for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    const uint32_t turn = counts[row] + 1;
    const int64_t to = place(turn, row) + peers.rank * stride;
    for (int i = threadIdx.x; i < quads; i += kRowThreads) {
      const float4 own = own_quad(task, partial, row, i);
      for (int r = 0; r < peers.ranks; ++r) {
        uint4* const words = peer_at<uint4>(peers, r, peers.at.words) + to;
        set_two(words + i, own.x, own.y, turn);
        set_two(words + quads + i, own.z, own.w, turn);
      }
    }
  }
  const auto* const words = peer_at<uint4>(peers, peers.rank, peers.at.words);
  for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    const uint32_t turn = counts[row] + 1;
    residual_row<true, kQuads>(
        task, norm, row,
        [&](int quad) {
          return narrow_quad(await_sum(peers, words + place(turn, row), stride, quads, quad, turn));
        },
        warps);
    __syncthreads();
    if (threadIdx.x == 0) counts[row] = turn;
  }
}

template <int kQuads>
__global__ void __launch_bounds__(kRowThreads)
    push_kernel(const __grid_constant__ ResidualTask task, const float* partial,
                const __grid_constant__ PeerView peers) {
  uint64_t* const stamp = begin_launch();
  const NormWeights<kQuads> norm(task);
  wait_for_previous(stamp);
  __shared__ float warps[kRowThreads / 32];
  const int quads = task.width / 4;
  auto* const counts = peer_at<uint32_t>(peers, peers.rank, peers.at.push_counts);
  const auto place = [&](uint32_t turn, int rank, int64_t row) {
    return ((int64_t{turn & 1} * peers.ranks + rank) * kPushRows + row) * quads;
  };
  for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    const uint32_t turn = counts[row] + 1;
    const int64_t to = place(turn, peers.rank, row);
    for (int i = threadIdx.x; i < quads; i += kRowThreads) {
      const float4 own = own_quad(task, partial, row, i);
      for (int r = 0; r < peers.ranks; ++r) peer_at<float4>(peers, r, peers.at.pushed)[to + i] = own;
    }
    __syncthreads();
    const int other = threadIdx.x;
    if (other < peers.ranks && other != peers.rank) {
      __threadfence_system();
      set_flag(peer_at<uint32_t>(peers, other, peers.at.push_flags) + peers.rank * kPushRows + row, turn);
    }
  }
  const auto* const pushed = peer_at<float4>(peers, peers.rank, peers.at.pushed);
  for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    const uint32_t turn = counts[row] + 1;
    const int other = threadIdx.x;
    if (other < peers.ranks && other != peers.rank) {
      const uint32_t* const flag =
          peer_at<uint32_t>(peers, peers.rank, peers.at.push_flags) + other * kPushRows + row;
      spin_until(peers, [=] { return came_to(read_flag(flag), turn); });
    }
    __syncthreads();
    residual_row<true, kQuads>(
        task, norm, row,
        [&](int quad) {
          Quad sum{};
          for (int r = 0; r < peers.ranks; ++r) add(sum, __ldcg(pushed + place(turn, r, row) + quad));
          return narrow_quad(sum);
        },
        warps);
    __syncthreads();
    if (threadIdx.x == 0) counts[row] = turn;
  }
}

template <int kQuads>
__global__ void __launch_bounds__(kRowThreads)
    owned_kernel(const __grid_constant__ ResidualTask task, const __grid_constant__ PeerView peers) {
  uint64_t* const stamp = begin_launch();
  const NormWeights<kQuads> norm(task);
  wait_for_previous(stamp);
  __shared__ float warps[kRowThreads / 32];
  const int quads = task.width / 4;
  uint32_t* const count = cta_count(peers);
  const uint32_t turn = *count + 1;
  if (task.parts != nullptr) {
    auto* const partial = peer_at<float4>(peers, peers.rank, peers.at.partials);
    for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x)
      for (int i = threadIdx.x; i < quads; i += kRowThreads)
        partial[row * quads + i] = as_float4(combined_quad(task, row, i));
  }
  meet_cta(peers, 0, turn);
  // Of the rows of a CTA, every ranks-th is this rank's. Loads of all ranks are under way at once.
  for (int64_t row = blockIdx.x + int64_t{peers.rank} * gridDim.x; row < task.rows;
       row += int64_t{gridDim.x} * peers.ranks) {
    for (int i = threadIdx.x; i < quads; i += kRowThreads) {
      float4 parts[kRanksMax];
#pragma unroll
      for (int r = 0; r < kRanksMax; ++r)
        if (r < peers.ranks)
          parts[r] = read_far(peer_at<float4>(peers, r, peers.at.partials) + row * quads + i);
      Quad sum{};
#pragma unroll
      for (int r = 0; r < kRanksMax; ++r)
        if (r < peers.ranks) add(sum, parts[r]);
      const uint2 y = narrow_quad(sum);
      for (int r = 0; r < peers.ranks; ++r) peer_at<uint2>(peers, r, peers.at.sums)[row * quads + i] = y;
    }
  }
  meet_cta(peers, 1, turn);
  const auto* const sums = peer_at<uint2>(peers, peers.rank, peers.at.sums);
  for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    residual_row<true, kQuads>(
        task, norm, row, [&](int quad) { return __ldcg(sums + row * quads + quad); }, warps);
    __syncthreads();
  }
  if (threadIdx.x == 0) *count = turn;
}

constexpr int kGatherCtas = 128;
constexpr int kPieceColumns = 4096;

__global__ void __launch_bounds__(kRowThreads) gather_kernel(const __grid_constant__ GatherTask task) {
  wait_for_previous();
  const PeerView& peers = task.peers;
  uint32_t* const count = cta_count(peers);
  const uint32_t turn = *count + 1;
  meet_cta(peers, 0, turn);  // by now the others have drawn from what is overwritten
  const float* const own = task.logits[peers.rank];
  const int pieces = (task.count + kPieceColumns - 1) / kPieceColumns, others = peers.ranks - 1;
  for (int64_t item = blockIdx.x; item < int64_t{task.rows} * pieces * others; item += gridDim.x) {
    const int piece = static_cast<int>(item / others % pieces);
    const int64_t row = item / others / pieces;
    // Each rank begins with another.
    const int other = (peers.rank + 1 + static_cast<int>(item % others)) % peers.ranks;
    const int64_t at = row * task.stride + task.begin;
    const int end = min((piece + 1) * kPieceColumns, task.count);
#pragma unroll 4
    for (int i = piece * kPieceColumns + static_cast<int>(threadIdx.x); i < end; i += kRowThreads)
      task.logits[other][at + i] = own[at + i];
  }
  meet_cta(peers, 1, turn);
  if (threadIdx.x == 0) *count = turn;
}

}  // namespace

// Whether pushing rows whole is faster than owning them, measured on H200: 192 rows with two ranks, 64 with
// four.
static bool pushes(int32_t rows, int32_t ranks) {
  return rows <= kPushRows && rows * (ranks - 1) <= 192;
}

template <int kQuads>
static void sum_over_ranks(const ResidualTask& task, const float* partial, const PeerView& peers,
                           PeerForm form, StreamHandle stream) {
  const auto most = [&]<auto kKernel>() {
    return std::min({ctas_at_once<kKernel>(kRowThreads, 0), peers.ctas_max, kPeerCtasMax});
  };
  if (peers.ranks == 1) {
    launch_kernel<alone_kernel<kQuads>>("residual_norm", task.rows, kRowThreads, 0, stream, task, partial);
  } else if (form == PeerForm::kWords || (form == PeerForm::kBySize && task.rows <= kWordRows)) {
    constexpr auto kKernel = words_kernel<kQuads>;
    const int ctas = std::min(task.rows, most.template operator()<kKernel>());
    launch_kernel<kKernel>("all-reduce", ctas, kRowThreads, 0, stream, task, partial, peers);
  } else if (form == PeerForm::kPush || (form == PeerForm::kBySize && pushes(task.rows, peers.ranks))) {
    constexpr auto kKernel = push_kernel<kQuads>;
    const int ctas = std::min(task.rows, most.template operator()<kKernel>());
    launch_kernel<kKernel>("all-reduce", ctas, kRowThreads, 0, stream, task, partial, peers);
  } else {
    constexpr auto kKernel = owned_kernel<kQuads>;
    const int each = (task.rows + peers.ranks - 1) / peers.ranks;
    launch_kernel<kKernel>("all-reduce", std::min(each, most.template operator()<kKernel>()), kRowThreads, 0,
                           stream, task, peers);
  }
}

void residual_norm_over_ranks(const ResidualTask& task, float* partial, const PeerView& peers, PeerForm form,
                              StreamHandle stream) {
  if (task.rows == 0) return;
  const auto sum = one_quad(task.width) ? sum_over_ranks<1> : sum_over_ranks<kRowQuadsMax>;
  sum(task, partial, peers, form, stream);
}

void gather_logits(const GatherTask& task, StreamHandle stream) {
  if (task.rows == 0 || task.peers.ranks == 1) return;
  launch_kernel<gather_kernel>("gathering of logits", std::min(kGatherCtas, task.peers.ctas_max), kRowThreads,
                               0, stream, task);
}

}  // namespace minimax::backend::cuda
