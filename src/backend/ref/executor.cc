#include "backend/ref/executor.h"

#include <algorithm>

#include "backend/ref/sample.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

namespace minimax::backend::ref {

using executor::Limits;
using executor::StepBatch;
using executor::TokenId;

static Limits make_limits(const RefOptions& options, const model::ModelShape& shape) {
  const auto at_least_one = [](const char* name, int32_t value) {
    if (value < 1) throw Error("ref back-end: {}: expected at least 1, found {}", name, value);
  };
  at_least_one("block_tokens", options.block_tokens);
  at_least_one("block_count", options.block_count);
  at_least_one("slot_count", options.slot_count);
  at_least_one("step_rows_max", options.step_rows_max);
  at_least_one("step_sequences_max", options.step_sequences_max);
  at_least_one("context_tokens_max", options.context_tokens_max);
  at_least_one("vocab_size", options.vocab_size);
  if (options.vocab_size > shape.vocab_rows)
    throw Error("ref back-end: vocab_size: expected at most the model's {} rows, found {}", shape.vocab_rows,
                options.vocab_size);
  Limits limits;
  limits.block_tokens = options.block_tokens;
  limits.block_count = options.block_count;
  limits.slot_count = options.slot_count;
  limits.step_rows_max = options.step_rows_max;
  limits.step_sequences_max = options.step_sequences_max;
  // Each row can be scored and drawn from, and a prompt's last row by several slots.
  limits.step_samples_max = options.step_rows_max + options.slot_count;
  limits.context_tokens_max = options.context_tokens_max;
  limits.pipeline_depth = 1;
  limits.vocab_size = options.vocab_size;
  limits.mask_words = (options.vocab_size + 31) / 32;
  limits.logprobs_max =
      options.logprobs_max < 0 ? options.vocab_size : std::min(options.logprobs_max, options.vocab_size);
  return limits;
}

RefExecutor::RefExecutor(const model::ModelView& model, const RefOptions& options, model::TapSink* sink)
    : model_(model),
      arithmetic_(options.arithmetic),
      kv_dtype_(options.kv_dtype),
      limits_(make_limits(options, model.shape)),
      forward_(model, options.arithmetic, sink),
      kv_(model.shape, options.block_tokens, options.block_count, options.kv_dtype),
      slots_(options.slot_count, options.vocab_size) {}

executor::StepId RefExecutor::submit(const StepBatch& batch) {
  const std::string violation = executor::find_violation(batch, limits_);
  if (!violation.empty()) check_failed(__FILE__, __LINE__, "find_violation(batch).empty()", violation);
  CHECK(!in_flight_);
  const int64_t start_us = now_us();
  result_.clear();
  slots_.apply(batch);
  for (const executor::BlockCopy& copy : batch.block_copies) kv_.copy_block(copy.src, copy.dst);
  const RowLogits logits = run_forward(batch);
  score_prompt(batch, logits);
  draw(batch, logits);
  result_.duration_us = now_us() - start_us;
  in_flight_ = true;
  return next_step_++;
}

void RefExecutor::collect(executor::StepId step, executor::StepResult& result) {
  CHECK(in_flight_);
  CHECK_EQ(step, next_step_ - 1);
  result = result_;
  in_flight_ = false;
}

RefExecutor::RowLogits RefExecutor::run_forward(const StepBatch& batch) {
  RowLogits out;
  std::vector<TokenId> ids = batch.row_tokens;
  if (ids.empty()) return out;
  std::vector<RowPlace> places(ids.size());
  for (const executor::SequenceRows& sequence : batch.sequences) {
    const auto table =
        std::span(batch.block_table)
            .subspan(static_cast<size_t>(sequence.block_begin), static_cast<size_t>(sequence.block_count));
    for (int32_t i = 0; i < sequence.row_count; ++i) {
      const size_t row = static_cast<size_t>(sequence.row_begin) + static_cast<size_t>(i);
      places[row] = {sequence.first_position + i, table};
      if (ids[row] == executor::kLastSampledToken) ids[row] = slots_.last_token(sequence.slot);
    }
  }
  const std::vector<float> h = forward_.run(ids, places, kv_);

  for (const executor::Sample& sample : batch.samples) out.rows.push_back(sample.row);
  for (const executor::PromptScore& score : batch.prompt_scores) out.rows.push_back(score.row);
  std::sort(out.rows.begin(), out.rows.end());
  out.rows.erase(std::unique(out.rows.begin(), out.rows.end()), out.rows.end());
  std::vector<float> wanted;
  const auto hidden = static_cast<size_t>(model_.shape.hidden);
  for (const int32_t row : out.rows) {
    const auto from = h.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(row) * hidden);
    wanted.insert(wanted.end(), from, from + static_cast<ptrdiff_t>(hidden));
  }
  if (!wanted.empty()) out.logits = forward_.head(wanted);
  return out;
}

std::span<const float> RefExecutor::logits_of(const RowLogits& all, int32_t row) const {
  const auto found = std::lower_bound(all.rows.begin(), all.rows.end(), row);
  CHECK(found != all.rows.end() && *found == row);
  const auto idx = static_cast<size_t>(found - all.rows.begin());
  return std::span(all.logits)
      .subspan(idx * static_cast<size_t>(model_.shape.vocab_rows), static_cast<size_t>(limits_.vocab_size));
}

void RefExecutor::draw(const StepBatch& batch, const RowLogits& all) {
  const auto mask_words = static_cast<size_t>(limits_.mask_words);
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    const executor::Sample& sample = batch.samples[i];
    const common::SlotState& slot = slots_.at(sample.slot);
    CHECK_EQ(sample.output_position, slot.output_tokens());
    const std::span<const float> logits = logits_of(all, sample.row);
    std::span<const uint32_t> mask;
    if (sample.mask_idx >= 0)
      mask = std::span(batch.masks).subspan(static_cast<size_t>(sample.mask_idx) * mask_words, mask_words);
    const Draw drawn = draw_token(logits, {.spec = slot.spec,
                                           .history = slot.tokens,
                                           .prompt_tokens = slot.prompt_tokens,
                                           .output_position = sample.output_position,
                                           .mask = mask});
    executor::SampledToken token;
    token.sample = static_cast<int32_t>(i);
    token.token = drawn.token;
    token.outcome = drawn.outcome;
    if (drawn.outcome != executor::SampleOutcome::kNotFinite) {
      if (slot.spec.logprobs >= 0)
        token.logprob = score_token(logits, drawn.token, slot.spec.logprobs, result_.top_logprobs);
      slots_.append(sample.slot, drawn.token);
    }
    result_.tokens.push_back(token);
  }
}

void RefExecutor::score_prompt(const StepBatch& batch, const RowLogits& all) {
  for (const executor::PromptScore& score : batch.prompt_scores)
    result_.prompt_logprobs.push_back(
        score_token(logits_of(all, score.row), score.token, score.top_k, result_.top_logprobs));
}

executor::Report RefExecutor::report() const {
  const int64_t block_bytes = KvCache::bytes_of_block(model_.shape, limits_.block_tokens, kv_dtype_);
  return {
      {"back-end", "ref"},
      {"arithmetic", std::string(common::name_of(arithmetic_))},
      {"KV blocks", fmt::format("{} of {} tokens in {}, {} bytes", limits_.block_count, limits_.block_tokens,
                                model::name_of(kv_dtype_), block_bytes * limits_.block_count)}};
}

}  // namespace minimax::backend::ref
