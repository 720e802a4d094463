#pragma once
// K and V as an fp8 KV cache keeps them (docs/numerics.md, "The KV cache in fp8").

#include <cstdint>
#include <span>

#include "model/kv_dtype.h"

namespace minimax::backend::common {

using model::KvDtype;

// One head's K or V of one token: scale = fp32(amax / 448), 1 if amax is 0; code = e4m3(fp32(value / scale)),
// to nearest, ties to even, at most 448. The formula of w8a8's activations, and its bad values: a NaN keeps
// its place as the code of NaN and is not counted in amax; an infinity makes the scale infinite, so that
// nothing of this token's head is finite. Other tokens and heads do not see either.
// x [head_dim] bf16, codes [head_dim] e4m3; returns the scale.
float quantise_head(std::span<const uint16_t> x, uint8_t* codes);

}  // namespace minimax::backend::common
