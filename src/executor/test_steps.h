#pragma once
// What the tests of groups share: executors that agree, and the steps of one sequence.

#include <memory>

#include "executor/fake.h"

namespace minimax::executor {

inline std::unique_ptr<Executor> fake(uint64_t not_finite_every = 0) {
  return std::make_unique<FakeExecutor>(
      FakeOptions{.limits = fake_limits(), .not_finite_every = not_finite_every});
}

inline StepBatch first_step() {
  StepBatch batch;
  SlotOpen& open = batch.slot_opens.emplace_back();
  open.tokens = {1, 2, 3};
  open.prompt_tokens = 3;
  batch.row_tokens = open.tokens;
  batch.block_table = {5};
  batch.sequences.push_back({.slot = 0, .row_begin = 0, .row_count = 3, .block_begin = 0, .block_count = 1});
  batch.samples.push_back({.row = 2, .slot = 0, .output_position = 0});
  return batch;
}

// The step after `step` others; it needs the token of the executor's own last draw.
inline StepBatch next_step(int32_t step) {
  StepBatch batch;
  batch.row_tokens = {kLastSampledToken};
  batch.block_table = {5, 6, 7, 8, 9, 10};
  batch.sequences.push_back({.slot = 0,
                             .row_begin = 0,
                             .row_count = 1,
                             .first_position = 2 + step,
                             .block_begin = 0,
                             .block_count = 6});
  batch.samples.push_back({.row = 0, .slot = 0, .output_position = step});
  return batch;
}

}  // namespace minimax::executor
