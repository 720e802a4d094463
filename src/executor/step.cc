#include "executor/step.h"

#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace minimax::executor {

void StepBatch::clear() {
  slot_closes.clear();
  slot_opens.clear();
  slot_forks.clear();
  block_copies.clear();
  sequences.clear();
  row_tokens.clear();
  block_table.clear();
  samples.clear();
  prompt_scores.clear();
  masks.clear();
}

void StepResult::clear() {
  tokens.clear();
  prompt_logprobs.clear();
  top_logprobs.clear();
  duration_us = 0;
}

namespace {

// The first violation found is kept.
class Finder {
 public:
  explicit Finder(const Limits& limits) : limits_(limits) {}

  template <typename... Args>
  void require(bool holds, fmt::format_string<Args...> format, Args&&... args) {
    if (!holds && found_.empty()) found_ = fmt::format(format, std::forward<Args>(args)...);
  }
  bool slot(SlotId id) const { return id >= 0 && id < limits_.slot_count; }
  bool block(BlockId id) const { return id >= 0 && id < limits_.block_count; }
  bool token(TokenId id) const { return id >= 0 && id < limits_.vocab_size; }

  void spec(const SampleSpec& spec) {
    require(spec.temperature >= 0 && std::isfinite(spec.temperature),
            "temperature {} is not a finite number from 0 on", spec.temperature);
    require(spec.top_p > 0 && spec.top_p <= 1, "top_p {} is outside (0, 1]", spec.top_p);
    require(spec.min_p >= 0 && spec.min_p <= 1, "min_p {} is outside [0, 1]", spec.min_p);
    require(spec.top_k >= 0, "top_k {} is below 0", spec.top_k);
    require(spec.repetition_penalty > 0 && std::isfinite(spec.repetition_penalty),
            "repetition_penalty {} is not a finite number above 0", spec.repetition_penalty);
    require(std::isfinite(spec.frequency_penalty), "frequency_penalty {} is not finite",
            spec.frequency_penalty);
    require(std::isfinite(spec.presence_penalty), "presence_penalty {} is not finite", spec.presence_penalty);
    require(spec.sample_idx >= 0, "sample_idx {} is below 0", spec.sample_idx);
    require(spec.min_tokens >= 0, "min_tokens {} is below 0", spec.min_tokens);
    require(spec.logprobs >= -1 && spec.logprobs <= limits_.logprobs_max, "logprobs {} is outside [-1, {}]",
            spec.logprobs, limits_.logprobs_max);
    require(std::ssize(spec.stop_ids) <= limits_.stop_ids_max, "{} stop ids, more than {}",
            spec.stop_ids.size(), limits_.stop_ids_max);
    require(std::ssize(spec.logit_bias) <= limits_.logit_bias_max, "{} logit biases, more than {}",
            spec.logit_bias.size(), limits_.logit_bias_max);
    require(std::ssize(spec.allowed_ids) <= limits_.allowed_ids_max, "{} allowed ids, more than {}",
            spec.allowed_ids.size(), limits_.allowed_ids_max);
    int64_t bad_word_tokens = 0;
    for (const auto& word : spec.bad_words) {
      require(!word.empty(), "a bad word is empty");
      bad_word_tokens += std::ssize(word);
      for (const TokenId id : word) require(token(id), "bad word token {} is outside the vocabulary", id);
    }
    require(bad_word_tokens <= limits_.bad_word_tokens_max, "{} tokens of bad words, more than {}",
            bad_word_tokens, limits_.bad_word_tokens_max);
    for (const TokenId id : spec.stop_ids) require(token(id), "stop id {} is outside the vocabulary", id);
    for (const TokenId id : spec.allowed_ids)
      require(token(id), "allowed id {} is outside the vocabulary", id);
    for (const LogitBias& bias : spec.logit_bias) {
      require(std::isfinite(bias.bias), "the logit bias {} of token {} is not finite", bias.bias, bias.token);
      require(token(bias.token), "logit bias token {} is outside the vocabulary", bias.token);
    }
  }

  std::string& found() { return found_; }

