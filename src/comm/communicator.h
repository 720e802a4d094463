#pragma once
// What the ranks of one model exchange in the middle of a step. All ranks make the same calls in the same
// order.

#include <cstddef>
#include <cstdint>
#include <span>

namespace minimax::comm {

// Bytes [begin, end) of a row, held by one rank of a group.
struct Slice {
  int64_t begin = 0;
  int64_t end = 0;
  int32_t group = 0;
};

// In Gather::row_groups: a row that the calling rank does not read afterwards, so it is not copied to it.
// Only where all ranks are of one process.
inline constexpr int32_t kRowNotRead = -1;

// One buffer of which every rank has computed a part. `rows`, `stride` (bytes) and `slices` are the same on
// all ranks. Slices of two ranks (of one group, where rows have groups) are disjoint, or equal and then hold
// the same values.
struct Gather {
  std::byte* data = nullptr;  // [rows, stride] of the calling rank
  int64_t rows = 0;
  int64_t stride = 0;
  std::span<const Slice> slices;  // [ranks]
  // [rows]: the group whose ranks hold the row, or kRowNotRead; empty: all ranks hold their slice of every
  // row.
  std::span<const int32_t> row_groups;
};

// Threads: one caller a rank. Throws Error if another rank does not come within the limit of the
// implementation.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int32_t rank() const = 0;
  virtual int32_t ranks() const = 0;

  // All-gather: afterwards each rank's buffers hold the parts of all. Bits are copied, never added, so the
  // result does not depend on the number of ranks.
  virtual void gather(std::span<const Gather> buffers) = 0;
};

}  // namespace minimax::comm
