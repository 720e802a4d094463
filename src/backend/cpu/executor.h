#pragma once
// The Executor on the CPU: submit() runs the step on the calling thread and the pool, collect() hands the
// result over. docs/executor_contract.md.
//
// Bit-equal tokens: with one instruction set, a row's logits and its draw depend on its sequence alone; not
// on batch mates, chunks, threads, block table, prefix-cache hits or recomputation (kernels.h says how), nor
// on the number of ranks and how they share the experts (ranks.h). Ranks are driven by executor::Group.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/common/slot_table.h"
#include "backend/cpu/forward.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/kv.h"
#include "backend/cpu/ranks.h"
#include "backend/cpu/sample.h"
#include "backend/cpu/thread_pool.h"
#include "backend/cpu/weights.h"
#include "executor/executor.h"
#include "model/taps.h"
#include "model/tensors.h"

namespace minimax::backend::cpu {

struct CpuOptions {
  common::Arithmetic arithmetic = common::Arithmetic::kBf16;
  Isa isa = Isa::kScalar;
  int32_t threads = 1;
  int32_t block_tokens = 16;  // a multiple of 16
  common::KvDtype kv_dtype = common::KvDtype::kBf16;
  int32_t block_count = 0;  // KvPool::block_bytes each
  int32_t slot_count = 0;
  int32_t step_rows_max = 0;
  int32_t step_sequences_max = 0;
  int32_t context_tokens_max = 0;
  int32_t vocab_size = 0;  // ids the tokenizer knows; at most the model's vocab_rows
  int32_t logprobs_max = 20;
  std::shared_ptr<Ranks> ranks;  // nullptr: the only rank
  int32_t rank = 0;
};

class CpuExecutor final : public executor::Executor {
 public:
  // Borrows the view, which must outlive it. Throws Error naming the option that cannot be had.
  CpuExecutor(const model::ModelView& model, const CpuOptions& options);

  const executor::Limits& limits() const override { return limits_; }
  executor::StepId submit(const executor::StepBatch& batch) override;  // runs the whole step
  void collect(executor::StepId step, executor::StepResult& result) override;
  executor::Report report() const override;

  // Weights for this host's ranks of a layout, made with all the threads they will have. hosts: what the
  // ranks are spread over, as many on each; nullptr: all are here. Borrowed.
  static std::shared_ptr<Ranks> make_ranks(const model::ModelView& model, const model::ParallelLayout& layout,
                                           common::Arithmetic arithmetic, int32_t threads,
                                           comm::Hosts* hosts = nullptr);

  void set_taps(model::TapSink* sink) { forward_.set_taps(sink); }
  ThreadPool& threads() { return threads_; }
  Isa isa() const { return options_.isa; }

 private:
  // One draw or one prompt score: what a thread of the pool does with one row of logits.
  struct RowJob {
    int32_t row = 0;
    int32_t sample = -1;  // into the batch's samples, or
    int32_t score = -1;   // into its prompt_scores
    executor::SampledToken token;
    executor::TokenLogprob logprob;
    std::vector<executor::TopLogprob> top;
  };

  void run_forward(const executor::StepBatch& batch);
  void run_jobs(const executor::StepBatch& batch);
  void run_job(const executor::StepBatch& batch, RowJob& job, const float* logits, Sampler& sampler) const;
  void publish(const executor::StepBatch& batch);

  CpuOptions options_;
  executor::Limits limits_;
  ThreadPool threads_;
  const Kernels& kernels_;
  std::shared_ptr<const Weights> weights_;
  KvPool kv_;
  Forward forward_;
  common::SlotTable slots_;
  std::vector<Sampler> samplers_;  // one a thread
  HostBuffer<float> logits_;       // [kLogitRows, logits_stride_]
  int64_t logits_stride_ = 0;

  // The step in flight.
  std::vector<executor::TokenId> tokens_;
  std::vector<RowJob> jobs_;
  size_t job_count_ = 0;  // jobs_ keeps its vectors from step to step
  std::vector<int32_t> logit_rows_;
  executor::StepResult result_;
  executor::StepId next_step_ = 0;
  bool in_flight_ = false;
};

}  // namespace minimax::backend::cpu
