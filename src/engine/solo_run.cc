#include "engine/solo_run.h"

#include <utility>

#include "base/check.h"
#include "engine/scheduler.h"

namespace minimax::engine {
namespace {

using executor::StepBatch;
using executor::StepResult;

// Rows [first, end of tokens) in blocks 0, 1, 2, ...
void fill_rows(const std::vector<TokenId>& tokens, size_t first, int32_t block_tokens, StepBatch& batch) {
  batch.row_tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end());
  const auto bt = static_cast<size_t>(block_tokens);
  for (size_t block = 0; block * bt < tokens.size(); ++block)
    batch.block_table.push_back(static_cast<int32_t>(block));
  batch.sequences.push_back({.slot = 0,
                             .row_begin = 0,
                             .row_count = static_cast<int32_t>(batch.row_tokens.size()),
                             .first_position = static_cast<int32_t>(first),
                             .block_begin = 0,
                             .block_count = static_cast<int32_t>(batch.block_table.size())});
}

void add_scores(const Request& request, StepBatch& batch) {
  for (size_t row = 0; row + 1 < request.prompt.size(); ++row) {
    batch.prompt_scores.push_back({.row = static_cast<int32_t>(row),
                                   .token = request.prompt[row + 1],
                                   .top_k = request.prompt_logprobs});
  }
}

// The bits of what may come, as the batch's only mask; -1: anything.
int32_t add_mask(Guide* guide, int32_t words, StepBatch& batch) {
  if (guide == nullptr) return -1;
  batch.masks.assign(static_cast<size_t>(words), 0);
  if (guide->fill(batch.masks)) return 0;
  batch.masks.clear();
  return -1;
}

TokenEvent to_event(const Request& request, Guide* guide, const StepResult& result, size_t total,
                    size_t context_max) {
  const executor::SampledToken& sampled = result.tokens.front();
  TokenEvent event;
  if (sampled.outcome == executor::SampleOutcome::kNotFinite) {
    event.finish = FinishReason::kError;
    return event;
  }
  event.has_token = true;
  event.token = sampled.token;
  event.has_logprobs = request.spec.logprobs >= 0;
  if (event.has_logprobs) event.logprobs = to_logprobs(sampled.logprob, result);
  if (sampled.outcome == executor::SampleOutcome::kStop) {
    event.finish = FinishReason::kStop;
    event.stop_token = sampled.token;
  } else if (guide != nullptr && !guide->accept(sampled.token)) {
    event.finish = FinishReason::kStop;
  } else if (total - request.prompt.size() >= static_cast<size_t>(request.max_tokens) ||
             total >= context_max) {
    event.finish = FinishReason::kLength;
  }
  return event;
}

}  // namespace

SoloAnswer run_solo(executor::Executor& executor, const Request& request, int32_t sample_idx,
                    int32_t context_tokens_max) {
  SoloAnswer answer;
  StepBatch batch;
  StepResult result;
  executor::SampleSpec spec = request.spec;
  spec.sample_idx = sample_idx;
  batch.slot_opens.push_back(
      {0, request.prompt, static_cast<int32_t>(request.prompt.size()), std::move(spec)});
  if (request.prompt_logprobs >= 0) add_scores(request, batch);
  std::vector<TokenId> tokens = request.prompt;
  size_t computed = 0;
  const std::unique_ptr<Guide> guide = request.guide == nullptr ? nullptr : request.guide->start();
  while (true) {
    fill_rows(tokens, computed, executor.limits().block_tokens, batch);
    batch.samples.push_back({.row = static_cast<int32_t>(batch.row_tokens.size()) - 1,
                             .slot = 0,
                             .output_position = static_cast<int32_t>(tokens.size() - request.prompt.size()),
                             .mask_idx = add_mask(guide.get(), executor.limits().mask_words, batch)});
    executor.collect(executor.submit(batch), result);
    CHECK_EQ(result.tokens.size(), size_t{1});
    for (const executor::TokenLogprob& score : result.prompt_logprobs)
      answer.prompt_logprobs.push_back(to_logprobs(score, result));
    computed = tokens.size();
    answer.events.push_back(
        to_event(request, guide.get(), result, tokens.size() + 1, static_cast<size_t>(context_tokens_max)));
    answer.events.back().sample_idx = sample_idx;
    batch.clear();
    if (answer.events.back().finish != FinishReason::kNone) break;
    tokens.push_back(answer.events.back().token);
  }
  batch.slot_closes.push_back(0);
  executor.collect(executor.submit(batch), result);
  return answer;
}

}  // namespace minimax::engine
