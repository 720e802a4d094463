#pragma once
// The launchers of the sampler's kernels: steps 2 to 5 of docs/sampling.md for several draws at once, the
// tokens of backend/cpu/sample.h bit for bit. A draw that needs more room than there is says so
// (kDrawUndecided) and is left to the host.

#include <cstdint>

#include "backend/cuda/device.h"

namespace minimax::backend::cuda {

inline constexpr int32_t kDrawGroup = 64;            // ids whose largest value is kept
inline constexpr int32_t kDrawSlices = 32;           // CTAs that go over one row
inline constexpr int32_t kDrawCandidatesMax = 4096;  // of one draw, a power of two

// One entry of a draw's lists, in this order: ids set to minus infinity, biases added, counts of the history.
struct DrawEdit {
  int32_t token = 0;
  float bias = 0;            // of a bias
  int32_t output_count = 0;  // of a count
};

enum class DrawMode : uint8_t {
  kGreedy,
  kAll,         // nothing restricts the draw
  kCandidates,  // min_p or top_k do
  kMass         // top_p alone does
};

struct Draw {
  int32_t row = 0;        // of the logits
  int32_t adjusted = -1;  // row of DrawTask::adjusted if masks or edits change the logits; else -1
  int32_t mask = -1;      // row of DrawTask::masks, -1: none
  int32_t edit_begin = 0;
  int32_t forbidden = 0;  // edits
  int32_t biases = 0;
  int32_t counts = 0;
  float repetition = 1;
  float frequency = 0;
  float presence = 0;
  DrawMode mode = DrawMode::kGreedy;
  float temperature = 1;
  float top_p = 1;
  float min_p = 0;
  float min_p_bound = 0;  // with min_p: a little below what it excludes, relative to the largest
  int32_t top_k = 0;
  uint64_t seed = 0;
  int32_t sample_idx = 0;
  int32_t output_position = 0;
};

inline constexpr int32_t kDrawNotFinite = -1;
inline constexpr int32_t kDrawUndecided = -2;

struct DrawTask {
  const float* logits = nullptr;  // [*, stride]
  int64_t stride = 0;
  int32_t vocab_size = 0;
  const Draw* draws = nullptr;  // [count], on the device
  int32_t count = 0;
  bool any_adjusted = false;
  bool any_over_all = false;  // a mode of kAll or kMass
  const DrawEdit* edits = nullptr;
  const uint32_t* masks = nullptr;  // [*, mask_words]
  int32_t mask_words = 0;
  float* adjusted = nullptr;     // [*, vocab_size]
  float* groups = nullptr;       // [count, draw_groups(vocab_size)]
  float* best_scores = nullptr;  // [count, kDrawSlices]
  int32_t* best_ids = nullptr;   // the same
  uint64_t* masses = nullptr;    // the same
  int32_t* tokens = nullptr;     // [count]: an id, kDrawNotFinite or kDrawUndecided
};

constexpr int32_t draw_groups(int32_t vocab_size) {
  return (vocab_size + kDrawGroup - 1) / kDrawGroup;
}
// Largest vocabulary whose groups fit in shared memory.
inline constexpr int32_t kDrawVocabMax = 8192 * kDrawGroup;

void draw(const DrawTask& task, StreamHandle stream);

}  // namespace minimax::backend::cuda
