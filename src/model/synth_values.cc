#include "model/synth_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/float_types.h"

namespace minimax::model {

namespace {

// Quantile of the standard normal distribution: P. J. Acklam, "An algorithm for computing the inverse normal
// cumulative distribution function" (2003), relative error below 1.2e-9.
double normal_quantile(double p) {
  constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                          1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                          6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                          -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                          3.754408661907416e+00};
  if (p > 0.5) return -normal_quantile(1 - p);
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  }
  const double q = p - 0.5;
  const double r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

constexpr double kFp8QuantileMax = 2.885635;  // about normal_quantile(255.5 / 256): becomes 448

// Counter-based: word `i` of a stream is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable
// pseudorandom number generators", 2014; constants of Stafford's variant 13) on key + i * golden ratio. Much
// cheaper than Philox, and no one's sampling depends on it.
constexpr uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}
constexpr uint64_t word(uint64_t key, uint64_t i) {
  return mixed(key + (i + 1) * 0x9E3779B97F4A7C15u);
}

uint64_t key_of(std::string_view name, uint64_t seed) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return mixed(hash ^ mixed(seed + 0x9E3779B97F4A7C15u));
}

// Element idx of a stream of 16-bit numbers.
uint16_t lane16(uint64_t key, uint64_t idx) {
  return static_cast<uint16_t>(word(key, idx / 4) >> (16 * (idx % 4)));
}

void store(std::byte* out, DType dtype, float value) {
  if (dtype == DType::kF32) {
    std::memcpy(out, &value, sizeof(value));
  } else {
    CHECK(dtype == DType::kBf16);
    const uint16_t bits = float_to_bf16(value);
    std::memcpy(out, &bits, sizeof(bits));
  }
}

}  // namespace

SynthTensor make_synth_tensor(const TensorSpec& spec, const ModelShape& shape, const ParallelLayout& layout,
                              int32_t rank) {
  SynthTensor tensor;
  tensor.spec = spec;
  TensorSpec weight = spec;
  weight.is_scale = false;
  tensor.box = box_of(weight, shape, layout, rank);
  int64_t rows = tensor.box.rows.size();
  int64_t cols = tensor.box.cols.size();
  if (spec.is_scale) {
    rows = (rows + shape.fp8_block_rows - 1) / shape.fp8_block_rows;
    cols = (cols + shape.fp8_block_cols - 1) / shape.fp8_block_cols;
  }
  tensor.shape = {rows};
  if (spec.shape.size() == 2) {
    tensor.shape.push_back(cols);
    tensor.cols = spec.shape[1];
  }
  tensor.bytes = static_cast<uint64_t>(rows * cols) * bytes_of(spec.dtype);
  return tensor;
}

SynthValues::SynthValues(const ModelShape& shape, uint64_t seed) : shape_(shape), seed_(seed) {
  normal_.resize(65536);
  for (size_t i = 0; i < normal_.size(); ++i)
    normal_[i] = static_cast<float>(normal_quantile((static_cast<double>(i) + 0.5) / 65536));
  fp8_code_.resize(256);
  for (size_t i = 0; i < fp8_code_.size(); ++i) {
    const double quantile = normal_quantile((static_cast<double>(i) + 0.5) / 256);
    fp8_code_[i] = float_to_e4m3(static_cast<float>(quantile / kFp8QuantileMax * kE4m3Max));
  }
}

// Standard deviation of a weight's elements. 1 / sqrt(inputs) keeps the size of a normed input; what is added
// to the residual stream is smaller by sqrt(2 layers), so that the stream grows to about sqrt(2) only, as in
// GPT-2's initialisation. An expert's inner activation silu(g) u has a standard deviation of about 0.6.
float SynthValues::sigma(Part part) const {
  const auto inverse_root = [](double n) { return static_cast<float>(1 / std::sqrt(n)); };
  switch (part) {
    case Part::kEmbedding:
      return 1;
    case Part::kO:
      return inverse_root(2.0 * shape_.layers * shape_.q_width());
    case Part::kDown:
      return inverse_root(2.0 * shape_.layers * shape_.expert_width) / 0.6f;
    case Part::kRouterBias:
      return 0.005f;  // far below the spread of the scores, about 0.2: the load stays even
    case Part::kHiddenNorm:
    case Part::kQNorm:
    case Part::kKNorm:
      return 0.05f;  // around 1
    case Part::kHead:
    case Part::kQ:
    case Part::kK:
    case Part::kV:
    case Part::kRouter:
    case Part::kGate:
    case Part::kUp:
      return inverse_root(shape_.hidden);
  }
  CHECK(false);
}

