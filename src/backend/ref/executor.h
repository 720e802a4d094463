#pragma once
// The oracle as an Executor: one thread, one step at a time, every sum in order. The engine's metamorphic
// tests run on it, and backend/cpu's executor is compared with it step by step. Orders of magnitude slower
// than backend/cpu: for small models.

#include <cstdint>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/common/slot_table.h"
#include "backend/ref/forward.h"
#include "executor/executor.h"
#include "model/tensors.h"

namespace minimax::backend::ref {

struct RefOptions {
  common::Arithmetic arithmetic = common::Arithmetic::kBf16;
  int32_t block_tokens = 16;
  common::KvDtype kv_dtype = common::KvDtype::kBf16;
  int32_t block_count = 0;  // KvCache::bytes_of_block each
  int32_t slot_count = 0;
  int32_t step_rows_max = 0;
  int32_t step_sequences_max = 0;
  int32_t context_tokens_max = 0;
  int32_t vocab_size = 0;  // ids the tokenizer knows; at most the model's vocab_rows
  int32_t logprobs_max = 20;
};

class RefExecutor final : public executor::Executor {
 public:
  // Borrows the view, which must outlive it. Throws Error naming the option that cannot be had.
  RefExecutor(const model::ModelView& model, const RefOptions& options, model::TapSink* sink = nullptr);

  const executor::Limits& limits() const override { return limits_; }
  executor::StepId submit(const executor::StepBatch& batch) override;  // runs the whole step
  void collect(executor::StepId step, executor::StepResult& result) override;
  executor::Report report() const override;

 private:
  // Logits of the rows that samples and prompt scores name.
  struct RowLogits {
    std::vector<int32_t> rows;  // ascending, distinct
    std::vector<float> logits;  // [rows, vocab_rows]
  };
  RowLogits run_forward(const executor::StepBatch& batch);
  std::span<const float> logits_of(const RowLogits& all, int32_t row) const;  // [vocab_size]
  void draw(const executor::StepBatch& batch, const RowLogits& all);
  void score_prompt(const executor::StepBatch& batch, const RowLogits& all);

  const model::ModelView& model_;
  common::Arithmetic arithmetic_;
  common::KvDtype kv_dtype_;
  executor::Limits limits_;
  Forward forward_;
  KvCache kv_;
  common::SlotTable slots_;
  executor::StepResult result_;  // of the step in flight
  executor::StepId next_step_ = 0;
  bool in_flight_ = false;
};

}  // namespace minimax::backend::ref
