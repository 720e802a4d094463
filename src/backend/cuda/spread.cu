// Rows to the experts of all ranks and what those give back, where every data parallel replica has rows of
// its own. kernels.h says what is exchanged, peer.h how ranks meet.
//
// All rows go to all ranks: with the published 8 of 256 experts, a row has parts on 5.3 of 8 ranks on
// average, so lists of who needs what would spare a third of bytes that are few, and cost a meeting of their
// own. Of the way back only what holds parts is read. Bound: the latency of the links for few rows, their
// bandwidth for many.

#include <algorithm>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/peer.cuh"
#include "backend/cuda/residual.cuh"

namespace minimax::backend::cuda {

namespace {

__global__ void __launch_bounds__(kRowThreads) spread_kernel(const __grid_constant__ SpreadTask task) {
  wait_for_previous();
  const PeerView& peers = task.peers;
  uint32_t* const count = cta_count(peers);
  const uint32_t turn = *count + 1;
  const int pieces = task.width / 8, first = peers.rank % task.replica_ranks;
  const int64_t items =
      int64_t{(task.rows.own - first + task.replica_ranks - 1) / task.replica_ranks} * peers.ranks;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const int64_t row = item / peers.ranks * task.replica_ranks + first;
    // Each rank begins with another.
    const int to = (peers.rank + static_cast<int>(item % peers.ranks)) % peers.ranks;
    const auto* const from = reinterpret_cast<const uint4*>(task.x) + row * pieces;
    auto* const out = peer_at<uint4>(peers, to, peers.at.gathered) + (task.rows.begin + row) * pieces;
    for (int i = threadIdx.x; i < pieces; i += kRowThreads) out[i] = from[i];
  }
  meet_cta(peers, 0, turn);
  if (threadIdx.x == 0) *count = turn;
}

// A bit for each rank that holds an expert of the row.
__device__ inline uint32_t ranks_of(const ResidualTask& task, int64_t row) {
  uint32_t ranks = 0;
#pragma unroll 8
  for (int slot = 0; slot < task.slots; ++slot)
    ranks |= 1u << (task.slot_experts[row * task.slots + slot] / task.held.count);
  return ranks;
}

template <int kQuads>
__global__ void __launch_bounds__(kRowThreads)
    collect_kernel(const __grid_constant__ ResidualTask task, const __grid_constant__ WaveRows rows,
                   const __grid_constant__ PeerView peers) {
  uint64_t* const stamp = begin_launch();
  const NormWeights<kQuads> norm(task);
  wait_for_previous(stamp);
  __shared__ float warps[kRowThreads / 32];
  const int quads = task.width / 4;
  uint32_t* const count = cta_count(peers);
  const uint32_t turn = *count + 1;
  auto* const partial = peer_at<float4>(peers, peers.rank, peers.at.partials);
  for (int64_t row = blockIdx.x; row < rows.all; row += gridDim.x) {
    if ((ranks_of(task, row) >> peers.rank & 1) == 0) continue;
    for (int i = threadIdx.x; i < quads; i += kRowThreads)
      partial[row * quads + i] = as_float4(combined_quad(task, row, i));
  }
  meet_cta(peers, 0, turn);
  // The CTAs of this index have written the rows that this one reads.
  const int64_t step = gridDim.x, from = blockIdx.x;
  const int64_t first = from + (max(int64_t{0}, rows.begin - from) + step - 1) / step * step;
  for (int64_t row = first; row < rows.begin + rows.own; row += step) {
    const uint32_t ranks = ranks_of(task, row);
    residual_row<true, kQuads>(
        task, norm, row - rows.begin,
        [&](int quad) {
          float4 parts[kRanksMax];
#pragma unroll
          for (int r = 0; r < kRanksMax; ++r)
            if ((ranks >> r & 1) != 0)
              parts[r] = read_far(peer_at<float4>(peers, r, peers.at.partials) + row * quads + quad);
          Quad sum{};
#pragma unroll
          for (int r = 0; r < kRanksMax; ++r)
            if ((ranks >> r & 1) != 0) add(sum, parts[r]);
          return narrow_quad(sum);
        },
        warps);
    __syncthreads();
  }
  if (threadIdx.x == 0) *count = turn;
}

// The same on all ranks, whose devices are alike.
template <auto kKernel>
int ctas_for(const WaveRows& rows, const PeerView& peers) {
  return std::min({rows.all, ctas_at_once<kKernel>(kRowThreads, 0), peers.ctas_max, kPeerCtasMax});
}

}  // namespace

void spread_rows(const SpreadTask& task, StreamHandle stream) {
  if (task.rows.all == 0) return;
  launch_kernel<spread_kernel>("spread rows", ctas_for<spread_kernel>(task.rows, task.peers), kRowThreads, 0,
                               stream, task);
}

void collect_parts(const ResidualTask& task, const WaveRows& rows, const PeerView& peers,
                   StreamHandle stream) {
  if (rows.all == 0) return;
  const auto launch = [&]<int kQuads>() {
    constexpr auto kKernel = collect_kernel<kQuads>;
    launch_kernel<kKernel>("collect parts", ctas_for<kKernel>(rows, peers), kRowThreads, 0, stream, task,
                           rows, peers);
  };
  one_quad(task.width) ? launch.template operator()<1>() : launch.template operator()<kRowQuadsMax>();
}

}  // namespace minimax::backend::cuda
