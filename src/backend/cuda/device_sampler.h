#pragma once
// Draws on the device: gathers what sample.h's kernels need of slots and masks, sends it in one image, brings
// the tokens back. docs/sampling.md; tokens are those of backend/cpu/sample.h, bit for bit.
//
// Left to the host: allowed_ids, rows whose log-probabilities are asked for, draws with more candidates than
// kDrawCandidatesMax (large top_k or min_p over flat rows), vocabularies beyond kDrawVocabMax.

#include <cstdint>
#include <span>

#include "backend/common/slot_table.h"
#include "backend/cuda/device.h"
#include "backend/cuda/sample.h"
#include "executor/step.h"

namespace minimax::backend::cuda {

inline constexpr int32_t kDrawsMax = 64;           // of one run
inline constexpr int32_t kDrawEditsMax = 1 << 18;  // of one run

class DeviceSampler {
 public:
  enum class Added : uint8_t {
    kYes,
    kFull,  // run, clear, then again
    kHost   // not served here
  };

  // Borrows the stream. Allocates all it needs.
  DeviceSampler(const Stream& stream, int32_t vocab_size);

  void clear();
  // A draw from row `row` of the logits of the next run.
  Added add(const common::SlotState& slot, const executor::Sample& sample, int32_t row,
            std::span<const uint32_t> mask);
  int32_t count() const { return count_; }

  // Draws and waits. logits on the device, rows of `stride` floats.
  void run(const float* logits, int64_t stride);
  // Of draw i, in the order of add(): an id, kDrawNotFinite or kDrawUndecided.
  int32_t token(int32_t i) const { return host_.tokens[i]; }

  static int64_t device_bytes(int32_t vocab_size);
  int64_t buffer_bytes() const { return arena_.bytes() + staging_.bytes(); }

 private:
  struct Image {
    Draw* draws = nullptr;
    int32_t* tokens = nullptr;
    uint32_t* masks = nullptr;
    DrawEdit* edits = nullptr;  // last: only its used part is sent
  };
  Image image_of(std::byte* base) const;
  void append_edits(const common::SlotState& slot, bool stops_masked, Draw& draw);

  const Stream& stream_;
  int32_t vocab_size_;
  int32_t mask_words_;
  DeviceMemory arena_;
  PinnedMemory staging_;
  Image host_, device_;
  float* adjusted_ = nullptr;
  float* groups_ = nullptr;
  float* best_scores_ = nullptr;
  int32_t* best_ids_ = nullptr;
  uint64_t* masses_ = nullptr;

  int32_t count_ = 0, adjusted_count_ = 0, mask_count_ = 0, edit_count_ = 0;
  bool any_over_all_ = false;
};

}  // namespace minimax::backend::cuda