 private:
  const Limits& limits_;
  std::string found_;
};

// What a step does to each slot.
struct SlotUse {
  bool closed = false, begun = false;  // begun: opened or forked to
  bool has_rows = false, draws = false;
};
using SlotUses = std::vector<SlotUse>;

// REQUIRES: the id was found valid; otherwise something is found already, and any use will do.
SlotUse& use_of(SlotUses& uses, SlotId id) {
  return uses[id >= 0 && id < std::ssize(uses) ? static_cast<size_t>(id) : uses.size() - 1];
}

void check_slots(const StepBatch& batch, const Limits& limits, SlotUses& uses, Finder& find) {
  for (const SlotId id : batch.slot_closes) {
    find.require(find.slot(id), "closes slot {}, which does not exist", id);
    SlotUse& use = use_of(uses, id);
    find.require(!use.closed, "closes slot {} twice", id);
    use.closed = true;
  }
  for (const SlotOpen& open : batch.slot_opens) {
    find.require(find.slot(open.slot), "opens slot {}, which does not exist", open.slot);
    find.require(!use_of(uses, open.slot).begun, "opens slot {} twice", open.slot);
    use_of(uses, open.slot).begun = true;
    find.require(open.prompt_tokens >= 1 && open.prompt_tokens <= std::ssize(open.tokens),
                 "slot {} opens with {} prompt tokens of {}", open.slot, open.prompt_tokens,
                 open.tokens.size());
    find.require(std::ssize(open.tokens) <= limits.context_tokens_max,
                 "slot {} opens with {} tokens, more than the context of {}", open.slot, open.tokens.size(),
                 limits.context_tokens_max);
    for (const TokenId id : open.tokens)
      find.require(find.token(id), "token {} is outside the vocabulary", id);
    find.spec(open.spec);
  }
  for (const SlotFork& fork : batch.slot_forks) {
    find.require(find.slot(fork.src) && find.slot(fork.dst) && fork.src != fork.dst, "forks slot {} to {}",
                 fork.src, fork.dst);
    find.require(!use_of(uses, fork.dst).begun, "forks to slot {}, which begins twice", fork.dst);
    use_of(uses, fork.dst).begun = true;
    find.spec(fork.spec);
  }
  // A slot is alive in this step unless it was closed and not begun again. Whether it was open before only
  // the executor knows.
}

bool dead(const SlotUse& use) {
  return use.closed && !use.begun;
}

void check_copies(const StepBatch& batch, const Limits& limits, Finder& find) {
  for (const BlockCopy& copy : batch.block_copies) {
    find.require(find.block(copy.src) && find.block(copy.dst) && copy.src != copy.dst,
                 "copies block {} to {}", copy.src, copy.dst);
  }
  if (batch.block_copies.empty() || !find.found().empty()) return;
  std::vector<bool> target(static_cast<size_t>(limits.block_count), false);
  for (const BlockCopy& copy : batch.block_copies) {
    find.require(!target[static_cast<size_t>(copy.dst)], "copies to block {} twice", copy.dst);
    target[static_cast<size_t>(copy.dst)] = true;
  }
  for (const BlockCopy& copy : batch.block_copies) {
    find.require(!target[static_cast<size_t>(copy.src)], "copies block {}, which is itself a target",
                 copy.src);
  }
}

// A block written by two sequences would hold what the last of them wrote.
void check_writers(const StepBatch& batch, const Limits& limits, Finder& find) {
  if (!find.found().empty()) return;  // the tables may lead anywhere
  std::vector<bool> written(static_cast<size_t>(limits.block_count), false);
  for (const SequenceRows& rows : batch.sequences) {
    const int32_t last = (rows.first_position + rows.row_count - 1) / limits.block_tokens;
    for (int32_t i = rows.first_position / limits.block_tokens; i <= last; ++i) {
      const BlockId block = batch.block_table[static_cast<size_t>(rows.block_begin + i)];
      find.require(!written[static_cast<size_t>(block)],
                   "block {} is written twice, the second time by slot {}", block, rows.slot);
      written[static_cast<size_t>(block)] = true;
    }
  }
}

void check_sequences(const StepBatch& batch, const Limits& limits, SlotUses& uses, Finder& find) {
  find.require(std::ssize(batch.row_tokens) <= limits.step_rows_max, "{} rows, more than {}",
               batch.row_tokens.size(), limits.step_rows_max);
  find.require(std::ssize(batch.sequences) <= limits.step_sequences_max, "{} sequences, more than {}",
               batch.sequences.size(), limits.step_sequences_max);
  int64_t row = 0;
  for (const SequenceRows& sequence : batch.sequences) {
    find.require(find.slot(sequence.slot), "rows of slot {}, which does not exist", sequence.slot);
    SlotUse& use = use_of(uses, sequence.slot);
    find.require(!use.has_rows, "slot {} has two sequences of rows", sequence.slot);
    find.require(!dead(use), "rows of slot {}, which this step closes", sequence.slot);
    use.has_rows = true;
    find.require(sequence.row_begin == row && sequence.row_count >= 1,
                 "rows [{}, +{}) of slot {} do not follow row {}", sequence.row_begin, sequence.row_count,
                 sequence.slot, row);
    row += sequence.row_count;
    const int64_t end = int64_t{sequence.first_position} + sequence.row_count;
    find.require(sequence.first_position >= 0 && end <= limits.context_tokens_max,
                 "positions [{}, {}) of slot {} leave the context of {}", sequence.first_position, end,
                 sequence.slot, limits.context_tokens_max);
    find.require(sequence.block_begin >= 0 && sequence.block_count >= 0 &&
                     int64_t{sequence.block_begin} + sequence.block_count <= std::ssize(batch.block_table),
                 "block table [{}, +{}) of slot {} leaves the table of {}", sequence.block_begin,
                 sequence.block_count, sequence.slot, batch.block_table.size());
    find.require(int64_t{sequence.block_count} * limits.block_tokens >= end,
                 "{} blocks of {} do not cover {} positions of slot {}", sequence.block_count,
                 limits.block_tokens, end, sequence.slot);
  }
  find.require(row == std::ssize(batch.row_tokens), "sequences have {} rows, but there are {}", row,
               batch.row_tokens.size());
  if (!find.found().empty()) return;
  for (const SequenceRows& sequence : batch.sequences) {
    const int32_t last = sequence.row_begin + sequence.row_count - 1;
    for (int32_t i = sequence.row_begin; i <= last; ++i) {
      const TokenId id = batch.row_tokens[static_cast<size_t>(i)];
      find.require(id == kLastSampledToken || find.token(id), "row token {} is outside the vocabulary", id);
      find.require(id != kLastSampledToken || i == last,
                   "row {} of slot {} is the last sampled token, but other rows follow", i, sequence.slot);
    }
  }
  for (const BlockId id : batch.block_table) find.require(find.block(id), "block {} does not exist", id);
}

void check_samples(const StepBatch& batch, const Limits& limits, SlotUses& uses, Finder& find) {
  const auto rows = std::ssize(batch.row_tokens);
  find.require(std::ssize(batch.samples) + std::ssize(batch.prompt_scores) <= limits.step_samples_max,
               "{} samples and {} prompt scores, more than {}", batch.samples.size(),
               batch.prompt_scores.size(), limits.step_samples_max);
  find.require(limits.mask_words > 0 ? batch.masks.size() % static_cast<size_t>(limits.mask_words) == 0
                                     : batch.masks.empty(),
               "{} mask words are no multiple of {}", batch.masks.size(), limits.mask_words);
  const int64_t masks = limits.mask_words > 0 ? std::ssize(batch.masks) / limits.mask_words : 0;
  for (const Sample& sample : batch.samples) {
    find.require(sample.row >= 0 && sample.row < rows, "samples row {} of {}", sample.row, rows);
    find.require(find.slot(sample.slot), "samples for slot {}, which does not exist", sample.slot);
    SlotUse& use = use_of(uses, sample.slot);
    find.require(!use.draws, "samples twice for slot {}", sample.slot);
    find.require(!dead(use), "samples for slot {}, which this step closes", sample.slot);
    use.draws = true;
    find.require(sample.output_position >= 0, "samples at output position {}", sample.output_position);
    find.require(sample.mask_idx >= -1 && sample.mask_idx < masks, "mask {} of {}", sample.mask_idx, masks);
  }
  for (const PromptScore& score : batch.prompt_scores) {
    find.require(score.row >= 0 && score.row < rows, "scores row {} of {}", score.row, rows);
    find.require(find.token(score.token), "scored token {} is outside the vocabulary", score.token);
    find.require(score.top_k >= 0 && score.top_k <= limits.logprobs_max,
                 "prompt score top_k {} is outside [0, {}]", score.top_k, limits.logprobs_max);
  }
}

}  // namespace

