#include "backend/common/fp8_kv.h"

#include <cmath>

#include "base/float_types.h"

namespace minimax::backend::common {

float quantise_head(std::span<const uint16_t> x, uint8_t* codes) {
  float amax = 0;
  for (const uint16_t bits : x) {
    const float magnitude = std::fabs(bf16_to_float(bits));
    amax = magnitude > amax ? magnitude : amax;
  }
  const float scale = amax > 0 ? amax / kE4m3Max : 1.0f;
  for (size_t i = 0; i < x.size(); ++i) codes[i] = float_to_e4m3(bf16_to_float(x[i]) / scale);
  return scale;
}

}  // namespace minimax::backend::common