// A block's scale: such that codes up to 448 give sigma, within a quarter either way.
float SynthValues::scale(uint64_t key, Part part, uint64_t idx) const {
  const float uniform = static_cast<float>(word(key, idx) >> 40) * 0x1p-24f;
  return sigma(part) * static_cast<float>(kFp8QuantileMax / kE4m3Max) * (0.75f + 0.5f * uniform);
}

void SynthValues::fill_run(const SynthTensor& tensor, uint64_t key, uint64_t idx, int64_t count,
                           std::byte* out) const {
  const DType dtype = tensor.spec.dtype;
  auto left = static_cast<uint64_t>(count);
  if (dtype == DType::kE4m3) {
    const auto byte_at = [&](uint64_t i) { return word(key, i / 8) >> (8 * (i % 8)) & 0xFF; };
    for (; left > 0 && idx % 8 != 0; --left) *out++ = std::byte{fp8_code_[byte_at(idx++)]};
    for (; left >= 8; left -= 8, idx += 8, out += 8) {
      const uint64_t random = word(key, idx / 8);
      for (int lane = 0; lane < 8; ++lane) out[lane] = std::byte{fp8_code_[random >> (8 * lane) & 0xFF]};
    }
    for (; left > 0; --left) *out++ = std::byte{fp8_code_[byte_at(idx++)]};
    return;
  }
  const float spread = sigma(tensor.spec.part);
  const float middle = tensor.spec.role == Role::kNorm ? 1.0f : 0.0f;
  const size_t width = bytes_of(dtype);
  const auto put = [&](uint64_t lane) {
    store(out, dtype, middle + spread * normal_[lane]);
    out += width;
  };
  for (; left > 0 && idx % 4 != 0; --left) put(lane16(key, idx++));
  for (; left >= 4; left -= 4, idx += 4) {
    const uint64_t random = word(key, idx / 4);
    for (int lane = 0; lane < 4; ++lane) put(random >> (16 * lane) & 0xFFFF);
  }
  for (; left > 0; --left) put(lane16(key, idx++));
}

void SynthValues::fill(const SynthTensor& tensor, int64_t begin, int64_t count, std::byte* out) const {
  const uint64_t key = key_of(tensor.spec.name, seed_);
  const int64_t cols = tensor.shape.size() == 2 ? tensor.shape[1] : 1;
  if (tensor.spec.is_scale) {
    for (int64_t i = begin; i < begin + count; ++i, out += sizeof(float)) {
      // The absolute block in which this block of the box begins.
      const int64_t row = (tensor.box.rows.begin + i / cols * shape_.fp8_block_rows) / shape_.fp8_block_rows;
      const int64_t col = (tensor.box.cols.begin + i % cols * shape_.fp8_block_cols) / shape_.fp8_block_cols;
      store(out, DType::kF32, scale(key, tensor.spec.part, static_cast<uint64_t>(row * tensor.cols + col)));
    }
    return;
  }
  // Runs of elements that lie side by side in the whole tensor: rows, or everything if no column is cut.
  const bool whole_rows = cols == tensor.cols;
  while (count > 0) {
    const int64_t row = tensor.box.rows.begin + begin / cols;
    const int64_t col = tensor.box.cols.begin + begin % cols;
    const int64_t run = whole_rows ? count : std::min(count, cols - begin % cols);
    fill_run(tensor, key, static_cast<uint64_t>(row * tensor.cols + col), run, out);
    out += static_cast<size_t>(run) * bytes_of(tensor.spec.dtype);
    begin += run;
    count -= run;
  }
}

}  // namespace minimax::model
