#pragma once
// Shared by the tests of this folder: seeded values and rows in the form that the kernels read.

#include <cstdint>
#include <random>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/float_types.h"

namespace minimax::backend::cpu {

class Values {
 public:
  explicit Values(uint64_t seed) : generator_(seed) {}

  // Normal, already bf16.
  std::vector<float> bf16(int64_t count, float deviation = 1.0f) {
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<float> out(static_cast<size_t>(count));
    for (float& x : out) x = round_to_bf16(normal(generator_));
    return out;
  }
  std::vector<float> f32(int64_t count, float deviation = 1.0f) {
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<float> out(static_cast<size_t>(count));
    for (float& x : out) x = normal(generator_);
    return out;
  }
  // Codes of all magnitudes but the NaN.
  std::vector<uint8_t> e4m3(int64_t count) {
    std::vector<uint8_t> out(static_cast<size_t>(count));
    for (uint8_t& x : out) {
      x = static_cast<uint8_t>(generator_());
      if ((x & 0x7F) == 0x7F) x = static_cast<uint8_t>(x - 1);
    }
    return out;
  }
  uint64_t next() { return generator_(); }

 private:
  std::mt19937_64 generator_;
};

// Rows of bf16 values at a padded stride, zeros beyond the width.
struct PaddedRows {
  int64_t width = 0;
  int64_t stride = 0;
  std::vector<uint16_t> bits;

  PaddedRows(int64_t rows, int64_t row_width)
      : width(row_width),
        stride(round_up(row_width, kRowAlign)),
        bits(static_cast<size_t>(rows * stride), 0) {}
  PaddedRows(const std::vector<float>& values, int64_t row_width)
      : PaddedRows(static_cast<int64_t>(values.size()) / row_width, row_width) {
    for (size_t i = 0; i < values.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      row(at / width)[at % width] = float_to_bf16(values[i]);
    }
  }
  int64_t rows() const { return static_cast<int64_t>(bits.size()) / stride; }
  uint16_t* row(int64_t i) { return bits.data() + i * stride; }
  const uint16_t* row(int64_t i) const { return bits.data() + i * stride; }
  std::vector<float> values() const {
    std::vector<float> out;
    for (int64_t i = 0; i < rows(); ++i)
      for (int64_t j = 0; j < width; ++j) out.push_back(bf16_to_float(row(i)[j]));
    return out;
  }
};

inline std::vector<uint16_t> to_bf16_bits(const std::vector<float>& values) {
  std::vector<uint16_t> out;
  for (const float x : values) out.push_back(float_to_bf16(x));
  return out;
}

}  // namespace minimax::backend::cpu
