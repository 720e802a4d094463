#pragma once
// The arithmetics in which a back-end can compute the block-scaled fp8 projections. They are different
// functions with different results; docs/numerics.md defines each. On projections that are not quantised all
// three are the same.

#include <cstdint>
#include <string_view>

namespace minimax::backend::common {

enum class Arithmetic : uint8_t {
  kBf16,   // weight = bf16(fp8 value * scale), once; activations bf16
  kW8a16,  // weight = fp8 value * scale, exact; activations bf16
  kW8a8,   // activations quantised per token and block of columns to e4m3 too
};

std::string_view name_of(Arithmetic arithmetic);  // "bf16", "w8a16", "w8a8"

// Throws Error naming the three for any other name.
Arithmetic parse_arithmetic(std::string_view name);

}  // namespace minimax::backend::common
