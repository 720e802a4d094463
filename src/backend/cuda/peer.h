#pragma once
// Ranks of one tensor-parallel model as threads of one process, each with its device: what they exchange goes
// by loads and stores to each other's memory. No copies by the driver, no multicast.
//
// Every rank has exchange memory, laid out alike. Kernels push into that of the others and wait on flags in
// their own (peer.cuh); a flag counts how often its row was exchanged, so recorded graphs need no arguments
// that change. A sum over ranks is taken in the order of ranks by every rank: all get the same bits.
//
// Kernels that wait need their CTAs, and the CTAs they wait for, to be resident. On devices of their own that
// is given. Ranks that share a device (for tests) hold such kernels to fewer CTAs than it has multiprocessors
// and switch off early launches: whatever waits, one multiprocessor is free for what it waits for.
//
// Data parallel replicas that share their experts exchange through a group of all their ranks, and each
// replica of several ranks through one of its own beside it.
//
// A rank that waits too long ends the process: its kernel traps, and the device is lost.

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/cuda/device.h"

namespace minimax::backend::cuda {

inline constexpr int32_t kRanksMax = 8;
inline constexpr int32_t kPeerWaitSeconds = 20;
inline constexpr int32_t kWordRows = 32;       // rows that are pushed as words, each with its count: no flags
inline constexpr int32_t kPushRows = 256;      // rows that are pushed whole; more are summed by their owners
inline constexpr int32_t kPeerCtasMax = 2048;  // of a kernel that waits

struct PeerSizes {
  int32_t rows_max = 0;  // of a step
  int32_t hidden = 0;
  int32_t parts_max = 0;  // rows times experts a token
  // Of ranks whose rows differ (kernels.h, spread_rows): rows of all together, else 0.
  int32_t gathered_rows = 0;
  bool sums = true;  // of ranks with the same rows; without, there is only room to gather and collect
};

// Where things lie in a rank's exchange memory, in bytes. Counts are the rank's own, flags are set by others.
struct PeerOffsets {
  int64_t partials = 0;       // [rows_max][hidden] f32: the rank's own, read by others
  int64_t sums = 0;           // [rows_max][hidden] bf16: finished by the rows' owners
  int64_t words = 0;          // [2][ranks][kWordRows][hidden / 2], of two floats, each with its count
  int64_t word_counts = 0;    // [kWordRows]
  int64_t pushed = 0;         // [2][ranks][kPushRows][hidden] f32
  int64_t push_flags = 0;     // [ranks][kPushRows]
  int64_t push_counts = 0;    // [kPushRows]
  int64_t cta_flags = 0;      // [2][ranks][kPeerCtasMax]
  int64_t cta_counts = 0;     // [kPeerCtasMax]
  int64_t squares = 0;        // [2][ranks][rows_max][2], words of a float and its count
  int64_t square_counts = 0;  // [rows_max][2]
  int64_t maxima = 0;         // [2][ranks][parts_max][2], words
  int64_t maxima_counts = 0;  // [parts_max][2]
  int64_t gathered = 0;       // [gathered_rows][hidden] bf16: normed rows of all ranks
  int64_t bytes = 0;
};
PeerOffsets peer_offsets(const PeerSizes& sizes, int32_t ranks);

// What a kernel is told. With ranks 1 nothing is exchanged.
struct PeerView {
  int32_t ranks = 1;
  int32_t rank = 0;
  int32_t ctas_max = kPeerCtasMax;  // of a kernel that waits
  int32_t wait_seconds = kPeerWaitSeconds;
  PeerSizes sizes;
  PeerOffsets at;
  std::byte* memory[kRanksMax] = {};
};

class PeerGroup {
 public:
  // devices[rank] is an ordinal; several may be equal. Enables access between all pairs and allocates.
  // Throws Error for devices that differ in kind or cannot reach each other.
  // ranks_a_device: where ranks of other groups share the devices too, how many they are in all.
  PeerGroup(std::vector<int32_t> devices, const PeerSizes& sizes, int32_t wait_seconds = kPeerWaitSeconds,
            int32_t ranks_a_device = 1);

  int32_t ranks() const { return static_cast<int32_t>(devices_.size()); }
  int32_t device(int32_t rank) const { return devices_[static_cast<size_t>(rank)]; }
  int32_t ranks_a_device() const { return ranks_a_device_; }
  int64_t bytes_a_rank() const { return memory_.front().bytes(); }
  PeerView view(int32_t rank) const;

  // What the others read or write of a rank: published while the ranks are made, read when the first step
  // runs.
  struct Shared {
    const uint16_t* embedding = nullptr;  // its rows
    float* logits = nullptr;              // [logit rows, vocab_rows]
  };
  void publish(int32_t rank, const Shared& shared) { shared_[static_cast<size_t>(rank)] = shared; }
  const Shared& shared(int32_t rank) const { return shared_[static_cast<size_t>(rank)]; }

  // Returns when all ranks' threads have come here. Between work of the driver that may wait for the device
  // and launches that wait for other ranks.
  void meet() { barrier_->arrive_and_wait(); }

  // Returns, once all ranks' threads have called it for the same step, what each gave; valid until this rank
  // calls again.
  std::span<const int32_t> rows_of_all(int32_t rank, int32_t own_rows);

 private:
  std::vector<int32_t> devices_;
  PeerSizes sizes_;
  int32_t wait_seconds_;
  int32_t ranks_a_device_ = 1;
  int32_t ctas_max_ = kPeerCtasMax;
  std::optional<NoOverlap> no_overlap_;
  std::vector<DeviceMemory> memory_;
  std::vector<Shared> shared_;
  std::unique_ptr<std::barrier<>> barrier_;
  std::vector<int32_t> step_rows_[2];  // [ranks], of even and odd steps
  std::vector<uint8_t> odd_step_;      // [ranks]
};

}  // namespace minimax::backend::cuda
