#include "backend/cuda/weights.h"

#include "base/check.h"
#include "base/error.h"
#include "base/float_types.h"

namespace minimax::backend::cuda {

using common::Arithmetic;
using model::DType;
using model::LinearView;
using model::TensorView;

static int64_t elements(const TensorView& tensor) {
  int64_t count = 1;
  for (const int64_t size : tensor.shape) count *= size;
  return count;
}

static void check_shape(const model::ModelShape& shape) {
  const auto expect = [](bool right, const char* what, int32_t found) {
    if (!right) throw Error("config: the CUDA back-end needs {}, found {}", what, found);
  };
  expect(shape.head_dim == kHeadDim, "head_dim 128", shape.head_dim);
  expect(shape.q_heads % shape.kv_heads == 0 && shape.q_heads / shape.kv_heads <= 8,
         "at most 8 query heads a KV head", shape.q_heads / shape.kv_heads);
  expect(shape.hidden % 16 == 0, "a hidden width that is a multiple of 16", shape.hidden);
  expect(shape.expert_width % 16 == 0, "an expert width that is a multiple of 16", shape.expert_width);
  expect(shape.experts <= 1024, "at most 1024 experts", shape.experts);
  expect(shape.experts_per_token <= 32, "at most 32 experts a token", shape.experts_per_token);
  expect(shape.fp8_block_cols == 0 || shape.fp8_block_cols == kScaleCols, "fp8 blocks of 128 columns",
         shape.fp8_block_cols);
  expect(shape.fp8_block_rows % 16 == 0, "fp8 blocks of a multiple of 16 rows", shape.fp8_block_rows);
}

Weights::Weights(const model::ModelView& model, Arithmetic arithmetic)
    : shape_(model.shape), arithmetic_(arithmetic) {
  check_shape(shape_);
  for (const model::LayerView& view : model.layers) {
    LayerWeights& layer = layers_.emplace_back();
    layer.attn_norm = floats(view.attn_norm);
    layer.q = matrix(view.q);
    layer.k = matrix(view.k);
    layer.v = matrix(view.v);
    layer.o = matrix(view.o);
    if (shape_.qk_norm) {
      layer.q_norm = floats(view.q_norm);
      layer.k_norm = floats(view.k_norm);
    }
    layer.mlp_norm = floats(view.mlp_norm);
    // The router's weights are used as stored, whatever the arithmetic; in fp32 every stored form is exact.
    layer.router = {
        .data = floats(view.router), .out = shape_.experts, .in = shape_.hidden, .kind = WeightKind::kF32};
    layer.router_bias = view.router_bias.data != nullptr
                            ? floats(view.router_bias)
                            : reinterpret_cast<const float*>(reserve(int64_t{4} * shape_.experts));
    std::vector<const LinearView*> gate, up, down;
    for (const model::ExpertView& expert : view.experts) {
      gate.push_back(&expert.gate);
      up.push_back(&expert.up);
      down.push_back(&expert.down);
    }
    layer.gate = matrices(gate);
    layer.up = matrices(up);
    layer.down = matrices(down);
    // They share an input, which is quantised or not.
    if (layer.k.kind != layer.q.kind || layer.v.kind != layer.q.kind)
      throw Error("{}: stored otherwise than k_proj or v_proj", view.q.weight.name);
    if (layer.gate.kind != layer.up.kind)
      throw Error("{}: stored otherwise than the gate of its expert", view.experts.front().up.weight.name);
  }
  final_norm_ = floats(model.final_norm);
  embedding_ = bf16_table(model.embedding);
  const LinearView head{model.head, false, {}};
  if (model.head.data == model.embedding.data && model.head.dtype == DType::kBf16) {
    head_ = {.data = embedding_, .out = shape_.vocab_rows, .in = shape_.hidden};
  } else {
    head_ = matrix(head);
  }
}

std::byte* Weights::reserve(int64_t bytes) {
  bytes_ += bytes;
  return memory_.emplace_back(bytes, "weights").data();
}

const float* Weights::floats(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(elements(tensor)));
  model::widen(tensor, 0, elements(tensor), values.data());
  std::byte* const data = reserve(elements(tensor) * 4);
  memory_.back().upload(0, values.data(), elements(tensor) * 4);
  return reinterpret_cast<const float*>(data);
}

static std::vector<uint16_t> to_bf16(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(elements(tensor)));
  model::widen(tensor, 0, elements(tensor), values.data());
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = float_to_bf16(values[i]);
  return bits;
}

