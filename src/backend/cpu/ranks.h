#pragma once
// The ranks of one model on the CPUs of one host. All compute from one mapping of the checkpoint; each has
// threads and a KV pool of its own.
//
// Every projection is cut by its output rows: q, k, v and gate, up as model/shard cuts them, o and down by
// rows of the hidden width, the head by ids. Between them ranks gather activations and never add partial
// sums, so all layouts compute the same bits (docs/decisions/008-cpu-ranks.md).

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/cpu/weights.h"
#include "comm/local.h"
#include "model/shard.h"

namespace minimax::backend::cpu {

// What one rank computes, as ranges of rows or columns of the whole model; slices are those of all ranks.
struct Share {
  model::Range q_heads;
  model::Range kv_heads;
  model::Range experts;
  model::Range expert_width;   // columns of the inner activations of its experts
  model::Range expert_out;     // of the hidden width: rows of `down` of its experts
  model::Range attention_out;  // of the hidden width: rows of `o`

  // Slices in bytes of bf16 rows; those of the experts have the rank's expert group.
  std::vector<comm::Slice> q_slices, kv_slices, attention_out_slices, inner_slices, expert_out_slices;
  int32_t expert_group = 0;
  std::vector<int32_t> group_of_expert;  // [experts]

  comm::Communicator* comm = nullptr;  // nullptr: the only rank
  int32_t rank = 0;
  int32_t ranks = 1;
  bool whole_experts = false;  // expert parallel: a group of ranks holds whole experts
};

// The whole model.
Share whole_share(const model::ModelShape& shape);
// REQUIRES: check_layout passed, layout.dp == 1.
Share share_of(const model::ModelShape& shape, const model::ParallelLayout& layout, int32_t rank,
               comm::Communicator* comm);

// Part `rank` of the ids [0, vocab_count) whose logits are wanted.
model::Range logits_part(const Share& share, int64_t vocab_count, int32_t rank);

struct Ranks {
  Ranks(const model::ParallelLayout& own_layout, const comm::LocalOptions& options,
        std::shared_ptr<const Weights> own_weights)
      : layout(own_layout), comm(options), weights(std::move(own_weights)) {}

  model::ParallelLayout layout;
  comm::Local comm;
  std::shared_ptr<const Weights> weights;
};

}  // namespace minimax::backend::cpu
