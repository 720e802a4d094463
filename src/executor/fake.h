#pragma once
// A toy model behind the Executor contract, for tests of everything above it: deterministic, no floating
// point.
//
// Its "KV cache" holds the token written at each position of each block. The next token of a row is a hash of
// all tokens at positions 0..its own, read back through the block table: a wrong table, a missing copy, a
// stale block or a wrong position changes the tokens. What only an engine with a bug can do is a CHECK
// failure: a row that attends to a position never written since its block got new content, a token that is
// not the sequence's own history, a write to a position that this step or one in flight touches, a row that
// attends to what another sequence (not its fork) writes in a step not yet collected.
//
// Sampling honours seed, sample_idx, output_position, stop_ids, min_tokens, allowed_ids, bad_words, masks and
// logit_bias (a bias of 100 forces the token, -100 excludes it); penalties and cut-offs are ignored.
// Logprobs are made up from the hash. Steps run in submit(); their tokens are told in collect().

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
    int64_t family = 0;            // shared by forks
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
  void copy_blocks(const StepBatch& batch);
  void write_rows(const StepBatch& batch);
  void attend(const StepBatch& batch);
  void write(size_t place, TokenId token, int64_t family);
  StepId oldest_in_flight() const { return pending_.empty() ? next_id_ : pending_.front().id; }
  // Where position `position` of the sequence lies in kv_.
  size_t place_of(const StepBatch& batch, const SequenceRows& rows, size_t position) const;
  uint64_t hash_row(const StepBatch& batch, int32_t row) const;
  bool excluded(const StepBatch& batch, const Sample& sample, TokenId id);
  SampledToken draw(const StepBatch& batch, int32_t sample_idx, StepResult& result);
  TokenLogprob score(uint64_t hash, TokenId token, int32_t top_k, StepResult& result) const;

  FakeOptions options_;
  std::vector<Slot> slots_;
  struct Place {
    TokenId token = -1;   // -1: never written
    StepId written = -1;  // by which step, and whose
    int64_t family = -1;
    StepId touched = -1;  // the last step that read or wrote it
  };
  std::vector<Place> kv_;  // [block_count, block_tokens]
  int64_t next_family_ = 0;
  StepId next_id_ = 0;
  std::deque<Pending> pending_;
};

}  // namespace minimax::executor
