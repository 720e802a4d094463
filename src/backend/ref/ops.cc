#include "backend/ref/ops.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/float_types.h"

namespace minimax::backend::ref {

using executor::BlockId;
using model::DType;
using model::TensorView;

static float bf16(double value) {
  return round_to_bf16(static_cast<float>(value));
}

static std::vector<float> widen_all(const TensorView& tensor) {
  const int64_t count =
      std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
  std::vector<float> out(static_cast<size_t>(count));
  model::widen(tensor, 0, count, out.data());
  return out;
}

std::vector<float> embed(const TensorView& table, std::span<const executor::TokenId> ids) {
  const int64_t vocab = table.shape.at(0), hidden = table.shape.at(1);
  std::vector<float> out(ids.size() * static_cast<size_t>(hidden));
  for (size_t i = 0; i < ids.size(); ++i) {
    CHECK_GE(ids[i], 0);
    CHECK_LT(ids[i], vocab);
    model::widen(table, ids[i] * hidden, hidden, out.data() + i * static_cast<size_t>(hidden));
  }
  for (float& value : out) value = round_to_bf16(value);
  return out;
}

std::vector<float> rms_norm(std::span<const float> x, const TensorView& weight, double eps) {
  const std::vector<float> scale = widen_all(weight);
  const size_t width = scale.size();
  CHECK_EQ(x.size() % width, 0u);
  std::vector<float> out(x.size());
  for (size_t row = 0; row < x.size(); row += width) {
    double squares = 0;
    for (size_t i = 0; i < width; ++i)
      squares += static_cast<double>(x[row + i]) * static_cast<double>(x[row + i]);
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(width) + eps);
    for (size_t i = 0; i < width; ++i) out[row + i] = bf16(x[row + i] * factor * scale[i]);
  }
  return out;
}

QuantisedRow quantise_e4m3(std::span<const float> x, int32_t group) {
  QuantisedRow out;
  out.values.reserve(x.size());
  for (size_t begin = 0; begin < x.size(); begin += static_cast<size_t>(group)) {
    const auto part = x.subspan(begin, std::min(static_cast<size_t>(group), x.size() - begin));
    float amax = 0;
    for (const float value : part) amax = std::max(amax, std::fabs(value));
    const float scale = amax > 0 ? amax / kE4m3Max : 1.0f;
    for (const float value : part) out.values.push_back(e4m3_to_float(float_to_e4m3(value / scale)));
    out.scales.push_back(scale);
  }
  return out;
}

// Row `row` of a weight as multiplied: values, and one scale for each `block` columns.
struct WeightRow {
  std::vector<float> values;  // [in]
  std::vector<float> scales;  // [ceil(in / block)]
};

static void read_row(const model::LinearView& weight, const LinearFormat& format, int64_t row,
                     WeightRow& out) {
  const int64_t in = weight.weight.shape.at(1);
  const int64_t blocks = (in + format.block_cols - 1) / format.block_cols;
  out.values.resize(static_cast<size_t>(in));
  out.scales.assign(static_cast<size_t>(blocks), 1.0f);
  if (!weight.quantised) {
    model::widen(weight.weight, row * in, in, out.values.data());
    if (format.arithmetic == Arithmetic::kBf16)
      for (float& value : out.values) value = round_to_bf16(value);
    return;
  }
  model::widen(weight.scale_inv, row / format.block_rows * blocks, blocks, out.scales.data());
  for (int64_t i = 0; i < in; ++i)
    out.values[static_cast<size_t>(i)] =
        e4m3_to_float(static_cast<uint8_t>(weight.weight.data[row * in + i]));
  if (format.arithmetic != Arithmetic::kBf16) return;
  for (int64_t i = 0; i < in; ++i)
    out.values[static_cast<size_t>(i)] = round_to_bf16(
        out.values[static_cast<size_t>(i)] * out.scales[static_cast<size_t>(i / format.block_cols)]);
  out.scales.assign(static_cast<size_t>(blocks), 1.0f);
}

// sum over blocks of float(scale_w * scale_x) * sum over the block of w * x.
static double dot_blocks(const WeightRow& w, const QuantisedRow& x, size_t block) {
  double total = 0;
  for (size_t b = 0; b < w.scales.size(); ++b) {
    double sum = 0;
    const size_t end = std::min((b + 1) * block, w.values.size());
    for (size_t i = b * block; i < end; ++i)
      sum += static_cast<double>(w.values[i]) * static_cast<double>(x.values[i]);
    total += sum * static_cast<double>(w.scales[b] * x.scales[b]);
  }
  return total;
}

