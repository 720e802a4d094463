#pragma once
// The forms of linear() that are kernels of their own; kernels.h says what they compute.

#include "backend/cuda/kernels.h"

namespace minimax::backend::cuda {

// kF32 weights.
void linear_f32(const LinearTask& task, StreamHandle stream);

// Rows of GridOrder::kFragments. REQUIRES: packed weights.
void linear_wide(const LinearTask& task, StreamHandle stream);
bool has_linear_wide();  // on the current device

inline constexpr int32_t kWideColumns = 96;  // of a tile, at most

}  // namespace minimax::backend::cuda
