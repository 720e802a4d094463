#pragma once
// The values of synthetic tensors: a counter-based generator, so that any range of any tensor can be made by
// itself. Scales are chosen so that activations stay of order 1 (synth_values.cc says how).

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/shard.h"
#include "model/tensors.h"

namespace minimax::model {

// A tensor of the whole model and the box of it that is written.
struct SynthTensor {
  TensorSpec spec;             // of the whole model
  std::vector<int64_t> shape;  // of the box, as written
  Box box;                     // in elements of the whole; for scales in elements of the weight, see fill()
  int64_t cols = 1;            // of the whole tensor; for scales blocks in a row of the whole
  uint64_t bytes = 0;
};

// The tensor as rank `rank` holds it.
SynthTensor make_synth_tensor(const TensorSpec& spec, const ModelShape& shape, const ParallelLayout& layout,
                              int32_t rank);

class SynthValues {
 public:
  SynthValues(const ModelShape& shape, uint64_t seed);

  // Elements [begin, begin + count) of the tensor as written, row-major, in its dtype. Thread-safe.
  void fill(const SynthTensor& tensor, int64_t begin, int64_t count, std::byte* out) const;

 private:
  float sigma(Part part) const;
  float scale(uint64_t key, Part part, uint64_t idx) const;
  void fill_run(const SynthTensor& tensor, uint64_t key, uint64_t idx, int64_t count, std::byte* out) const;

  ModelShape shape_;
  uint64_t seed_;
  std::vector<float> normal_;      // [65536] quantiles of the standard normal distribution
  std::vector<uint8_t> fp8_code_;  // [256] the same, coarser, as e4m3 codes whose largest is 448
};

}  // namespace minimax::model
