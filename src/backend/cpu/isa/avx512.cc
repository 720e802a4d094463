#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "backend/cpu/isa/tables.h"

namespace minimax::backend::cpu {

namespace {

// Each file uses what stands in those before it.
// clang-format off
#include "backend/cpu/ops/e4m3.inl"
#include "backend/cpu/isa/vec_avx512.inl"
#include "backend/cpu/ops/linear.inl"
#include "backend/cpu/ops/rows.inl"
#include "backend/cpu/ops/attention.inl"
#include "backend/cpu/ops/sampling.inl"
#include "backend/cpu/ops/table.inl"
// clang-format on

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels kTable = make_table();
  return kTable;
}

}  // namespace minimax::backend::cpu
