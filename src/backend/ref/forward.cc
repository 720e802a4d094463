#include "backend/ref/forward.h"

#include <algorithm>

#include "base/check.h"

namespace minimax::backend::ref {

using executor::BlockId;
using model::LayerView;
using model::ModelShape;
namespace taps = model::taps;

KvCache::KvCache(const ModelShape& shape, int32_t block_tokens, int32_t block_count, common::KvDtype dtype)
    : dtype_(dtype),
      block_tokens_(block_tokens),
      block_count_(block_count),
      block_values_(static_cast<size_t>(block_tokens) * static_cast<size_t>(shape.kv_width())),
      block_scales_(static_cast<size_t>(block_tokens) * static_cast<size_t>(shape.kv_heads)) {
  const auto make_side = [&](const char* what) {
    Side side;
    const int64_t values = static_cast<int64_t>(block_values_) * block_count;
    if (dtype == common::KvDtype::kBf16) {
      side.values = common::HostBuffer<float>(values, what);
    } else {
      side.codes = common::HostBuffer<uint8_t>(values, what);
      side.scales = common::HostBuffer<float>(static_cast<int64_t>(block_scales_) * block_count, what);
    }
    return side;
  };
  for (int32_t layer = 0; layer < shape.layers; ++layer) {
    k_.push_back(make_side("the K cache"));
    v_.push_back(make_side("the V cache"));
  }
}

int64_t KvCache::bytes_of_block(const ModelShape& shape, int32_t block_tokens, common::KvDtype dtype) {
  if (dtype == common::KvDtype::kFp8) return model::kv_token_bytes(shape, dtype) * block_tokens;
  return int64_t{2} * static_cast<int64_t>(sizeof(float)) * shape.layers * shape.kv_width() * block_tokens;
}

Fp8Side KvCache::fp8_side(const Side& side) const {
  const auto blocks = static_cast<size_t>(block_count_);
  return {{side.codes.data(), block_values_ * blocks}, {side.scales.data(), block_scales_ * blocks}};
}

PagedKv KvCache::layer(int32_t layer) {
  const Side &k = k_.at(static_cast<size_t>(layer)), &v = v_.at(static_cast<size_t>(layer));
  if (dtype_ == common::KvDtype::kFp8) return {{}, {}, block_tokens_, fp8_side(k), fp8_side(v)};
  const size_t values = block_values_ * static_cast<size_t>(block_count_);
  return {{k.values.data(), values}, {v.values.data(), values}, block_tokens_};
}

void KvCache::copy_block(BlockId src, BlockId dst) {
  CHECK_LT(std::max(src, dst), block_count_);
  const auto copy = [&](auto* data, size_t block_size) {
    if (data != nullptr)
      std::copy_n(data + static_cast<size_t>(src) * block_size, block_size,
                  data + static_cast<size_t>(dst) * block_size);
  };
  for (const auto* layers : {&k_, &v_}) {
    for (const Side& side : *layers) {
      copy(side.values.data(), block_values_);
      copy(side.codes.data(), block_values_);
      copy(side.scales.data(), block_scales_);
    }
  }
}

Forward::Forward(const model::ModelView& model, common::Arithmetic arithmetic, model::TapSink* sink)
    : model_(model),
      format_{arithmetic, model.shape.fp8_block_rows, model.shape.fp8_block_cols},
      sink_(sink) {
  if (format_.block_cols == 0) {  // nothing is quantised: any block will do
    format_.block_rows = format_.block_cols = 128;
  }
}

void Forward::tap(std::string_view name, int32_t layer, int64_t width, std::span<const float> values) const {
  if (sink_ != nullptr)
    sink_->tap(name, layer, static_cast<int64_t>(values.size()) / width, width, values.data());
}

std::vector<float> Forward::embed(std::span<const executor::TokenId> ids) const {
  std::vector<float> h = ref::embed(model_.embedding, ids);
  tap(taps::kEmbed, -1, model_.shape.hidden, h);
  return h;
}

std::vector<float> Forward::attention_part(int32_t n, std::span<const float> x,
                                           std::span<const RowPlace> places, const PagedKv& kv) const {
  const ModelShape& shape = model_.shape;
  const LayerView& weights = model_.layers[static_cast<size_t>(n)];
  std::vector<float> q = linear(x, weights.q, format_);
  std::vector<float> k = linear(x, weights.k, format_);
  const std::vector<float> v = linear(x, weights.v, format_);
  tap(taps::kQProj, n, shape.q_width(), q);
  tap(taps::kKProj, n, shape.kv_width(), k);
  tap(taps::kVProj, n, shape.kv_width(), v);
  if (shape.qk_norm) {
    q = rms_norm(q, weights.q_norm, shape.rms_eps);
    k = rms_norm(k, weights.k_norm, shape.rms_eps);
    tap(taps::kQNorm, n, shape.q_width(), q);
    tap(taps::kKNorm, n, shape.kv_width(), k);
  }
  std::vector<int32_t> positions;
  for (const RowPlace& place : places) positions.push_back(place.position);
  q = rope(q, positions, shape.head_dim, shape.rotary_dim, shape.rope_theta);
  k = rope(k, positions, shape.head_dim, shape.rotary_dim, shape.rope_theta);
  tap(taps::kQRope, n, shape.q_width(), q);
  tap(taps::kKRope, n, shape.kv_width(), k);

  write_kv(k, v, places, kv);
  const std::vector<float> mixed = attention(q, places, kv, shape.q_heads, shape.kv_heads, shape.head_dim);
  tap(taps::kAttn, n, shape.q_width(), mixed);
  std::vector<float> out = linear(mixed, weights.o, format_);
  tap(taps::kOProj, n, shape.hidden, out);
  return out;
}

std::vector<float> Forward::experts_part(int32_t n, std::span<const float> x) const {
  const ModelShape& shape = model_.shape;
  const LayerView& weights = model_.layers[static_cast<size_t>(n)];
  const auto hidden = static_cast<size_t>(shape.hidden);
  const size_t rows = x.size() / hidden;
  const auto slots = static_cast<size_t>(shape.experts_per_token);

  // The router's weights are used as stored, whatever the arithmetic of the projections.
  const LinearFormat as_stored{Arithmetic::kW8a16, format_.block_rows, format_.block_cols};
  const std::vector<float> logits = linear_f32(x, {weights.router, false, {}}, as_stored);
  const Routing routing = route(logits, weights.router_bias, shape.experts, shape.experts_per_token);
  tap(taps::kRouterLogits, n, shape.experts, logits);
  tap(taps::kRouterScores, n, shape.experts, routing.scores);
  tap(taps::kExpertIds, n, shape.experts_per_token,
      std::vector<float>(routing.ids.begin(), routing.ids.end()));
  tap(taps::kExpertWeights, n, shape.experts_per_token, routing.weights);

  // Expert by expert, so that each weight is read once for all of its rows; results slot by slot.
  const auto width = static_cast<size_t>(shape.expert_width);
  std::vector<float> y(rows * slots * hidden), inners(rows * slots * width);
  for (int32_t e = 0; e < shape.experts; ++e) {
    std::vector<size_t> parts;  // row * slots + slot
    std::vector<float> input;
    for (size_t part = 0; part < routing.ids.size(); ++part) {
      if (routing.ids[part] != e) continue;
      parts.push_back(part);
      const auto row = x.subspan(part / slots * hidden, hidden);
      input.insert(input.end(), row.begin(), row.end());
    }
    if (parts.empty()) continue;
    const model::ExpertView& expert = weights.experts[static_cast<size_t>(e)];
    const std::vector<float> inner =
        swiglu(linear(input, expert.gate, format_), linear(input, expert.up, format_));
    const std::vector<float> output = linear(inner, expert.down, format_);
    for (size_t i = 0; i < parts.size(); ++i) {
      std::copy_n(inner.begin() + static_cast<ptrdiff_t>(i * width), width,
                  inners.begin() + static_cast<ptrdiff_t>(parts[i] * width));
      std::copy_n(output.begin() + static_cast<ptrdiff_t>(i * hidden), hidden,
                  y.begin() + static_cast<ptrdiff_t>(parts[i] * hidden));
    }
  }
  std::vector<float> out = combine(y, routing.weights, static_cast<int64_t>(rows), shape.experts_per_token);
  tap(taps::kExpertInner, n, int64_t{shape.experts_per_token} * shape.expert_width, inners);
  tap(taps::kMoe, n, shape.hidden, out);
  return out;
}

std::vector<float> Forward::layer(int32_t n, std::span<const float> h, std::span<const RowPlace> places,
                                  const PagedKv& kv) const {
  const ModelShape& shape = model_.shape;
  CHECK_EQ(h.size(), places.size() * static_cast<size_t>(shape.hidden));
  const LayerView& weights = model_.layers.at(static_cast<size_t>(n));

  const std::vector<float> attn_norm = rms_norm(h, weights.attn_norm, shape.rms_eps);
  tap(taps::kAttnNorm, n, shape.hidden, attn_norm);
  const std::vector<float> middle = add(h, attention_part(n, attn_norm, places, kv));
  tap(taps::kAttnResidual, n, shape.hidden, middle);

  const std::vector<float> mlp_norm = rms_norm(middle, weights.mlp_norm, shape.rms_eps);
  tap(taps::kMlpNorm, n, shape.hidden, mlp_norm);
  std::vector<float> out = add(middle, experts_part(n, mlp_norm));
  tap(taps::kMlpResidual, n, shape.hidden, out);
  return out;
}

std::vector<float> Forward::head(std::span<const float> h) const {
  const std::vector<float> x = rms_norm(h, model_.final_norm, model_.shape.rms_eps);
  tap(taps::kFinalNorm, -1, model_.shape.hidden, x);
  std::vector<float> logits = linear_f32(x, {model_.head, false, {}}, format_);
  tap(taps::kLogits, -1, model_.shape.vocab_rows, logits);
  return logits;
}

std::vector<float> Forward::run(std::span<const executor::TokenId> ids, std::span<const RowPlace> places,
                                KvCache& kv) const {
  std::vector<float> h = embed(ids);
  for (int32_t n = 0; n < model_.shape.layers; ++n) h = layer(n, h, places, kv.layer(n));
  return h;
}

}  // namespace minimax::backend::ref
