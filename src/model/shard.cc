#include "model/shard.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace minimax::model {

namespace {

// Part `idx` of `count` nearly equal parts of [0, size).
Range part_of(int64_t size, int32_t idx, int32_t count) {
  return {size * idx / count, size * (idx + 1) / count};
}

Range scaled(const Range& range, int64_t factor) {
  return {range.begin * factor, range.end * factor};
}

Range blocks_touched(const Range& elements, int32_t block) {
  if (elements.size() == 0) return {};
  return {elements.begin / block, (elements.end + block - 1) / block};
}

// Empty if `divisor` divides.
std::string not_dividing(std::string_view what, int32_t divisor, std::string_view field, int32_t value) {
  if (value % divisor == 0) return {};
  return fmt::format("{} {} does not divide {}, which is {}.", what, divisor, field, value);
}

// Why the model cannot be cut so; empty if it can.
std::string refusal_of(const ModelShape& shape, const ParallelLayout& layout) {
  if (layout.tp < 1 || layout.dp < 1 || layout.ep < 1)
    return fmt::format("Parallel sizes must be at least 1, found tensor {}, data {}, expert {}.", layout.tp,
                       layout.dp, layout.ep);
  const bool kv_copies = layout.tp > shape.kv_heads;
  for (const std::string& refusal :
       {not_dividing("Tensor parallel size", layout.tp, "num_attention_heads", shape.q_heads),
        kv_copies ? not_dividing("num_key_value_heads", shape.kv_heads, "the tensor parallel size", layout.tp)
                  : not_dividing("Tensor parallel size", layout.tp, "num_key_value_heads", shape.kv_heads),
        not_dividing("Expert parallel size", layout.ep, "the number of ranks", layout.ranks())})
    if (!refusal.empty()) return refusal;
  if (layout.ep > shape.experts)
    return fmt::format("Expert parallel size {} is more than num_local_experts, which is {}.", layout.ep,
                       shape.experts);
  const std::string refusal =
      not_dividing("The number of ranks an expert is sliced over,", layout.ranks_per_expert(),
                   "intermediate_size", shape.expert_width);
  if (!refusal.empty()) return refusal;
  if (layout.tp > shape.vocab_rows)
    return fmt::format("Tensor parallel size {} is more than vocab_size, which is {}.", layout.tp,
                       shape.vocab_rows);
  return {};
}

// " Nearest that works: tensor parallel size 4, or 8.", the same otherwise; with expert parallelism over all
// ranks it stays so. Where no tensor parallel size does, the nearest data parallel sizes.
std::string nearest_that_work(const ModelShape& shape, const ParallelLayout& layout) {
  const bool all_ranks = layout.ep > 1 && layout.ep == layout.ranks();
  const auto nearest = [&](std::string_view name, int32_t ParallelLayout::*size) -> std::string {
    const auto works = [&](int32_t value) {
      ParallelLayout other = layout;
      other.*size = value;
      if (all_ranks) other.ep = other.ranks();
      return refusal_of(shape, other).empty();
    };
    constexpr int32_t kFarthest = 1024;
    int32_t below = layout.*size - 1, above = layout.*size + 1;
    while (below > 0 && !works(below)) --below;
    while (above <= kFarthest && !works(above)) ++above;
    if (below < 1 && above > kFarthest) return {};
    if (below < 1) return fmt::format(" Nearest that works: {} {}.", name, above);
    if (above > kFarthest) return fmt::format(" Nearest that works: {} {}.", name, below);
    return fmt::format(" Nearest that work: {} {}, or {}.", name, below, above);
  };
  const std::string by_tensor = nearest("tensor parallel size", &ParallelLayout::tp);
  if (!by_tensor.empty() || !all_ranks) return by_tensor;
  return nearest("data parallel size", &ParallelLayout::dp);
}

// The part of a weight (not of its scales) that a rank holds.
Box weight_box(const TensorSpec& spec, const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  const Range hidden = {0, shape.hidden};
  const Range one = {0, 1};
  const auto heads = [&](const Range& range) { return scaled(range, shape.head_dim); };
  const auto expert = [&](const Range& rows, const Range& cols) {
    return experts_of(shape, layout, rank).contains(spec.expert) ? Box{rows, cols} : Box{};
  };
  switch (spec.part) {
    case Part::kEmbedding:
    case Part::kHead:
      return {vocab_rows_of(shape, layout, rank), hidden};
    case Part::kHiddenNorm:
      return {hidden, one};
    case Part::kQNorm:
      return {heads(q_heads_of(shape, layout, rank)), one};
    case Part::kKNorm:
      return {heads(kv_heads_of(shape, layout, rank)), one};
    case Part::kQ:
      return {heads(q_heads_of(shape, layout, rank)), hidden};
    case Part::kK:
    case Part::kV:
      return {heads(kv_heads_of(shape, layout, rank)), hidden};
    case Part::kO:
      return {hidden, heads(q_heads_of(shape, layout, rank))};
    case Part::kRouter:
      return {{0, shape.experts}, hidden};
    case Part::kRouterBias:
      return {{0, shape.experts}, one};
    case Part::kGate:
    case Part::kUp:
      return expert(expert_width_of(shape, layout, rank), hidden);
    case Part::kDown:
      return expert(hidden, expert_width_of(shape, layout, rank));
  }
  CHECK(false);
}

}  // namespace

