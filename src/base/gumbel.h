#pragma once
// The noise of the Gumbel-max draw (docs/sampling.md): a pure function of the request's seed, the sample, the
// place in its output and the token id, with the same bits on every back-end. The id whose logit plus noise
// is largest is distributed as softmax(logits). Source of the trick: Maddison, Tarlow, Minka, "A* Sampling"
// (NIPS 2014), section 2.

#include <cstdint>

#include "base/exact_math.h"
#include "base/philox.h"

namespace minimax {

// Fourth word of the counter: keeps these numbers apart from any other use of the same seed.
inline constexpr uint32_t kGumbelDomain = 0x47554D42;  // "GUMB"

// The four random words of ids 4 * id_group .. 4 * id_group + 3, in that order.
constexpr PhiloxBlock gumbel_words(uint64_t seed, int32_t sample_idx, int32_t output_position,
                                   uint32_t id_group) {
  return philox4x32(
      {id_group, static_cast<uint32_t>(output_position), static_cast<uint32_t>(sample_idx), kGumbelDomain},
      seed);
}

// -log(-log(1 - v)) with v = (word + 1/2) / 2^32. An id of small probability wins by a small v, so v keeps
// its full relative precision there: the words above the middle are folded to the distance from 1. In
// [-3.2, 22.9], never infinite.
constexpr float gumbel_from_word(uint32_t word) {
  const bool upper = (word >> 31) != 0;
  const auto folded = static_cast<int32_t>(upper ? ~word : word);
  const float x = (static_cast<float>(folded) + 0.5f) * 0x1p-32f;  // (0, 1/2]
  const float exponential = -(upper ? exact_log(x) : exact_log_1m(x));
  return -exact_log(exponential);
}

constexpr float gumbel_noise(uint64_t seed, int32_t sample_idx, int32_t output_position, int32_t id) {
  const auto unsigned_id = static_cast<uint32_t>(id);
  return gumbel_from_word(gumbel_words(seed, sample_idx, output_position, unsigned_id >> 2)[unsigned_id & 3]);
}

}  // namespace minimax
