#include "backend/cpu/ranks.h"

#include "base/check.h"

namespace minimax::backend::cpu {

using model::Range;

static Range part_of(int64_t size, int32_t idx, int32_t count) {
  return {size * idx / count, size * (idx + 1) / count};
}

static comm::Slice bf16_slice(const Range& elements, int32_t group = 0) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(uint16_t));
  return {elements.begin * kBytes, elements.end * kBytes, group};
}

static Range times(const Range& range, int64_t factor) {
  return {range.begin * factor, range.end * factor};
}

Share whole_share(const model::ModelShape& shape) {
  return share_of(shape, {}, 0, {});
}

Share share_of(const model::ModelShape& shape, const model::ParallelLayout& layout, int32_t rank,
               const RankComms& comms) {
  CHECK(layout.dp == 1 || layout.ep > 1);
  Share share;
  share.comm = comms.of_replica;
  share.rank = rank % layout.tp;
  share.ranks = layout.tp;
  share.comm_of_all = comms.of_all;
  share.ranks_in_all = layout.ranks();
  share.replica = rank / layout.tp;
  share.replicas = layout.dp;
  share.whole_experts = layout.ep > 1;
  const int32_t group_ranks = layout.ranks_per_expert();
  const auto expert_out_of = [&](int32_t r) { return part_of(shape.hidden, r % group_ranks, group_ranks); };
  share.q_heads = q_heads_of(shape, layout, rank);
  share.kv_heads = kv_heads_of(shape, layout, rank);
  share.experts = experts_of(shape, layout, rank);
  share.expert_width = expert_width_of(shape, layout, rank);
  share.expert_out = expert_out_of(rank);
  share.attention_out = part_of(shape.hidden, share.rank, layout.tp);
  for (int32_t r = 0; r < layout.tp; ++r) {
    share.q_slices.push_back(bf16_slice(times(q_heads_of(shape, layout, r), shape.head_dim)));
    share.kv_slices.push_back(bf16_slice(times(kv_heads_of(shape, layout, r), shape.head_dim)));
    share.attention_out_slices.push_back(bf16_slice(part_of(shape.hidden, r, layout.tp)));
  }
  constexpr auto kCountBytes = static_cast<int64_t>(sizeof(int32_t));
  share.group_of_expert.resize(static_cast<size_t>(shape.experts));
  for (int32_t r = 0; r < layout.ranks(); ++r) {
    const int32_t group = r / group_ranks, replica = r / layout.tp;
    share.row_slices.push_back(bf16_slice(part_of(shape.hidden, r % layout.tp, layout.tp), replica));
    share.count_slices.push_back({replica * kCountBytes, (replica + 1) * kCountBytes});
    share.inner_slices.push_back(bf16_slice(expert_width_of(shape, layout, r), group));
    share.expert_out_slices.push_back(bf16_slice(expert_out_of(r), group));
    const Range experts = experts_of(shape, layout, r);
    for (int64_t e = experts.begin; e < experts.end; ++e)
      share.group_of_expert[static_cast<size_t>(e)] = group;
  }
  return share;
}

Ranks::Ranks(const model::ParallelLayout& own_layout, const comm::LocalOptions& options,
             std::shared_ptr<const Weights> own_weights)
    : layout(own_layout), comm(options), weights(std::move(own_weights)) {
  if (layout.dp == 1) return;
  CHECK(options.hosts == nullptr);
  comm::LocalOptions of_replica = options;
  of_replica.ranks = layout.tp;
  for (int32_t i = 0; i < layout.dp; ++i) replica_comms.emplace_back(of_replica);
}

RankComms Ranks::comms_of(int32_t rank) {
  comm::Communicator* const of_all = &comm.of(rank);
  if (layout.dp == 1) return {of_all, of_all};
  return {&replica_comms[static_cast<size_t>(rank / layout.tp)].of(rank % layout.tp), of_all};
}

Range logits_part(const Share& share, int64_t vocab_count, int32_t rank) {
  return part_of(vocab_count, rank, share.ranks);
}

}  // namespace minimax::backend::cpu
