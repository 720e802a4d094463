#pragma once
// Name to Executor. Only cli/ and bench/ include this.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/common/fp8_kv.h"
#include "comm/hosts.h"
#include "executor/executor.h"
#include "model/tensors.h"

namespace minimax::backend {

struct ExecutorOptions {
  std::string name = "cpu";   // "cpu", "cuda" or "ref"
  std::string arithmetic;     // "bf16", "w8a16", "w8a8"; empty: the back-end's default for the checkpoint
  std::string isa;            // cpu: "avx2", "avx512", "scalar"; empty: the best this machine has
  int32_t threads = 0;        // cpu: 0: all cores of the affinity mask
  int32_t block_tokens = 16;  // --block-size
  common::KvDtype kv_dtype = common::KvDtype::kBf16;  // --kv-cache-dtype
  int64_t kv_bytes = 0;       // size of the KV pool of a replica; block_count = kv_bytes / bytes of a block
  int32_t step_rows_max = 0;  // --max-num-batched-tokens
  int32_t step_sequences_max = 0;  // --max-num-seqs; slots too
  int32_t context_tokens_max = 0;
  int32_t vocab_size = 0;        // Tokenizer::size(): ids above are padding rows of the head
  int32_t logprobs_max = 20;     // --max-logprobs; -1: the whole vocabulary
  int32_t tensor_parallel = 1;   // ranks: cpu, cuda
  int32_t replicas = 1;          // cpu: that share the cores of this process
  bool expert_parallel = false;  // whole experts on each rank, spread over those of all replicas
  // cpu: over which the ranks are spread, as many on each; this host's executor is made. Borrowed; nullptr:
  // one.
  comm::Hosts* hosts = nullptr;
  // cuda.
  int32_t rank_alone = -1;       // --rank-proxy: this rank alone, without the others; -1: all
  std::vector<int32_t> devices;  // --devices: of each rank, replica after replica; empty: 0, 1, 2, ...
  bool graphs = true;            // not --enforce-eager
};

// cuda: bytes for the KV cache of a rank, if `utilisation` of each device's memory is used. kv_bytes does not
// count. Throws Error with the numbers if nothing is left.
int64_t device_kv_bytes(const model::ModelShape& shape, const ExecutorOptions& options, double utilisation);

// The view (and the mapped checkpoint behind it) must outlive the executor. A view without data
// (model::DescribedModel) is for cuda alone. Throws Error for what cannot be had. REQUIRES: with
// expert_parallel, and with cuda, one replica.
std::unique_ptr<executor::Executor> make_executor(const model::ModelView& model,
                                                  const ExecutorOptions& options);

// One for each replica: independent of one another, or with expert_parallel in lock step
// (executor/lockstep.h).
std::vector<std::unique_ptr<executor::Executor>> make_replicas(const model::ModelView& model,
                                                               const ExecutorOptions& options);

}  // namespace minimax::backend