std::vector<float> linear_f32(std::span<const float> x, const model::LinearView& weight,
                              const LinearFormat& format) {
  const auto out_width = static_cast<size_t>(weight.weight.shape.at(0));
  const auto in_width = static_cast<size_t>(weight.weight.shape.at(1));
  CHECK_EQ(x.size() % in_width, 0u);
  CHECK_EQ(weight.quantised, weight.weight.dtype == DType::kE4m3);
  const size_t rows = x.size() / in_width;
  const auto block = static_cast<size_t>(format.block_cols);
  const bool quantise_x = weight.quantised && format.arithmetic == Arithmetic::kW8a8;

  std::vector<QuantisedRow> inputs;
  for (size_t row = 0; row < rows; ++row) {
    const auto values = x.subspan(row * in_width, in_width);
    inputs.push_back(quantise_x ? quantise_e4m3(values, format.block_cols)
                                : QuantisedRow{{values.begin(), values.end()},
                                               std::vector<float>((in_width + block - 1) / block, 1.0f)});
  }
  std::vector<float> y(rows * out_width);
  WeightRow w;
  for (size_t out = 0; out < out_width; ++out) {
    read_row(weight, format, static_cast<int64_t>(out), w);
    for (size_t row = 0; row < rows; ++row)
      y[row * out_width + out] = static_cast<float>(dot_blocks(w, inputs[row], block));
  }
  return y;
}

std::vector<float> linear(std::span<const float> x, const model::LinearView& weight,
                          const LinearFormat& format) {
  std::vector<float> y = linear_f32(x, weight, format);
  for (float& value : y) value = round_to_bf16(value);
  return y;
}

std::vector<float> rope(std::span<const float> x, std::span<const int32_t> positions, int32_t head_dim,
                        int32_t rotary_dim, double theta) {
  CHECK(!positions.empty());
  CHECK_EQ(x.size() % positions.size(), 0u);
  const size_t width = x.size() / positions.size();
  const auto half = static_cast<size_t>(rotary_dim / 2);
  std::vector<float> out(x.begin(), x.end());
  for (size_t row = 0; row < positions.size(); ++row) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = positions[row] * std::pow(theta, -2.0 * static_cast<double>(i) / rotary_dim);
      const double cos = static_cast<float>(std::cos(angle)), sin = static_cast<float>(std::sin(angle));
      for (size_t head = 0; head < width; head += static_cast<size_t>(head_dim)) {
        const size_t at = row * width + head + i;
        const double low = x[at], high = x[at + half];
        out[at] = bf16(low * cos - high * sin);
        out[at + half] = bf16(high * cos + low * sin);
      }
    }
  }
  return out;
}

// Index of a position among all of the cache.
static size_t place_of(int32_t position, const RowPlace& place, const PagedKv& kv) {
  const auto block_idx = static_cast<size_t>(position / kv.block_tokens);
  CHECK_LT(block_idx, place.table.size());
  const BlockId block = place.table[block_idx];
  CHECK_GE(block, 0);
  return static_cast<size_t>(block) * static_cast<size_t>(kv.block_tokens) +
         static_cast<size_t>(position % kv.block_tokens);
}

// One row's K (or V) [kv_width] at a place.
static void write_fp8(std::span<const float> x, size_t place, const Fp8Side& side) {
  CHECK_LE((place + 1) * x.size(), side.codes.size());
  const size_t head_dim = side.codes.size() / side.scales.size(), heads = x.size() / head_dim;
  const QuantisedRow row = quantise_e4m3(x, static_cast<int32_t>(head_dim));
  for (size_t i = 0; i < x.size(); ++i) side.codes[place * x.size() + i] = float_to_e4m3(row.values[i]);
  for (size_t head = 0; head < heads; ++head) side.scales[place * heads + head] = row.scales[head];
}

void write_kv(std::span<const float> k, std::span<const float> v, std::span<const RowPlace> places,
              const PagedKv& kv) {
  CHECK_EQ(k.size(), v.size());
  const size_t kv_width = places.empty() ? 0 : k.size() / places.size();
  for (size_t row = 0; row < places.size(); ++row) {
    const size_t place = place_of(places[row].position, places[row], kv), at = place * kv_width;
    if (kv.fp8()) {
      write_fp8(k.subspan(row * kv_width, kv_width), place, kv.k_fp8);
      write_fp8(v.subspan(row * kv_width, kv_width), place, kv.v_fp8);
      continue;
    }
    CHECK_LE(at + kv_width, kv.k.size());
    std::copy_n(k.begin() + static_cast<ptrdiff_t>(row * kv_width), kv_width,
                kv.k.begin() + static_cast<ptrdiff_t>(at));
    std::copy_n(v.begin() + static_cast<ptrdiff_t>(row * kv_width), kv_width,
                kv.v.begin() + static_cast<ptrdiff_t>(at));
  }
}

// K (or V) as stored: element i, and what a head of one position is to be multiplied by.
static double value_at(std::span<const float> values, const Fp8Side& fp8, size_t i) {
  return fp8.codes.empty() ? values[i] : e4m3_to_float(fp8.codes[i]);
}
static double scale_at(const Fp8Side& fp8, size_t head) {
  return fp8.codes.empty() ? 1.0 : static_cast<double>(fp8.scales[head]);
}

