#pragma once
// The Executor on one CUDA device, or of one rank of a model on several.
// docs/executor_contract.md. No CUDA header is needed to include this.
//
// What runs where, today: the whole forward, the KV cache and the draws on the device (device_sampler.h says
// which draws are not); log-probabilities, and the draws left over, by the CPU back-end's sampler on rows of
// logits copied to the host. submit() runs the whole step; pipeline_depth is 1.
//
// Bit-equal tokens, on one GPU architecture: a row's logits and its draw depend on its sequence alone, not on
// batch mates, chunks, block table, prefix-cache hits or recomputation (kernels.h). Ranks draw the same
// tokens from the same logits, each for itself; log-probabilities are rank 0's alone.

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/cuda/peer.h"
#include "backend/cuda/weights.h"
#include "executor/executor.h"
#include "model/config.h"
#include "model/kv_dtype.h"
#include "model/taps.h"
#include "model/tensors.h"

namespace minimax::backend::cuda {

class Forward;

struct CudaOptions {
  common::Arithmetic arithmetic = common::Arithmetic::kW8a8;
  int32_t device = 0;   // ordinal
  int32_t threads = 1;  // of the host, for log-probabilities
  int32_t block_tokens = 16;
  model::KvDtype kv_dtype = model::KvDtype::kBf16;
  int32_t block_count = 0;  // block_bytes() each
  int32_t slot_count = 0;
  int32_t step_rows_max = 0;
  int32_t step_sequences_max = 0;
  int32_t context_tokens_max = 0;
  int32_t vocab_size = 0;  // ids the tokenizer knows; at most the model's vocab_rows
  int32_t logprobs_max = 20;
  bool graphs = true;  // decode steps as CUDA graphs (forward.h); tokens are the same without
  // A rank of several, each an executor with a thread of its own: every step is given to all of a replica.
  // Replicas that share experts (layout.dp and layout.ep > 1) run one step each at a time, together, be it an
  // empty one. Without peers: a rank alone, as forward.h says.
  Shard shard = {};
  std::shared_ptr<PeerGroup> peers = {};  // of the replica's ranks, if several
  std::shared_ptr<PeerGroup> world = {};  // of all ranks, if replicas share experts
};

// What the ranks of a replica exchange through. devices: ordinals of all ranks, replica after replica.
// options: of any rank. Null if the replica is of one rank.
std::shared_ptr<PeerGroup> make_peers(const model::ModelShape& whole, const CudaOptions& options,
                                      const std::vector<int32_t>& devices, int32_t replica = 0);
// The same of all replicas; null if they do not share experts.
std::shared_ptr<PeerGroup> make_world(const model::ModelShape& whole, const CudaOptions& options,
                                      const std::vector<int32_t>& devices);

class CudaExecutor final : public executor::Executor {
 public:
  // Bytes of one KV block on the device; of a rank: of its shape.
  static int64_t block_bytes(const model::ModelShape& shape, int32_t block_tokens, model::KvDtype kv_dtype);

  // What a rank takes of its device beside KV blocks: weights, activations, exchange, sampling. A little more
  // than it will be.
  static int64_t fixed_bytes(const model::ModelShape& whole, const CudaOptions& options);

  // With peers or world, options.device is theirs whatever is given. The view is read during construction
  // only. Throws Error naming the option that cannot be had, a device that cannot be used or memory that is
  // too small.
  CudaExecutor(const model::ModelView& model, const CudaOptions& options);
  ~CudaExecutor() override;

  const executor::Limits& limits() const override;
  executor::StepId submit(const executor::StepBatch& batch) override;  // runs the whole step
  void collect(executor::StepId step, executor::StepResult& result) override;
  executor::Report report() const override;

  Forward& forward();  // for tests

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::backend::cuda
