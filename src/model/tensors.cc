#include "model/tensors.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "base/error.h"
#include "base/float_types.h"
#include "base/log.h"
#include "model/safetensors.h"

namespace minimax::model {

namespace {

constexpr size_t kNamesShown = 5;

int64_t blocks(int64_t elements, int32_t block) {
  return (elements + block - 1) / block;
}

// Appends rows of the table.
class TableWriter {
 public:
  TableWriter(const ModelShape& shape, std::vector<TensorSpec>& table) : shape_(shape), table_(table) {}

  // The rows that follow belong to this layer and expert; -1: to none.
  void at(int32_t layer, int32_t expert = -1) {
    layer_ = layer;
    expert_ = expert;
  }

  void plain(std::string name, std::vector<int64_t> dims, DType dtype, Role role, Part part) {
    table_.push_back({std::move(name), std::move(dims), dtype, role, layer_, expert_, part, false});
  }

  void linear(const std::string& name, int64_t out, int64_t in, Role role, Part part) {
    const bool fp8 = shape_.fp8_block_rows > 0;
    plain(name + ".weight", {out, in}, fp8 ? DType::kE4m3 : DType::kBf16, role, part);
    if (!fp8) return;
    plain(name + ".weight_scale_inv", {blocks(out, shape_.fp8_block_rows), blocks(in, shape_.fp8_block_cols)},
          DType::kF32, role, part);
    table_.back().is_scale = true;
  }

 private:
  const ModelShape& shape_;
  std::vector<TensorSpec>& table_;
  int32_t layer_ = -1;
  int32_t expert_ = -1;
};

std::string layer_prefix(int32_t layer) {
  return fmt::format("model.layers.{}.", layer);
}
std::string expert_prefix(int32_t layer, int32_t expert) {
  return fmt::format("model.layers.{}.block_sparse_moe.experts.{}.", layer, expert);
}

void add_layer(TableWriter& table, const ModelShape& shape, int32_t n) {
  const std::string prefix = layer_prefix(n);
  const int64_t hidden = shape.hidden, q_width = shape.q_width(), kv_width = shape.kv_width();
  table.at(n);
  table.plain(prefix + "input_layernorm.weight", {hidden}, DType::kBf16, Role::kNorm, Part::kHiddenNorm);
  table.linear(prefix + "self_attn.q_proj", q_width, hidden, Role::kAttention, Part::kQ);
  table.linear(prefix + "self_attn.k_proj", kv_width, hidden, Role::kAttention, Part::kK);
  table.linear(prefix + "self_attn.v_proj", kv_width, hidden, Role::kAttention, Part::kV);
  table.linear(prefix + "self_attn.o_proj", hidden, q_width, Role::kAttention, Part::kO);
  if (shape.qk_norm) {
    table.plain(prefix + "self_attn.q_norm.weight", {q_width}, DType::kBf16, Role::kNorm, Part::kQNorm);
    table.plain(prefix + "self_attn.k_norm.weight", {kv_width}, DType::kBf16, Role::kNorm, Part::kKNorm);
  }
  table.plain(prefix + "post_attention_layernorm.weight", {hidden}, DType::kBf16, Role::kNorm,
              Part::kHiddenNorm);
  const std::string moe = prefix + "block_sparse_moe.";
  table.plain(moe + "gate.weight", {shape.experts, hidden}, DType::kF32, Role::kRouter, Part::kRouter);
  if (shape.routing_bias)
    table.plain(moe + "e_score_correction_bias", {shape.experts}, DType::kF32, Role::kRouter,
                Part::kRouterBias);
  for (int32_t e = 0; e < shape.experts; ++e) {
    const std::string expert = expert_prefix(n, e);
    table.at(n, e);
    table.linear(expert + "w1", shape.expert_width, hidden, Role::kExpert, Part::kGate);
    table.linear(expert + "w2", hidden, shape.expert_width, Role::kExpert, Part::kDown);
    table.linear(expert + "w3", shape.expert_width, hidden, Role::kExpert, Part::kUp);
  }
  table.at(-1);
}

// "model.layers.62.…" with 62 or more layers, or "mtp" anywhere: multi-token prediction, which the family's
// configs announce and this program does not use.
bool is_mtp(std::string_view name, const ModelShape& shape) {
  if (name.find("mtp") != std::string_view::npos) return true;
  constexpr std::string_view kPrefix = "model.layers.";
  if (!name.starts_with(kPrefix)) return false;
  int64_t layer = 0;
  size_t at = kPrefix.size();
  const size_t first = at;
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && at - first < 9; ++at)
    layer = layer * 10 + (name[at] - '0');
  return at > first && at < name.size() && name[at] == '.' && layer >= shape.layers;
}

// What is wrong with a checkpoint, by kind, so that one message can name the first few of each.
class Complaints {
 public:
  void throw_if_any(const Checkpoint& checkpoint) const {
    std::string text;
    append(text, "missing", missing);
    append(text, "unknown", unknown);
    append(text, "with the wrong shape or dtype", misshapen);
    if (text.empty()) return;
    const std::string dir =
        checkpoint.files().empty() ? std::string() : checkpoint.files()[0].parent_path().string();
    throw Error("{}: the tensors do not fit config.json: {}.", dir, text);
  }

