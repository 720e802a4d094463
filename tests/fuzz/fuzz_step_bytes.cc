// The step that one host sends another: refused with an Error, or read as a step that is written as the same
// bytes again, and whose every number find_violation() judges without a slip, for the reader relies on that.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "executor/step.h"
#include "executor/step_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  const auto bytes = std::as_bytes(std::span(data, size));
  std::vector<executor::TokenId> drawn;
  executor::StepBatch batch;
  try {
    executor::from_bytes(bytes, drawn, batch);
  } catch (const Error&) {
    return 0;
  }
  std::vector<std::byte> again;
  executor::to_bytes(drawn, batch, again);
  CHECK(std::ranges::equal(again, bytes));
  const executor::Limits limits{.block_tokens = 16,
                                .block_count = 64,
                                .slot_count = 64,
                                .step_rows_max = 256,
                                .step_sequences_max = 64,
                                .step_samples_max = 64,
                                .context_tokens_max = 1024,
                                .vocab_size = 64,
                                .mask_words = 2,
                                .logprobs_max = 20};
  if (!executor::find_violation(batch, limits).empty()) return 0;
  // What a back-end indexes with, once more and by other means.
  CHECK_LE(batch.row_tokens.size(), size_t{256});
  for (const executor::SequenceRows& rows : batch.sequences) {
    CHECK(rows.row_begin >= 0 && rows.row_count > 0 && rows.first_position >= 0);
    CHECK_LE(int64_t{rows.row_begin} + rows.row_count, std::ssize(batch.row_tokens));
    CHECK_LE(int64_t{rows.block_begin} + rows.block_count, std::ssize(batch.block_table));
    CHECK_LE(int64_t{rows.first_position} + rows.row_count, int64_t{rows.block_count} * limits.block_tokens);
  }
  for (const executor::BlockId block : batch.block_table) CHECK(block >= 0 && block < limits.block_count);
  for (const executor::TokenId token : batch.row_tokens)
    CHECK(token >= executor::kLastSampledToken && token < limits.vocab_size);
  for (const executor::Sample& sample : batch.samples) {
    CHECK(sample.row >= 0 && sample.row < std::ssize(batch.row_tokens));
    CHECK(sample.slot >= 0 && sample.slot < limits.slot_count);
    CHECK_LE(int64_t{sample.mask_idx + 1} * limits.mask_words, std::ssize(batch.masks));
  }
  return 0;
}
