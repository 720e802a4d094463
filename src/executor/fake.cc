#include "executor/fake.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/check.h"

namespace minimax::executor {
namespace {

// splitmix64's finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

bool allowed_by(const std::vector<uint32_t>& masks, int32_t mask_words, int32_t mask_idx, TokenId id) {
  if (mask_idx < 0) return true;
  const auto word =
      static_cast<size_t>(mask_idx) * static_cast<size_t>(mask_words) + static_cast<size_t>(id / 32);
  return (masks[word] >> (id % 32) & 1) != 0;
}

}  // namespace

Limits fake_limits() {
  Limits limits;
  limits.block_tokens = 4;
  limits.block_count = 16;
  limits.slot_count = 8;
  limits.step_rows_max = 16;
  limits.step_sequences_max = 8;
  limits.step_samples_max = 16;
  limits.context_tokens_max = 64;
  limits.pipeline_depth = 1;
  limits.vocab_size = 50;
  limits.mask_words = 2;
  limits.logprobs_max = 5;
  return limits;
}

FakeExecutor::FakeExecutor(const FakeOptions& options)
    : options_(options),
      slots_(static_cast<size_t>(options.limits.slot_count)),
      kv_(static_cast<size_t>(options.limits.block_count) *
          static_cast<size_t>(options.limits.block_tokens)) {
  const std::string violation = find_violation(options.limits);
  if (!violation.empty()) check_failed(__FILE__, __LINE__, "find_violation(limits).empty()", violation);
}

FakeExecutor::Slot& FakeExecutor::slot(SlotId id) {
  return slots_[static_cast<size_t>(id)];
}

void FakeExecutor::apply_slots(const StepBatch& batch) {
  for (const SlotId id : batch.slot_closes) {
    CHECK(slot(id).open);
    slot(id) = Slot{};
  }
  for (const SlotOpen& open : batch.slot_opens) {
    CHECK(!slot(open.slot).open);
    slot(open.slot) = {true, next_family_++, open.tokens, open.prompt_tokens, open.spec};
  }
  for (const SlotFork& fork : batch.slot_forks) {
    CHECK(slot(fork.src).open);
    CHECK(!slot(fork.dst).open);
    slot(fork.dst) = slot(fork.src);
    slot(fork.dst).spec = fork.spec;
  }
}

size_t FakeExecutor::place_of(const StepBatch& batch, const SequenceRows& rows, size_t position) const {
  const auto bt = static_cast<size_t>(options_.limits.block_tokens);
  const size_t entry = static_cast<size_t>(rows.block_begin) + position / bt;
  return static_cast<size_t>(batch.block_table[entry]) * bt + position % bt;
}

void FakeExecutor::write(size_t place, TokenId token, int64_t family) {
  // Steps may overlap on real hardware, and the rows of one step run in any order.
  CHECK_LT(kv_[place].touched, oldest_in_flight());
  kv_[place] = {token, next_id_, family, next_id_};
}

void FakeExecutor::copy_blocks(const StepBatch& batch) {
  const auto bt = static_cast<size_t>(options_.limits.block_tokens);
  for (const BlockCopy& copy : batch.block_copies) {
    for (size_t i = 0; i < bt; ++i) {
      const Place& from = kv_[static_cast<size_t>(copy.src) * bt + i];
      const size_t to = static_cast<size_t>(copy.dst) * bt + i;
      write(to, from.token, from.family);
      // The rows of this step come after the copies, so they may write there.
      kv_[to].touched = -1;
    }
  }
}

void FakeExecutor::write_rows(const StepBatch& batch) {
  const auto bt = static_cast<size_t>(options_.limits.block_tokens);
  for (const SequenceRows& rows : batch.sequences) {
    const Slot& owner = slot(rows.slot);
    CHECK(owner.open);
    const auto first = static_cast<size_t>(rows.first_position);
    const size_t end = first + static_cast<size_t>(rows.row_count);
    for (size_t position = first; position < end; ++position) {
      TokenId token = batch.row_tokens[static_cast<size_t>(rows.row_begin) + position - first];
      CHECK_LT(position, owner.history.size());
      if (token == kLastSampledToken) {
        CHECK_EQ(position + 1, owner.history.size());
        token = owner.history.back();
      }
      // The engine's idea of the sequence and ours must agree.
      CHECK_EQ(token, owner.history[position]);
      write(place_of(batch, rows, position), token, owner.family);
    }
    // What is behind the last row in its block belongs to the block's former content.
    for (size_t position = end; position % bt != 0; ++position)
      kv_[place_of(batch, rows, position)].token = -1;
  }
}

void FakeExecutor::attend(const StepBatch& batch) {
  for (const SequenceRows& rows : batch.sequences) {
    const auto end = static_cast<size_t>(rows.first_position + rows.row_count);
    for (size_t position = 0; position < end; ++position) {
      Place& place = kv_[place_of(batch, rows, position)];
      CHECK_GE(place.token, 0);
      CHECK(place.family == slot(rows.slot).family || place.written < oldest_in_flight());
      place.touched = next_id_;
    }
  }
}

uint64_t FakeExecutor::hash_row(const StepBatch& batch, int32_t row) const {
  for (const SequenceRows& rows : batch.sequences) {
    if (row < rows.row_begin || row >= rows.row_begin + rows.row_count) continue;
    uint64_t hash = 1;
    const auto last = static_cast<size_t>(rows.first_position + row - rows.row_begin);
    for (size_t position = 0; position <= last; ++position) {
      hash = mix(hash ^ static_cast<uint64_t>(kv_[place_of(batch, rows, position)].token));
    }
    return hash;
  }
  CHECK(false);
  return 0;
}

TokenLogprob FakeExecutor::score(uint64_t hash, TokenId token, int32_t top_k, StepResult& result) const {
  TokenLogprob out;
  out.logprob = -static_cast<float>(mix(hash ^ static_cast<uint64_t>(token)) % 1000) / 100.0f;
  out.rank = 1 + token % 7;
  out.top_begin = static_cast<int32_t>(result.top_logprobs.size());
  out.top_count = top_k;
  for (int32_t i = 0; i < top_k; ++i) result.top_logprobs.push_back({i, -static_cast<float>(i)});
  return out;
}

bool FakeExecutor::excluded(const StepBatch& batch, const Sample& sample, TokenId id) {
  const Slot& owner = slot(sample.slot);
  const SampleSpec& spec = owner.spec;
  if (sample.output_position < spec.min_tokens && std::ranges::find(spec.stop_ids, id) != spec.stop_ids.end())
    return true;
  if (!spec.allowed_ids.empty() && std::ranges::find(spec.allowed_ids, id) == spec.allowed_ids.end())
    return true;
  for (const std::vector<TokenId>& word : spec.bad_words) {
    const size_t before = word.size() - 1;
    if (word.back() == id && owner.history.size() >= before &&
        std::equal(word.begin(), word.end() - 1, owner.history.end() - static_cast<ptrdiff_t>(before)))
      return true;
  }
  for (const LogitBias& bias : spec.logit_bias) {
    if (bias.token == id && bias.bias <= -100) return true;
  }
  return !allowed_by(batch.masks, options_.limits.mask_words, sample.mask_idx, id);
}

SampledToken FakeExecutor::draw(const StepBatch& batch, int32_t sample_idx, StepResult& result) {
  const Sample& sample = batch.samples[static_cast<size_t>(sample_idx)];
  Slot& owner = slot(sample.slot);
  CHECK(owner.open);
  CHECK_EQ(sample.output_position, std::ssize(owner.history) - owner.prompt_tokens);
  const SampleSpec& spec = owner.spec;
  const uint64_t row_hash = hash_row(batch, sample.row);
  SampledToken out;
  out.sample = sample_idx;
  out.token = -1;
  if (options_.not_finite_every != 0 && mix(row_hash) % options_.not_finite_every == 0) {
    out.outcome = SampleOutcome::kNotFinite;
    return out;
  }
  const bool greedy = spec.temperature < kGreedyTemperature;
  const uint64_t draw_key = greedy ? 0
                                   : mix(spec.seed ^ mix(static_cast<uint64_t>(spec.sample_idx) << 32 ^
                                                         static_cast<uint64_t>(sample.output_position)));
  TokenId best = -1;
  uint64_t best_value = 0;
  for (TokenId id = 0; id < options_.limits.vocab_size; ++id) {
    if (excluded(batch, sample, id)) continue;
    uint64_t value = mix(row_hash ^ draw_key ^ static_cast<uint64_t>(id) << 20) >> 1;
    for (const LogitBias& bias : spec.logit_bias) {
      if (bias.token == id && bias.bias >= 100) value |= uint64_t{1} << 63;
    }
    if (best < 0 || value > best_value) {
      best = id;
      best_value = value;
    }
  }
  if (best < 0) {
    out.outcome = SampleOutcome::kNotFinite;
    return out;
  }
  out.token = best;
  if (std::ranges::find(spec.stop_ids, best) != spec.stop_ids.end()) out.outcome = SampleOutcome::kStop;
  if (spec.logprobs >= 0) out.logprob = score(row_hash, best, spec.logprobs, result);
  return out;
}

StepId FakeExecutor::submit(const StepBatch& batch) {
  const std::string violation = find_violation(batch, options_.limits);
  if (!violation.empty()) check_failed(__FILE__, __LINE__, "find_violation(batch).empty()", violation);
  CHECK_LT(std::ssize(pending_), options_.limits.pipeline_depth);
  apply_slots(batch);
  copy_blocks(batch);
  write_rows(batch);
  attend(batch);
  Pending step;
  step.id = next_id_++;
  for (int32_t i = 0; i < std::ssize(batch.samples); ++i) {
    const SampledToken drawn = draw(batch, i, step.result);
    // Siblings draw from one row: each appends to a history of its own, after all were drawn.
    step.result.tokens.push_back(drawn);
  }
  for (const SampledToken& drawn : step.result.tokens) {
    // A step already submitted may hold the row after this one: it is computed in vain, from token 0.
    slot(batch.samples[static_cast<size_t>(drawn.sample)].slot).history.push_back(std::max(drawn.token, 0));
  }
  for (const PromptScore& wanted : batch.prompt_scores) {
    const TokenLogprob scored = score(hash_row(batch, wanted.row), wanted.token, wanted.top_k, step.result);
    step.result.prompt_logprobs.push_back(scored);
  }
  pending_.push_back(std::move(step));
  return pending_.back().id;
}

void FakeExecutor::collect(StepId step, StepResult& result) {
  CHECK(!pending_.empty());
  CHECK_EQ(pending_.front().id, step);
  if (options_.step_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(options_.step_us));
  result = std::move(pending_.front().result);
  result.duration_us = options_.step_us;
  pending_.pop_front();
}

Report FakeExecutor::report() const {
  return {{"back-end", "fake"}};
}

}  // namespace minimax::executor