  std::vector<std::string> missing, unknown, misshapen;

 private:
  static void append(std::string& text, std::string_view kind, const std::vector<std::string>& names) {
    if (names.empty()) return;
    if (!text.empty()) text += "; ";
    text += fmt::format("{} {}: ", names.size(), kind);
    const size_t shown = std::min(names.size(), kNamesShown);
    for (size_t i = 0; i < shown; ++i) text += (i > 0 ? ", " : "") + names[i];
    if (shown < names.size()) text += ", ...";
  }
};

std::string described(DType dtype, const std::vector<int64_t>& dims) {
  return fmt::format("{} [{}]", name_of(dtype), fmt::join(dims, ", "));
}

class Binder {
 public:
  Binder(const Checkpoint& checkpoint, const ModelShape& shape) : checkpoint_(checkpoint), shape_(shape) {}

  // A tensor stored as it is: any dtype but fp8.
  TensorView plain(const std::string& name, const std::vector<int64_t>& dims) {
    const TensorView* view = take(name);
    if (view == nullptr) return {};
    if (view->shape != dims || view->dtype == DType::kE4m3)
      misshapen(*view, fmt::format("BF16, F16 or F32 [{}]", fmt::join(dims, ", ")));
    return *view;
  }

  // A weight as fp8 with scales, where the config says so, or as it is.
  LinearView linear(const std::string& name, int64_t out, int64_t in) {
    LinearView linear;
    const TensorView* weight = take(name + ".weight");
    if (weight == nullptr) return linear;
    linear.weight = *weight;
    linear.quantised = weight->dtype == DType::kE4m3;
    if (weight->shape != std::vector<int64_t>{out, in}) {
      misshapen(*weight, fmt::format("[{}, {}]", out, in));
    } else if (linear.quantised && shape_.fp8_block_rows == 0) {
      misshapen(*weight, "BF16, F16 or F32, since config.json has no quantization_config");
    }
    if (!linear.quantised || shape_.fp8_block_rows == 0) return linear;
    const std::vector<int64_t> dims = {blocks(out, shape_.fp8_block_rows), blocks(in, shape_.fp8_block_cols)};
    const TensorView* scale = take(name + ".weight_scale_inv");
    if (scale == nullptr) return linear;
    if (scale->shape != dims || scale->dtype != DType::kF32) misshapen(*scale, described(DType::kF32, dims));
    linear.scale_inv = *scale;
    return linear;
  }

  void finish() {
    int64_t skipped = 0;
    for (const TensorView& view : checkpoint_.tensors()) {
      if (taken_.contains(&view)) continue;
      if (is_mtp(view.name, shape_)) {
        ++skipped;
      } else {
        complaints_.unknown.push_back(quote_name(view.name));
      }
    }
    complaints_.throw_if_any(checkpoint_);
    if (skipped > 0) log::info("Skipped the multi-token prediction layers: {} tensor(s).", skipped);
  }

 private:
  const TensorView* take(const std::string& name) {
    const TensorView* view = checkpoint_.find(name);
    if (view == nullptr) {
      complaints_.missing.push_back(quote_name(name));
    } else {
      taken_.insert(view);
    }
    return view;
  }

  void misshapen(const TensorView& view, std::string_view expected) {
    complaints_.misshapen.push_back(fmt::format("{} (expected {}, found {})", quote_name(view.name), expected,
                                                described(view.dtype, view.shape)));
  }

  const Checkpoint& checkpoint_;
  const ModelShape& shape_;
  std::unordered_set<const TensorView*> taken_;
  Complaints complaints_;
};

// In the place of the Binder, for a model without files: views of the published dtypes, without data.
class Describer {
 public:
  explicit Describer(const std::vector<TensorSpec>& table) {
    for (const TensorSpec& spec : table) specs_.emplace(spec.name, &spec);
  }

  TensorView plain(const std::string& name, const std::vector<int64_t>& dims) const {
    const TensorSpec& spec = *specs_.at(name);
    CHECK(spec.shape == dims);
    TensorView view;
    view.name = spec.name;
    view.dtype = spec.dtype;
    view.shape = spec.shape;
    return view;
  }
  LinearView linear(const std::string& name, int64_t out, int64_t in) const {
    LinearView linear;
    linear.weight = plain(name + ".weight", {out, in});
    linear.quantised = linear.weight.dtype == DType::kE4m3;
    if (!linear.quantised) return linear;
    const std::string scale = name + ".weight_scale_inv";
    linear.scale_inv = plain(scale, specs_.at(scale)->shape);
    return linear;
  }

