#pragma once
// A toy model behind the Executor contract, for tests of everything above it: deterministic, no floating
// point.
//
// Its "KV cache" holds the token written at each position of each block. The next token of a row is a hash of
// all tokens at positions 0..its own, read back through the block table: a wrong table, a missing copy, a
// stale block or a wrong position changes the tokens. Reading a position that was never written since its
// block was last given new content is a CHECK failure. Sampling honours seed, sample_idx, output_position,
// stop_ids, min_tokens, allowed_ids, masks and logit_bias (a bias of 100 forces the token); logprobs are made
// up from the hash.

#include <cstdint>
#include <deque>
#include <vector>

#include "executor/executor.h"

namespace minimax::executor {

struct FakeOptions {
  Limits limits;
  int64_t step_us = 0;  // time a step takes, slept in collect()
  // A row whose hash is a multiple of this gives kNotFinite; 0: never.
  uint64_t not_finite_every = 0;
};

// Small limits that make all paths meet: blocks of 4, 16 blocks, 8 slots, vocabulary 50.
Limits fake_limits();

class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(const FakeOptions& options);

  const Limits& limits() const override { return options_.limits; }
  StepId submit(const StepBatch& batch) override;
  void collect(StepId step, StepResult& result) override;
  Report report() const override;

 private:
  struct Slot {
    bool open = false;
    std::vector<TokenId> history;  // prompt and output, as the executor saw them
    int32_t prompt_tokens = 0;
    SampleSpec spec;
  };
  struct Pending {
    StepId id = 0;
    StepResult result;
  };
  Slot& slot(SlotId id);
  void apply_slots(const StepBatch& batch);
  void write_rows(const StepBatch& batch);
  uint64_t hash_row(const StepBatch& batch, int32_t row) const;
  SampledToken draw(const StepBatch& batch, int32_t sample_idx, StepResult& result);
  TokenLogprob score(uint64_t hash, TokenId token, int32_t top_k, StepResult& result) const;

  FakeOptions options_;
  std::vector<Slot> slots_;
  std::vector<TokenId> kv_;  // [block_count, block_tokens]; -1: never written
  StepId next_id_ = 0;
  std::deque<Pending> pending_;
};

}  // namespace minimax::executor
