#include "model/plan.h"

#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace minimax::model {

std::string_view name_of(Role role) {
  switch (role) {
    case Role::kEmbedding:
      return "embedding";
    case Role::kHead:
      return "head";
    case Role::kNorm:
      return "norms";
    case Role::kAttention:
      return "attention";
    case Role::kRouter:
      return "router";
    case Role::kExpert:
      return "experts";
  }
  CHECK(false);
}

namespace {

int64_t elements_of(const TensorSpec& spec) {
  int64_t elements = 1;
  for (const int64_t dim : spec.shape) elements *= dim;
  return elements;
}

BytesByRole rank_bytes(const std::vector<TensorSpec>& table, const ModelShape& shape,
                       const ParallelLayout& layout, int32_t rank) {
  BytesByRole bytes = {};
  for (const TensorSpec& spec : table) {
    bytes[static_cast<size_t>(spec.role)] +=
        static_cast<uint64_t>(box_of(spec, shape, layout, rank).elements()) * bytes_of(spec.dtype);
  }
  return bytes;
}

}  // namespace

uint64_t total(const BytesByRole& bytes) {
  uint64_t sum = 0;
  for (const uint64_t role : bytes) sum += role;
  return sum;
}

std::string human_bytes(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", value / 1e9);
  if (bytes >= 1'000'000) return fmt::format("{:.2f} MB", value / 1e6);
  if (bytes >= 10'000) return fmt::format("{:.2f} kB", value / 1e3);
  return fmt::format("{} B", bytes);
}

std::string to_text(const RankShare& share, const ParallelLayout& layout) {
  const auto of = [](std::string_view one, std::string_view many, const Range& range) {
    return range.size() == 1 ? fmt::format("{} {}", one, range.begin)
                             : fmt::format("{} {}-{}", many, range.begin, range.end - 1);
  };
  return fmt::format("rank {} of {}: {}{}, {}, {}, {} of each, {}; weights {}", share.rank, layout.ranks(),
                     layout.dp > 1 ? fmt::format("replica {}, ", share.replica) : "",
                     of("query head", "query heads", share.q_heads),
                     of("KV head", "KV heads", share.kv_heads), of("expert", "experts", share.experts),
                     of("column", "columns", share.expert_width), of("id", "ids", share.vocab_rows),
                     human_bytes(share.weight_bytes));
}

ParameterCount count_parameters(const ModelShape& shape) {
  ParameterCount count;
  int64_t experts = 0;
  for (const TensorSpec& spec : tensor_table(shape)) {
    if (spec.is_scale) continue;
    count.total += elements_of(spec);
    if (spec.role == Role::kExpert) experts += elements_of(spec);
    // A tied embedding is multiplied with as the head; otherwise one row of it is looked up.
    if (spec.role != Role::kExpert && (spec.role != Role::kEmbedding || shape.tied_embeddings))
      count.active += elements_of(spec);
  }
  count.active += experts / shape.experts * shape.experts_per_token;
  return count;
}

BytesByRole weight_bytes(const ModelShape& shape) {
  return rank_bytes(tensor_table(shape), shape, {}, 0);
}

MemoryPlan plan_memory(const PlanRequest& request) {
  const ModelShape& shape = request.shape;
  check_layout(shape, request.layout);
  if (!(request.utilisation > 0 && request.utilisation <= 1))
    throw Error("Memory utilisation must be above 0 and at most 1, found {}.", request.utilisation);
  CHECK_GT(request.block_tokens, 0);

  MemoryPlan plan;
  const auto table = tensor_table(shape);
  for (int32_t rank = 0; rank < request.layout.ranks(); ++rank) {
    const BytesByRole bytes = rank_bytes(table, shape, request.layout, rank);
    plan.ranks.push_back({rank, rank / request.layout.tp, q_heads_of(shape, request.layout, rank),
                          kv_heads_of(shape, request.layout, rank), experts_of(shape, request.layout, rank),
                          expert_width_of(shape, request.layout, rank),
                          vocab_rows_of(shape, request.layout, rank), total(bytes)});
    if (total(bytes) > plan.rank_weight_bytes) {
      plan.rank_weights = bytes;
      plan.rank_weight_bytes = total(bytes);
    }
  }
  // K and V of the rank's heads, in every layer.
  ModelShape of_rank = shape;
  of_rank.kv_heads = static_cast<int32_t>(kv_heads_of(shape, request.layout, 0).size());
  plan.kv_token_bytes = static_cast<uint64_t>(kv_token_bytes(of_rank, request.kv_dtype));
  plan.kv_block_bytes = plan.kv_token_bytes * static_cast<uint64_t>(request.block_tokens);
  if (request.device_bytes == 0) return plan;

  const auto usable = static_cast<uint64_t>(static_cast<double>(request.device_bytes) * request.utilisation);
  const uint64_t needed = plan.rank_weight_bytes + request.reserve_bytes;
  if (needed > usable) {
    plan.missing_bytes = static_cast<int64_t>(needed - usable);
    return plan;
  }
  plan.blocks = static_cast<int64_t>((usable - needed) / plan.kv_block_bytes);
  plan.kv_bytes = static_cast<uint64_t>(plan.blocks) * plan.kv_block_bytes;
  plan.tokens = plan.blocks * request.block_tokens;
  return plan;
}

}  // namespace minimax::model
