#include "backend/cpu/weights.h"

#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/float_types.h"

namespace minimax::backend::cpu {

using common::Arithmetic;
using model::DType;
using model::LinearView;
using model::TensorView;

static int64_t elements(const TensorView& tensor) {
  int64_t count = 1;
  for (const int64_t size : tensor.shape) count *= size;
  return count;
}

static std::vector<float> padded_row(const TensorView& tensor) {
  const int64_t width = elements(tensor);
  std::vector<float> row(static_cast<size_t>(round_up(width, kRowAlign)), 0.0f);
  model::widen(tensor, 0, width, row.data());
  return row;
}

static void check_shape(const model::ModelShape& shape) {
  if (shape.head_dim % kKeyGroup != 0)
    throw Error("config: head_dim is {}, the CPU back-end needs a multiple of {}", shape.head_dim, kKeyGroup);
  constexpr int32_t kCodes = 64;  // e4m3 codes of the widest kernel's vector
  if (shape.fp8_block_cols % kCodes != 0)
    throw Error("config: fp8 blocks are {} columns wide, the CPU back-end needs a multiple of {}",
                shape.fp8_block_cols, kCodes);
}

Weights::Weights(const model::ModelView& model, Arithmetic arithmetic, ThreadPool& threads)
    : model_(&model), arithmetic_(arithmetic) {
  const model::ModelShape& shape = model.shape;
  check_shape(shape);
  layers_.reserve(model.layers.size());
  for (const model::LayerView& view : model.layers) {
    LayerWeights& layer = layers_.emplace_back();
    layer.attn_norm = padded_row(view.attn_norm);
    layer.q = matrix_of(view.q, threads);
    layer.k = matrix_of(view.k, threads);
    layer.v = matrix_of(view.v, threads);
    layer.o = matrix_of(view.o, threads);
    if (shape.qk_norm) {
      layer.q_norm = padded_row(view.q_norm);
      layer.k_norm = padded_row(view.k_norm);
    }
    layer.mlp_norm = padded_row(view.mlp_norm);
    layer.router = as_stored(view.router, threads);
    layer.router_bias.assign(static_cast<size_t>(shape.experts), 0.0f);
    if (view.router_bias.data != nullptr)
      model::widen(view.router_bias, 0, shape.experts, layer.router_bias.data());
    layer.experts.reserve(view.experts.size());
    for (const model::ExpertView& expert : view.experts)
      layer.experts.push_back(
          {matrix_of(expert.gate, threads), matrix_of(expert.up, threads), matrix_of(expert.down, threads)});
  }
  final_norm_ = padded_row(model.final_norm);
  head_ = matrix_of({model.head, false, {}}, threads);
}

void Weights::embed(int32_t token, uint16_t* out) const {
  const TensorView& table = model_->embedding;
  const int64_t hidden = model_->shape.hidden;
  CHECK_GE(token, 0);
  CHECK_LT(token, table.shape[0]);
  if (table.dtype == DType::kBf16) {
    std::memcpy(out, table.data + 2 * token * hidden, static_cast<size_t>(2 * hidden));
    return;
  }
  std::vector<float> row(static_cast<size_t>(hidden));
  model::widen(table, token * hidden, hidden, row.data());
  for (int64_t i = 0; i < hidden; ++i) out[i] = float_to_bf16(row[static_cast<size_t>(i)]);
}

const float* Weights::widened(const TensorView& tensor) {
  std::vector<float>& values = owned_floats_.emplace_back(static_cast<size_t>(elements(tensor)));
  model::widen(tensor, 0, elements(tensor), values.data());
  copied_bytes_ += static_cast<int64_t>(values.size() * sizeof(float));
  return values.data();
}

Matrix Weights::as_stored(const TensorView& tensor, ThreadPool& threads) {
  Matrix matrix{.data = tensor.data, .out = tensor.shape[0], .in = tensor.shape[1]};
  if (tensor.dtype == DType::kF16) {  // exact in f32
    common::HostMemory& copy =
        owned_.emplace_back(matrix.out * matrix.in * int64_t{sizeof(float)}, "f16 weights");
    auto* const values = reinterpret_cast<float*>(copy.data());
    threads.run(matrix.out, 64, [&](int64_t begin, int64_t end, int32_t) {
      model::widen(tensor, begin * matrix.in, (end - begin) * matrix.in, values + begin * matrix.in);
    });
    matrix.data = copy.data();
    matrix.kind = WeightKind::kF32;
    copied_bytes_ += copy.bytes();
    return matrix;
  }
  CHECK(tensor.dtype == DType::kBf16 || tensor.dtype == DType::kF32);
  matrix.kind = tensor.dtype == DType::kBf16 ? WeightKind::kBf16 : WeightKind::kF32;
  mapped_bytes_ += static_cast<int64_t>(tensor.bytes);
  return matrix;
}

// One copy in bf16, rounded once from f32: of fp8 with its scales, f32 or f16.
Matrix Weights::as_bf16(const LinearView& view, ThreadPool& threads) {
  const model::ModelShape& shape = model_->shape;
  Matrix matrix{.out = view.weight.shape[0], .in = view.weight.shape[1], .kind = WeightKind::kBf16};
  common::HostMemory& copy =
      owned_.emplace_back(matrix.out * matrix.in * int64_t{sizeof(uint16_t)}, "bf16 weights");
  auto* const values = reinterpret_cast<uint16_t*>(copy.data());
  const float* const scales = view.quantised ? widened(view.scale_inv) : nullptr;
  threads.run(matrix.out, 16, [&](int64_t begin, int64_t end, int32_t) {
    std::vector<float> row(static_cast<size_t>(matrix.in));
    for (int64_t r = begin; r < end; ++r) {
      if (view.quantised) {
        const int64_t scale_cols = (matrix.in + shape.fp8_block_cols - 1) / shape.fp8_block_cols;
        const float* const row_scales = scales + r / shape.fp8_block_rows * scale_cols;
        for (int64_t i = 0; i < matrix.in; ++i)
          row[static_cast<size_t>(i)] =
              e4m3_to_float(static_cast<uint8_t>(view.weight.data[r * matrix.in + i])) *
              row_scales[i / shape.fp8_block_cols];
      } else {
        model::widen(view.weight, r * matrix.in, matrix.in, row.data());
      }
      for (int64_t i = 0; i < matrix.in; ++i)
        values[r * matrix.in + i] = float_to_bf16(row[static_cast<size_t>(i)]);
    }
  });
  matrix.data = copy.data();
  copied_bytes_ += copy.bytes();
  return matrix;
}

Matrix Weights::matrix_of(const LinearView& view, ThreadPool& threads) {
  if (arithmetic_ == Arithmetic::kBf16 && view.weight.dtype != DType::kBf16) return as_bf16(view, threads);
  if (!view.quantised) return as_stored(view.weight, threads);
  mapped_bytes_ += static_cast<int64_t>(view.weight.bytes);
  return {.data = view.weight.data,
          .scales = widened(view.scale_inv),
          .out = view.weight.shape[0],
          .in = view.weight.shape[1],
          .block_rows = model_->shape.fp8_block_rows,
          .block_cols = model_->shape.fp8_block_cols,
          .kind = WeightKind::kE4m3};
}

}  // namespace minimax::backend::cpu
