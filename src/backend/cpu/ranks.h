#pragma once
// The ranks of one model on the CPUs of one host. All compute from one mapping of the checkpoint; each has
// threads and a KV pool of its own.
//
// Every projection is cut by its output rows: q, k, v and gate, up as model/shard cuts them, o and down by
// rows of the hidden width, the head by ids. Between them ranks gather activations and never add partial
// sums, so all layouts compute the same bits (docs/decisions/008-cpu-ranks.md).
//
// With expert parallelism the ranks may be those of several data parallel replicas: attention and head are
// shared by the ranks of one replica, the experts by all, for the rows of all (012-expert-parallel.md). Rank
// r is of replica r / tp.

#include <cstdint>
#include <deque>
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

  // Slices in bytes of bf16 rows, of the ranks of the replica.
  std::vector<comm::Slice> q_slices, kv_slices, attention_out_slices;  // [ranks]
  // Of the ranks of all replicas; the group is the rank's expert group,
  std::vector<comm::Slice> inner_slices, expert_out_slices;  // [ranks_in_all]
  // and here its replica: what it gives of the hidden width of its replica's rows, all of which it has; and
  // the place of its replica in a list of int32.
  std::vector<comm::Slice> row_slices, count_slices;  // [ranks_in_all]
  std::vector<int32_t> group_of_expert;               // [experts]

  comm::Communicator* comm = nullptr;  // of the replica's ranks; nullptr: the only one
  int32_t rank = 0;                    // among them
  int32_t ranks = 1;
  comm::Communicator* comm_of_all = nullptr;  // of the ranks of all replicas
  int32_t ranks_in_all = 1;
  int32_t replica = 0;
  int32_t replicas = 1;
  bool whole_experts = false;  // expert parallel: a group of ranks holds whole experts
};

// The whole model.
Share whole_share(const model::ModelShape& shape);
// What a rank exchanges through; nullptr where it would meet itself alone.
struct RankComms {
  comm::Communicator* of_replica = nullptr;
  comm::Communicator* of_all = nullptr;
};
// REQUIRES: check_layout passed; with several replicas layout.ep > 1.
Share share_of(const model::ModelShape& shape, const model::ParallelLayout& layout, int32_t rank,
               const RankComms& comms);

// Part `rank` of the ids [0, vocab_count) whose logits are wanted.
model::Range logits_part(const Share& share, int64_t vocab_count, int32_t rank);

struct Ranks {
  // options: of all ranks of this process. REQUIRES: with several replicas these are all there are.
  Ranks(const model::ParallelLayout& own_layout, const comm::LocalOptions& options,
        std::shared_ptr<const Weights> own_weights);
  RankComms comms_of(int32_t rank);

  model::ParallelLayout layout;
  comm::Local comm;                       // all ranks
  std::deque<comm::Local> replica_comms;  // [dp]; empty for one replica, whose ranks are all ranks
  std::shared_ptr<const Weights> weights;
};

}  // namespace minimax::backend::cpu