std::string find_violation(const StepBatch& batch, const Limits& limits) {
  Finder find(limits);
  SlotUses uses(static_cast<size_t>(limits.slot_count) + 1);  // the last: of ids that do not exist
  check_slots(batch, limits, uses, find);
  check_copies(batch, limits, find);
  check_sequences(batch, limits, uses, find);
  check_writers(batch, limits, find);
  check_samples(batch, limits, uses, find);
  return find.found();
}

std::string find_violation(const Limits& limits) {
  Finder find(limits);
  const auto positive = [&](int32_t value, std::string_view name) {
    find.require(value > 0, "{} is {}, but must be above 0", name, value);
  };
  positive(limits.block_tokens, "block_tokens");
  positive(limits.block_count, "block_count");
  positive(limits.slot_count, "slot_count");
  positive(limits.step_rows_max, "step_rows_max");
  positive(limits.step_sequences_max, "step_sequences_max");
  positive(limits.step_samples_max, "step_samples_max");
  positive(limits.pipeline_depth, "pipeline_depth");
  positive(limits.vocab_size, "vocab_size");
  find.require(limits.context_tokens_max >= 2,
               "context_tokens_max is {}, but a prompt and its answer have at least 2 tokens",
               limits.context_tokens_max);
  find.require(int64_t{limits.mask_words} * 32 >= limits.vocab_size &&
                   (int64_t{limits.mask_words} - 1) * 32 < limits.vocab_size,
               "mask_words is {}, but a vocabulary of {} takes {}", limits.mask_words, limits.vocab_size,
               (int64_t{limits.vocab_size} + 31) / 32);
  find.require(limits.logprobs_max >= 0 && limits.logprobs_max <= limits.vocab_size,
               "logprobs_max {} is outside [0, {}]", limits.logprobs_max, limits.vocab_size);
  return find.found();
}

}  // namespace minimax::executor