 private:
  std::unordered_map<std::string_view, const TensorSpec*> specs_;
};

template <typename Source>
LayerView bind_layer(Source& binder, const ModelShape& shape, int32_t n) {
  const std::string prefix = layer_prefix(n);
  LayerView layer;
  layer.attn_norm = binder.plain(prefix + "input_layernorm.weight", {shape.hidden});
  layer.q = binder.linear(prefix + "self_attn.q_proj", shape.q_width(), shape.hidden);
  layer.k = binder.linear(prefix + "self_attn.k_proj", shape.kv_width(), shape.hidden);
  layer.v = binder.linear(prefix + "self_attn.v_proj", shape.kv_width(), shape.hidden);
  layer.o = binder.linear(prefix + "self_attn.o_proj", shape.hidden, shape.q_width());
  if (shape.qk_norm) {
    layer.q_norm = binder.plain(prefix + "self_attn.q_norm.weight", {shape.q_width()});
    layer.k_norm = binder.plain(prefix + "self_attn.k_norm.weight", {shape.kv_width()});
  }
  layer.mlp_norm = binder.plain(prefix + "post_attention_layernorm.weight", {shape.hidden});
  const std::string moe = prefix + "block_sparse_moe.";
  layer.router = binder.plain(moe + "gate.weight", {shape.experts, shape.hidden});
  if (shape.routing_bias) layer.router_bias = binder.plain(moe + "e_score_correction_bias", {shape.experts});
  for (int32_t e = 0; e < shape.experts; ++e) {
    const std::string expert = expert_prefix(n, e);
    layer.experts.push_back({binder.linear(expert + "w1", shape.expert_width, shape.hidden),
                             binder.linear(expert + "w3", shape.expert_width, shape.hidden),
                             binder.linear(expert + "w2", shape.hidden, shape.expert_width)});
  }
  return layer;
}

template <typename Source>
ModelView bind_model(Source& binder, const ModelShape& shape) {
  ModelView model;
  model.shape = shape;
  model.embedding = binder.plain("model.embed_tokens.weight", {shape.vocab_rows, shape.hidden});
  for (int32_t n = 0; n < shape.layers; ++n) model.layers.push_back(bind_layer(binder, shape, n));
  model.final_norm = binder.plain("model.norm.weight", {shape.hidden});
  model.head = shape.tied_embeddings ? model.embedding
                                     : binder.plain("lm_head.weight", {shape.vocab_rows, shape.hidden});
  return model;
}

}  // namespace

std::vector<TensorSpec> tensor_table(const ModelShape& shape) {
  std::vector<TensorSpec> table;
  TableWriter writer(shape, table);
  writer.plain("model.embed_tokens.weight", {shape.vocab_rows, shape.hidden}, DType::kBf16, Role::kEmbedding,
               Part::kEmbedding);
  for (int32_t n = 0; n < shape.layers; ++n) add_layer(writer, shape, n);
  writer.plain("model.norm.weight", {shape.hidden}, DType::kBf16, Role::kNorm, Part::kHiddenNorm);
  if (!shape.tied_embeddings)
    writer.plain("lm_head.weight", {shape.vocab_rows, shape.hidden}, DType::kBf16, Role::kHead, Part::kHead);
  return table;
}

ModelView bind_tensors(const Checkpoint& checkpoint, const ModelShape& shape) {
  Binder binder(checkpoint, shape);
  ModelView model = bind_model(binder, shape);
  binder.finish();
  return model;
}

DescribedModel::DescribedModel(const ModelShape& shape) : table_(tensor_table(shape)) {
  const Describer describer(table_);
  view_ = bind_model(describer, shape);
}

void widen(const TensorView& tensor, int64_t begin, int64_t count, float* out) {
  CHECK_GE(begin, 0);
  CHECK_GE(count, 0);
  CHECK_LE(static_cast<uint64_t>(begin + count) * bytes_of(tensor.dtype), tensor.bytes);
  const std::byte* source = tensor.data + static_cast<size_t>(begin) * bytes_of(tensor.dtype);
  const auto n = static_cast<size_t>(count);
  if (tensor.dtype == DType::kF32) {
    if (n > 0) std::memcpy(out, source, n * sizeof(float));
    return;
  }
  CHECK(tensor.dtype == DType::kBf16 || tensor.dtype == DType::kF16);
  const bool bf16 = tensor.dtype == DType::kBf16;
  for (size_t i = 0; i < n; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, source + 2 * i, sizeof(bits));  // the file need not align it
    out[i] = bf16 ? bf16_to_float(bits) : fp16_to_float(bits);
  }
}

}  // namespace minimax::model