void check_layout(const ModelShape& shape, const ParallelLayout& layout) {
  const std::string refusal = refusal_of(shape, layout);
  if (!refusal.empty()) throw Error("{}{}", refusal, nearest_that_work(shape, layout));
}

Range q_heads_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  return part_of(shape.q_heads, rank % layout.tp, layout.tp);
}

Range kv_heads_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  const int32_t tp_rank = rank % layout.tp;
  if (layout.tp <= shape.kv_heads) return part_of(shape.kv_heads, tp_rank, layout.tp);
  // The head that the rank's query heads read; they never straddle two, since kv_heads divides tp.
  const int64_t head = int64_t{tp_rank} * shape.kv_heads / layout.tp;
  return {head, head + 1};
}

Range experts_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  if (layout.ep == 1) return {0, shape.experts};
  return part_of(shape.experts, rank / layout.ranks_per_expert(), layout.ep);
}

Range expert_width_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  const int32_t slices = layout.ranks_per_expert();
  return part_of(shape.expert_width, rank % slices, slices);
}

Range vocab_rows_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  return part_of(shape.vocab_rows, rank % layout.tp, layout.tp);
}

Box box_of(const TensorSpec& spec, const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  CHECK_GE(rank, 0);
  CHECK_LT(rank, layout.ranks());
  const Box box = weight_box(spec, shape, layout, rank);
  if (!spec.is_scale) return box;
  return {blocks_touched(box.rows, shape.fp8_block_rows), blocks_touched(box.cols, shape.fp8_block_cols)};
}

int32_t copies_of(const TensorSpec& spec, const ModelShape& shape, const ParallelLayout& layout) {
  switch (spec.part) {
    case Part::kHiddenNorm:
    case Part::kRouter:
    case Part::kRouterBias:
      return layout.ranks();
    case Part::kK:
    case Part::kV:
    case Part::kKNorm:
      return layout.dp * std::max(1, layout.tp / shape.kv_heads);
    case Part::kGate:
    case Part::kUp:
    case Part::kDown:
      return layout.ep == 1 ? layout.dp : 1;
    case Part::kEmbedding:
    case Part::kHead:
    case Part::kQNorm:
    case Part::kQ:
    case Part::kO:
      return layout.dp;
  }
  CHECK(false);
}

ModelShape shape_of_rank(const ModelShape& shape, const ParallelLayout& layout, int32_t rank) {
  ModelShape out = shape;
  out.q_heads = static_cast<int32_t>(q_heads_of(shape, layout, rank).size());
  out.kv_heads = static_cast<int32_t>(kv_heads_of(shape, layout, rank).size());
  out.experts = static_cast<int32_t>(experts_of(shape, layout, rank).size());
  out.expert_width = static_cast<int32_t>(expert_width_of(shape, layout, rank).size());
  out.vocab_rows = static_cast<int32_t>(vocab_rows_of(shape, layout, rank).size());
  return out;
}

}  // namespace minimax::model
