#include "backend/cuda/weights.h"

#include <span>

#include "base/check.h"
#include "base/error.h"
#include "base/float_types.h"
#include "model/shard.h"

namespace minimax::backend::cuda {

using common::Arithmetic;
using model::Box;
using model::DType;
using model::LinearView;
using model::Part;
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

static model::ModelShape shape_held(const model::ModelShape& whole, const Shard& shard) {
  model::check_layout(whole, shard.layout);
  const model::ParallelLayout& layout = shard.layout;
  if (layout.ep != 1 && layout.ep != layout.ranks())
    throw Error("cuda back-end: expert parallel size {}: expected 1 or one whole share a rank, {}", layout.ep,
                layout.ranks());
  if (whole.experts % layout.ep != 0)
    throw Error(
        "cuda back-end: {} experts over {} ranks: each must hold as many; take a number of ranks that "
        "divides them",
        whole.experts, layout.ep);
  if (layout.ranks() > kRanksMax)
    throw Error("cuda back-end: {} ranks: expected at most {}", layout.ranks(), kRanksMax);
  return model::shape_of_rank(whole, shard.layout, shard.rank);
}

// What stands for tensors without data. Spans that keep activations of the order of 1, and the router's
// scores apart.
static constexpr float kRandomSpan = 0.03f;
static constexpr float kRandomRouterSpan = 0.05f;
static constexpr float kRandomScale = 1.5e-4f;  // codes of e4m3 have an rms of about 130
static uint64_t seed_of(std::string_view name) {
  uint64_t seed = 14695981039346656037u;  // FNV-1a
  for (const char c : name) seed = (seed ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return seed;
}

Weights::Weights(const model::ModelView& model, Arithmetic arithmetic, const Shard& shard)
    : whole_(model.shape), shard_(shard), shape_(shape_held(model.shape, shard)), arithmetic_(arithmetic) {
  check_shape(shape_);
  if (shard.layout.ep > 1) {
    const model::Range experts = model::experts_of(whole_, shard.layout, shard.rank);
    held_ = {static_cast<int32_t>(experts.begin), static_cast<int32_t>(experts.size())};
  }
  for (const model::LayerView& view : model.layers) {
    LayerWeights& layer = layers_.emplace_back();
    layer.attn_norm = floats(view.attn_norm, Part::kHiddenNorm);
    layer.q = matrix(view.q, Part::kQ);
    layer.k = matrix(view.k, Part::kK);
    layer.v = matrix(view.v, Part::kV);
    layer.o = matrix(view.o, Part::kO);
    if (shape_.qk_norm) {
      layer.q_norm = floats(view.q_norm, Part::kQNorm);
      layer.k_norm = floats(view.k_norm, Part::kKNorm);
    }
    layer.mlp_norm = floats(view.mlp_norm, Part::kHiddenNorm);
    // The router's weights are used as stored, whatever the arithmetic; in fp32 every stored form is exact.
    layer.router = {.data = floats(view.router, Part::kRouter),
                    .out = whole_.experts,
                    .in = shape_.hidden,
                    .kind = WeightKind::kF32};
    layer.router_bias = view.router_bias.data != nullptr
                            ? floats(view.router_bias, Part::kRouterBias)
                            : reinterpret_cast<const float*>(reserve(int64_t{4} * whole_.experts));
    std::vector<const LinearView*> gate, up, down;
    for (const model::ExpertView& expert :
         std::span(view.experts)
             .subspan(static_cast<size_t>(held_.begin), static_cast<size_t>(shape_.experts))) {
      gate.push_back(&expert.gate);
      up.push_back(&expert.up);
      down.push_back(&expert.down);
    }
    layer.gate = matrices(gate, Part::kGate);
    layer.up = matrices(up, Part::kUp);
    layer.down = matrices(down, Part::kDown);
    // They share an input, which is quantised or not.
    if (layer.k.kind != layer.q.kind || layer.v.kind != layer.q.kind)
      throw Error("{}: stored otherwise than k_proj or v_proj", view.q.weight.name);
    if (layer.gate.kind != layer.up.kind)
      throw Error("{}: stored otherwise than the gate of its expert", view.experts.front().up.weight.name);
  }
  final_norm_ = floats(model.final_norm, Part::kHiddenNorm);
  embedding_ = bf16_table(model.embedding, box_of(Part::kEmbedding));
  const LinearView head{model.head, false, {}};
  if (model.head.data != nullptr && model.head.data == model.embedding.data &&
      model.head.dtype == DType::kBf16) {
    head_ = {.data = embedding_, .out = shape_.vocab_rows, .in = shape_.hidden};
  } else {
    head_ = matrix(head, Part::kHead);
  }
  require_idle();
}

int64_t Weights::bytes_of(const model::ModelShape& whole, Arithmetic arithmetic, const Shard& shard) {
  const model::ModelShape shape = shape_held(whole, shard);
  int64_t bytes = int64_t{4} * (whole.experts - shape.experts) * shape.hidden * shape.layers;  // of routers
  for (const model::TensorSpec& spec : model::tensor_table(shape)) {
    int64_t count = 1;
    for (const int64_t size : spec.shape) count *= size;
    const bool fp8 = spec.dtype == DType::kE4m3;
    const bool small = spec.part == Part::kHiddenNorm || spec.part == Part::kQNorm ||
                       spec.part == Part::kKNorm || spec.part == Part::kRouter ||
                       spec.part == Part::kRouterBias;
    if (spec.is_scale && arithmetic == Arithmetic::kBf16) continue;
    bytes += count * (spec.is_scale || small ? 4 : fp8 && arithmetic != Arithmetic::kBf16 ? 1 : 2);
  }
  return bytes;
}

std::byte* Weights::reserve(int64_t bytes) {
  bytes_ += bytes;
  return memory_.emplace_back(bytes, "weights").data();
}

Box Weights::box_of(Part part, int32_t expert) const {
  model::TensorSpec spec;
  spec.part = part;
  spec.expert = expert;
  return model::box_of(spec, whole_, shard_.layout, shard_.rank);
}

const float* Weights::floats(const TensorView& tensor, Part part) {
  const Box box = box_of(part);
  const int64_t width = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
  const int64_t begin = box.rows.begin * width, count = box.rows.size() * width;
  std::byte* const data = reserve(count * 4);
  if (tensor.data == nullptr && part == Part::kRouter) {
    fill_random({.data = data,
                 .rows = box.rows.size(),
                 .cols = width,
                 .whole_cols = width,
                 .kind = WeightKind::kF32,
                 .span = kRandomRouterSpan,
                 .seed = seed_of(tensor.name)},
                nullptr);
    return reinterpret_cast<const float*>(data);
  }
  std::vector<float> values(static_cast<size_t>(count), 1.0f);
  if (tensor.data != nullptr) model::widen(tensor, begin, count, values.data());
  memory_.back().upload(0, values.data(), count * 4);
  return reinterpret_cast<const float*>(data);
}

// Rows and columns of a tensor, as bf16.
static std::vector<uint16_t> to_bf16(const TensorView& tensor, const Box& box) {
  std::vector<uint16_t> bits;
  bits.reserve(static_cast<size_t>(box.elements()));
  std::vector<float> row(static_cast<size_t>(box.cols.size()));
  for (int64_t r = box.rows.begin; r < box.rows.end; ++r) {
    model::widen(tensor, r * tensor.shape[1] + box.cols.begin, box.cols.size(), row.data());
    for (const float value : row) bits.push_back(float_to_bf16(value));
  }
  return bits;
}

const uint16_t* Weights::bf16_table(const TensorView& tensor, const Box& box) {
  std::byte* const data = reserve(box.elements() * 2);
  if (tensor.data == nullptr) {
    fill_random({.data = data,
                 .rows = box.rows.size(),
                 .cols = box.cols.size(),
                 .row_begin = box.rows.begin,
                 .whole_cols = tensor.shape[1],
                 .kind = WeightKind::kBf16,
                 .span = kRandomSpan,
                 .seed = seed_of(tensor.name)},
                nullptr);
  } else if (tensor.dtype == DType::kBf16) {
    memory_.back().upload(0, tensor.data + box.rows.begin * tensor.shape[1] * 2, box.elements() * 2);
  } else {
    memory_.back().upload(0, to_bf16(tensor, box).data(), box.elements() * 2);
  }
  return reinterpret_cast<const uint16_t*>(data);
}

static std::vector<float> widened(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(elements(tensor)));
  model::widen(tensor, 0, elements(tensor), values.data());
  return values;
}

// bf16(fp32(code * scale)), as docs/numerics.md defines the arithmetic bf16.
static std::vector<uint16_t> dequantised(const LinearView& view, const model::ModelShape& shape,
                                         const Box& box) {
  const int64_t in = view.weight.shape[1];
  const int64_t scale_cols = (in + shape.fp8_block_cols - 1) / shape.fp8_block_cols;
  const std::vector<float> scales = widened(view.scale_inv);
  std::vector<uint16_t> bits;
  bits.reserve(static_cast<size_t>(box.elements()));
  for (int64_t r = box.rows.begin; r < box.rows.end; ++r)
    for (int64_t i = box.cols.begin; i < box.cols.end; ++i)
      bits.push_back(float_to_bf16(
          e4m3_to_float(static_cast<uint8_t>(view.weight.data[r * in + i])) *
          scales[static_cast<size_t>(r / shape.fp8_block_rows * scale_cols + i / shape.fp8_block_cols)]));
  return bits;
}

// The box of one weight, dense, as it is multiplied.
void Weights::upload(const DeviceMemory& to, int64_t offset, const LinearView& view, const Box& box) const {
  const bool as_codes = view.quantised && arithmetic_ != Arithmetic::kBf16;
  const int64_t element_bytes = as_codes ? 1 : 2, whole_cols = view.weight.shape[1];
  if (view.weight.data == nullptr) {
    fill_random({.data = to.data() + offset,
                 .rows = box.rows.size(),
                 .cols = box.cols.size(),
                 .row_begin = box.rows.begin,
                 .col_begin = box.cols.begin,
                 .whole_cols = whole_cols,
                 .kind = as_codes ? WeightKind::kE4m3 : WeightKind::kBf16,
                 .span = kRandomSpan,
                 .seed = seed_of(view.weight.name)},
                nullptr);
  } else if (as_codes || (!view.quantised && view.weight.dtype == DType::kBf16)) {
    to.upload_rows(offset, view.weight.data + (box.rows.begin * whole_cols + box.cols.begin) * element_bytes,
                   box.rows.size(), box.cols.size() * element_bytes, whole_cols * element_bytes);
  } else if (view.quantised) {
    to.upload(offset, dequantised(view, whole_, box).data(), box.elements() * 2);
  } else {
    to.upload(offset, to_bf16(view.weight, box).data(), box.elements() * 2);
  }
}

// The scales of all blocks that the box touches.
void Weights::upload_scales(const DeviceMemory& to, int64_t offset, const LinearView& view,
                            const Box& box) const {
  const int64_t rows = whole_.fp8_block_rows, cols = whole_.fp8_block_cols;
  const int64_t first = box.cols.begin / cols, last = (box.cols.end - 1) / cols;
  const int64_t whole_cols = view.scale_inv.shape[1];
  const bool made_up = view.scale_inv.data == nullptr;
  const std::vector<float> all = made_up ? std::vector<float>() : widened(view.scale_inv);
  std::vector<float> scales;
  for (int64_t r = box.rows.begin / rows; r <= (box.rows.end - 1) / rows; ++r)
    for (int64_t c = first; c <= last; ++c)
      scales.push_back(made_up ? kRandomScale : all[static_cast<size_t>(r * whole_cols + c)]);
  to.upload(offset, scales.data(), static_cast<int64_t>(scales.size()) * 4);
}

Matrix Weights::matrices(const std::vector<const LinearView*>& views, Part part) {
  const LinearView& first = *views.front();
  const bool of_experts = part == Part::kGate || part == Part::kUp || part == Part::kDown;
  const auto box_at = [&](size_t i) {
    return box_of(part, of_experts ? held_.begin + static_cast<int32_t>(i) : -1);
  };
  const Box box = box_at(0);
  Matrix matrix{.out = static_cast<int32_t>(box.rows.size()),
                .in = static_cast<int32_t>(box.cols.size()),
                .block_rows = whole_.fp8_block_rows};
  if (matrix.in % 16 != 0)
    throw Error("{}: the CUDA back-end needs rows of a multiple of 16 elements, found {}", first.weight.name,
                matrix.in);
  if (first.quantised && arithmetic_ != Arithmetic::kBf16) {
    matrix.kind = WeightKind::kE4m3;
    matrix.lead_rows = static_cast<int32_t>(box.rows.begin % whole_.fp8_block_rows);
    matrix.lead_cols = static_cast<int32_t>(box.cols.begin % whole_.fp8_block_cols);
    if (matrix.lead_rows % 16 != 0 || matrix.lead_cols % 16 != 0)
      throw Error(
          "{}: the CUDA back-end needs slices that begin at a multiple of 16, found row {}, column {}",
          first.weight.name, box.rows.begin, box.cols.begin);
  } else if (!first.quantised && first.weight.dtype != DType::kBf16 && arithmetic_ != Arithmetic::kBf16) {
    throw Error(
        "{}: stored as {}; the CUDA back-end multiplies fp8 and bf16 weights: give the arithmetic bf16",
        first.weight.name, model::name_of(first.weight.dtype));
  }
  const int64_t bytes_each = matrix.expert_elements() * matrix.element_bytes();
  const auto count = static_cast<int64_t>(views.size());
  matrix.packed = matrix.kind == WeightKind::kE4m3 && matrix.lead_cols == 0 && matrix.in % kScaleCols == 0 &&
                  matrix.out % kTileRows == 0;
  const DeviceMemory staging = matrix.packed ? DeviceMemory(bytes_each, "weights to pack") : DeviceMemory();
  matrix.data = reserve(bytes_each * count);
  const size_t data_idx = memory_.size() - 1;
  if (matrix.kind == WeightKind::kE4m3)
    matrix.scales = reinterpret_cast<const float*>(reserve(matrix.expert_scales() * 4 * count));
  for (int64_t i = 0; i < count; ++i) {
    const LinearView& view = *views[static_cast<size_t>(i)];
    const Box own = box_at(static_cast<size_t>(i));
    CHECK(own == box);
    CHECK_LE(own.rows.end, view.weight.shape[0]);
    CHECK_LE(own.cols.end, view.weight.shape[1]);
    if (view.quantised != first.quantised || view.weight.dtype != first.weight.dtype)
      throw Error("{}: stored as {}, {} as {}; the experts of a layer must be alike", view.weight.name,
                  model::name_of(view.weight.dtype), first.weight.name, model::name_of(first.weight.dtype));
    if (matrix.packed) {
      upload(staging, 0, view, own);
      pack(staging.data(), matrix.out, matrix.in, memory_[data_idx].data() + i * bytes_each, nullptr);
    } else {
      upload(memory_[data_idx], i * bytes_each, view, own);
    }
    if (matrix.kind == WeightKind::kE4m3)
      upload_scales(memory_.back(), i * matrix.expert_scales() * 4, view, own);
  }
  return matrix;
}

}  // namespace minimax::backend::cuda