const uint16_t* Weights::bf16_table(const TensorView& tensor) {
  std::byte* const data = reserve(elements(tensor) * 2);
  if (tensor.dtype == DType::kBf16) {
    memory_.back().upload(0, tensor.data, elements(tensor) * 2);
  } else {
    memory_.back().upload(0, to_bf16(tensor).data(), elements(tensor) * 2);
  }
  return reinterpret_cast<const uint16_t*>(data);
}

// bf16(fp32(code * scale)), as docs/numerics.md defines the arithmetic bf16.
static std::vector<uint16_t> dequantised(const LinearView& view, const model::ModelShape& shape) {
  const int64_t out = view.weight.shape[0], in = view.weight.shape[1];
  const int64_t scale_cols = (in + shape.fp8_block_cols - 1) / shape.fp8_block_cols;
  std::vector<float> scales(static_cast<size_t>(elements(view.scale_inv)));
  model::widen(view.scale_inv, 0, elements(view.scale_inv), scales.data());
  std::vector<uint16_t> bits(static_cast<size_t>(out * in));
  for (int64_t r = 0; r < out; ++r)
    for (int64_t i = 0; i < in; ++i)
      bits[static_cast<size_t>(r * in + i)] = float_to_bf16(
          e4m3_to_float(static_cast<uint8_t>(view.weight.data[r * in + i])) *
          scales[static_cast<size_t>(r / shape.fp8_block_rows * scale_cols + i / shape.fp8_block_cols)]);
  return bits;
}

Matrix Weights::matrices(const std::vector<const LinearView*>& views) {
  const LinearView& first = *views.front();
  Matrix matrix{.out = static_cast<int32_t>(first.weight.shape[0]),
                .in = static_cast<int32_t>(first.weight.shape[1]),
                .block_rows = shape_.fp8_block_rows};
  if (matrix.in % 16 != 0)
    throw Error("{}: the CUDA back-end needs rows of a multiple of 16 elements, found {}", first.weight.name,
                matrix.in);
  if (first.quantised && arithmetic_ != Arithmetic::kBf16) {
    matrix.kind = WeightKind::kE4m3;
  } else if (!first.quantised && first.weight.dtype != DType::kBf16 && arithmetic_ != Arithmetic::kBf16) {
    throw Error(
        "{}: stored as {}; the CUDA back-end multiplies fp8 and bf16 weights: give the arithmetic bf16",
        first.weight.name, model::name_of(first.weight.dtype));
  }
  const int64_t bytes_each = matrix.expert_elements() * matrix.element_bytes();
  const auto count = static_cast<int64_t>(views.size());
  matrix.data = reserve(bytes_each * count);
  const size_t data_idx = memory_.size() - 1;
  if (matrix.kind == WeightKind::kE4m3)
    matrix.scales = reinterpret_cast<const float*>(reserve(matrix.expert_scales() * 4 * count));
  for (int64_t i = 0; i < count; ++i) {
    const LinearView& view = *views[static_cast<size_t>(i)];
    CHECK_EQ(view.weight.shape[0], matrix.out);
    CHECK_EQ(view.weight.shape[1], matrix.in);
    if (view.quantised != first.quantised || view.weight.dtype != first.weight.dtype)
      throw Error("{}: stored as {}, {} as {}; the experts of a layer must be alike", view.weight.name,
                  model::name_of(view.weight.dtype), first.weight.name, model::name_of(first.weight.dtype));
    const DeviceMemory& data = memory_[data_idx];
    if (matrix.kind == WeightKind::kE4m3) {
      data.upload(i * bytes_each, view.weight.data, bytes_each);
      std::vector<float> scales(static_cast<size_t>(matrix.expert_scales()));
      model::widen(view.scale_inv, 0, matrix.expert_scales(), scales.data());
      memory_.back().upload(i * matrix.expert_scales() * 4, scales.data(), matrix.expert_scales() * 4);
    } else if (view.quantised) {
      data.upload(i * bytes_each, dequantised(view, shape_).data(), bytes_each);
    } else if (view.weight.dtype == DType::kBf16) {
      data.upload(i * bytes_each, view.weight.data, bytes_each);
    } else {
      data.upload(i * bytes_each, to_bf16(view.weight).data(), bytes_each);
    }
  }
  return matrix;
}

}  // namespace minimax::backend::cuda
