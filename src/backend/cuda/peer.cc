#include "backend/cuda/peer.h"

#include <algorithm>
#include <utility>

#include <cuda_runtime_api.h>

#include "base/error.h"

namespace minimax::backend::cuda {

PeerOffsets peer_offsets(const PeerSizes& sizes, int32_t ranks) {
  PeerOffsets at;
  const auto place = [&at](int64_t& offset, int64_t bytes) {
    offset = at.bytes;
    at.bytes += (bytes + 255) / 256 * 256;
  };
  const int64_t rows = sizes.rows_max, hidden = sizes.hidden, parts = sizes.parts_max;
  place(at.partials, 4 * rows * hidden);
  place(at.cta_flags, int64_t{2} * ranks * kPeerCtasMax * 4);
  place(at.cta_counts, int64_t{4} * kPeerCtasMax);
  place(at.gathered, int64_t{2} * sizes.gathered_rows * hidden);
  if (!sizes.sums) return at;
  place(at.sums, 2 * rows * hidden);
  place(at.words, int64_t{2} * ranks * kWordRows * hidden * 8);
  place(at.word_counts, int64_t{4} * kWordRows);
  place(at.pushed, int64_t{2} * ranks * kPushRows * hidden * 4);
  place(at.push_flags, int64_t{4} * ranks * kPushRows);
  place(at.push_counts, int64_t{4} * kPushRows);
  place(at.squares, int64_t{2} * ranks * rows * 2 * 8);
  place(at.square_counts, rows * 2 * 4);
  place(at.maxima, int64_t{2} * ranks * parts * 2 * 8);
  place(at.maxima_counts, parts * 2 * 4);
  return at;
}

// Lets the current device reach the memory of `to`.
static void enable_access(int32_t from, int32_t to) {
  int can = 0;
  require(cudaDeviceCanAccessPeer(&can, from, to), "cudaDeviceCanAccessPeer");
  if (can == 0)
    throw Error(
        "cuda: device {} cannot reach the memory of device {}; tensor parallel ranks need peer access", from,
        to);
  const cudaError_t error = cudaDeviceEnablePeerAccess(to, 0);
  if (error == cudaErrorPeerAccessAlreadyEnabled) {
    cudaGetLastError();
    return;
  }
  require(error, "cudaDeviceEnablePeerAccess");
}

PeerGroup::PeerGroup(std::vector<int32_t> devices, const PeerSizes& sizes, int32_t wait_seconds,
                     int32_t ranks_a_device)
    : devices_(std::move(devices)),
      sizes_(sizes),
      wait_seconds_(wait_seconds),
      ranks_a_device_(ranks_a_device) {
  const int32_t count = ranks();
  if (count < 1 || count > kRanksMax) throw Error("cuda: {} ranks: expected 1 to {}", count, kRanksMax);
  std::vector<DeviceInfo> infos;
  for (const int32_t device : devices_) infos.push_back(select_device(device));
  for (size_t r = 1; r < infos.size(); ++r)
    if (infos[r].name != infos[0].name)
      throw Error("cuda: devices of one model must be alike, found {} and {}", infos[0].name, infos[r].name);
  for (const int32_t device : devices_)
    ranks_a_device_ =
        std::max(ranks_a_device_, static_cast<int32_t>(std::count(devices_.begin(), devices_.end(), device)));
  if (ranks_a_device_ > 1) {
    ctas_max_ = std::max(1, (infos[0].processors - 1) / (ranks_a_device_ - 1));
    no_overlap_.emplace();
  }
  for (const int32_t from : devices_) {
    select_device(from);
    for (const int32_t to : devices_)
      if (from != to) enable_access(from, to);
    memory_.emplace_back(peer_offsets(sizes_, count).bytes, "exchange between ranks");
  }
  shared_.resize(devices_.size());
  barrier_ = std::make_unique<std::barrier<>>(count);
  for (auto& rows : step_rows_) rows.resize(devices_.size());
  odd_step_.resize(devices_.size());
}

std::span<const int32_t> PeerGroup::rows_of_all(int32_t rank, int32_t own_rows) {
  uint8_t& odd = odd_step_[static_cast<size_t>(rank)];
  // Of two lists in turn: nobody writes into one before all have come to the other.
  std::vector<int32_t>& rows = step_rows_[odd];
  odd ^= 1;
  rows[static_cast<size_t>(rank)] = own_rows;
  meet();
  return rows;
}

PeerView PeerGroup::view(int32_t rank) const {
  PeerView view{.ranks = ranks(),
                .rank = rank,
                .ctas_max = ctas_max_,
                .wait_seconds = wait_seconds_,
                .sizes = sizes_,
                .at = peer_offsets(sizes_, ranks()),
                .memory = {}};
  for (size_t r = 0; r < memory_.size(); ++r) view.memory[r] = memory_[r].data();
  return view;
}

}  // namespace minimax::backend::cuda