// One query head of one row. q [head_dim].
static void attend(std::span<const float> q, const RowPlace& place, const PagedKv& kv, size_t kv_heads,
                   size_t kv_head, std::span<float> out) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size()));
  std::vector<double> weights(static_cast<size_t>(place.position) + 1);
  const auto head_at = [&](size_t p) {
    return place_of(static_cast<int32_t>(p), place, kv) * kv_heads + kv_head;
  };
  for (size_t p = 0; p < weights.size(); ++p) {
    const size_t at = head_at(p) * q.size();
    double sum = 0;
    for (size_t i = 0; i < q.size(); ++i) sum += static_cast<double>(q[i]) * value_at(kv.k, kv.k_fp8, at + i);
    weights[p] = sum * scale_at(kv.k_fp8, head_at(p)) * scale;
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  std::vector<double> sums(q.size(), 0.0);
  for (size_t p = 0; p < weights.size(); ++p) {
    const size_t at = head_at(p) * q.size();
    const double weight = weights[p] * scale_at(kv.v_fp8, head_at(p));
    for (size_t i = 0; i < q.size(); ++i) sums[i] += weight * value_at(kv.v, kv.v_fp8, at + i);
  }
  for (size_t i = 0; i < q.size(); ++i) out[i] = bf16(sums[i] / total);
}

std::vector<float> attention(std::span<const float> q, std::span<const RowPlace> places, const PagedKv& kv,
                             int32_t q_heads, int32_t kv_heads, int32_t head_dim) {
  const auto dim = static_cast<size_t>(head_dim);
  const size_t q_width = static_cast<size_t>(q_heads) * dim;
  CHECK_EQ(q.size(), places.size() * q_width);
  std::vector<float> out(q.size());
  for (size_t row = 0; row < places.size(); ++row) {
    for (int32_t head = 0; head < q_heads; ++head) {
      const size_t at = row * q_width + static_cast<size_t>(head) * dim;
      const auto kv_head = static_cast<size_t>(head / (q_heads / kv_heads));
      attend(q.subspan(at, dim), places[row], kv, static_cast<size_t>(kv_heads), kv_head,
             std::span(out).subspan(at, dim));
    }
  }
  return out;
}

Routing route(std::span<const float> logits, const TensorView& bias, int32_t experts,
              int32_t experts_per_token) {
  const auto count = static_cast<size_t>(experts);
  CHECK_EQ(logits.size() % count, 0u);
  const std::vector<float> shift = bias.data != nullptr ? widen_all(bias) : std::vector<float>(count, 0.0f);
  Routing out;
  for (size_t row = 0; row < logits.size(); row += count) {
    std::vector<float> scores(count), choice(count);
    for (size_t e = 0; e < count; ++e) {
      scores[e] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(logits[row + e]))));
      choice[e] = scores[e] + shift[e];
    }
    std::vector<int32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return choice[static_cast<size_t>(a)] > choice[static_cast<size_t>(b)];
    });
    order.resize(static_cast<size_t>(experts_per_token));
    double sum = 0;
    for (const int32_t e : order) sum += scores[static_cast<size_t>(e)];
    for (const int32_t e : order)
      out.weights.push_back(static_cast<float>(scores[static_cast<size_t>(e)] / sum));
    out.ids.insert(out.ids.end(), order.begin(), order.end());
    out.scores.insert(out.scores.end(), scores.begin(), scores.end());
  }
  return out;
}

std::vector<float> swiglu(std::span<const float> gate, std::span<const float> up) {
  CHECK_EQ(gate.size(), up.size());
  std::vector<float> out(gate.size());
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = gate[i];
    out[i] = bf16(g / (1.0 + std::exp(-g)) * up[i]);
  }
  return out;
}

std::vector<float> add(std::span<const float> a, std::span<const float> b) {
  CHECK_EQ(a.size(), b.size());
  std::vector<float> out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = round_to_bf16(a[i] + b[i]);
  return out;
}

std::vector<float> combine(std::span<const float> y, std::span<const float> weights, int64_t rows,
                           int32_t slots) {
  const size_t parts = static_cast<size_t>(rows) * static_cast<size_t>(slots);
  CHECK_EQ(weights.size(), parts);
  const size_t width = parts == 0 ? 0 : y.size() / parts;
  std::vector<float> out(static_cast<size_t>(rows) * width);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    for (size_t i = 0; i < width; ++i) {
      double sum = 0;
      for (size_t part = row * static_cast<size_t>(slots); part < (row + 1) * static_cast<size_t>(slots);
           ++part)
        sum += static_cast<double>(weights[part]) * static_cast<double>(y[part * width + i]);
      out[row * width + i] = bf16(sum);
    }
  }
  return out;
}

}  // namespace minimax::backend::ref
