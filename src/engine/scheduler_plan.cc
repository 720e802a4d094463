// The planning half of Scheduler: what makes the next step.

#include <algorithm>

#include "base/check.h"
#include "engine/scheduler.h"

namespace minimax::engine {

using executor::BlockId;
using executor::StepBatch;

namespace {

int32_t ceil_div(int64_t a, int64_t b) {
  return static_cast<int32_t>((a + b - 1) / b);
}

}  // namespace

bool Scheduler::plan(StepBatch& batch, int64_t now_us) {
  CHECK_LT(steps_in_flight(), limits_.pipeline_depth);
  batch.clear();
  planned_ = InFlight{};
  ++plan_number_;
  const int64_t preemptions_before = stats_.preemptions;
  // A snapshot: planning preempts and forks, which changes running_.
  const std::vector<Sequence*> order(running_.begin(), running_.end());
  for (Sequence* sequence : order) {
    if (sequence->state == SequenceState::kRunning && wants_row(*sequence) &&
        sequence->scheduled >= std::ssize(sequence->request->request.prompt)) {
      plan_decode(*sequence, batch);
    }
  }
  for (Sequence* sequence : order) {
    if (sequence->state == SequenceState::kRunning && wants_row(*sequence) && !in_plan(*sequence) &&
        sequence->scheduled < std::ssize(sequence->request->request.prompt)) {
      plan_prefill(*sequence, batch);
    }
  }
  // Blocks that a preemption has just freed are for those who run.
  if (stats_.preemptions == preemptions_before) admit(batch, now_us);
  if (batch.sequences.empty()) {
    CHECK(planned_.releases.empty());
    // Alone, whoever is first in order finds room: something is always planned or in flight.
    CHECK(steps_in_flight() > 0 || stats_.preemptions != preemptions_before ||
          (running_.empty() && waiting_.empty()));
    return steps_in_flight() == 0 && stats_.preemptions != preemptions_before ? plan(batch, now_us) : false;
  }
  batch.slot_closes = std::exchange(slots_to_close_, {});
  return true;
}

void Scheduler::submitted(executor::StepId step) {
  planned_.id = step;
  in_flight_.push_back(std::move(planned_));
  ++stats_.steps;
}

int32_t Scheduler::rows_left(const StepBatch& batch) const {
  if (std::ssize(batch.sequences) >= limits_.step_sequences_max) return 0;
  return step_rows_max_ - static_cast<int32_t>(batch.row_tokens.size());
}

int32_t Scheduler::samples_left(const StepBatch& batch) const {
  return limits_.step_samples_max - static_cast<int32_t>(batch.samples.size() + batch.prompt_scores.size());
}

bool Scheduler::wants_row(const Sequence& sequence) const {
  if (sequence.scheduled >= sequence.known_end()) return false;
  // What may follow a token is not known before the token is.
  if (sequence.guide != nullptr && sequence.pending > 0) return false;
  return sequence.output_tokens() + sequence.pending < sequence.request->request.max_tokens &&
         sequence.known_end() < context_tokens_max_;
}

bool Scheduler::in_plan(const Sequence& sequence) const {
  return sequence.planned == plan_number_;
}

// `sequence` takes part in the step under construction, up to its position `scheduled`.
void Scheduler::record(Sequence& sequence) {
  planned_.rows.push_back({&sequence, sequence.scheduled});
  sequence.planned = plan_number_;
  ++sequence.in_flight;
}

void Scheduler::plan_decode(Sequence& sequence, StepBatch& batch) {
  if (rows_left(batch) < 1 || samples_left(batch) < 1) return;
  // A resumed sequence has several generated positions to compute again, in blocks it was given when
  // admitted.
  const int32_t count = std::min(rows_left(batch), sequence.known_end() - sequence.scheduled);
  if (!make_room(sequence, batch)) return;
  add_rows(sequence, count, batch);
}

void Scheduler::plan_prefill(Sequence& sequence, StepBatch& batch) {
  const RequestState& request = *sequence.request;
  const int32_t remaining = sequence.known_end() - sequence.scheduled;
  int32_t count = std::min(rows_left(batch), remaining);
  if (request.request.prompt_logprobs >= 0) count = std::min(count, samples_left(batch));
  const int32_t draws = request.forked ? 1 : request.request.n;
  // The last row of a prompt is drawn from; every other one may be scored.
  const int32_t scores = request.request.prompt_logprobs >= 0 ? count - 1 : 0;
  if (count == remaining && draws + scores > samples_left(batch)) --count;
  if (count < 1) return;
  add_rows(sequence, count, batch);
}

// The block of the next position exists and is the sequence's own. False: not in this step; the sequence may
// have been preempted.
bool Scheduler::make_room(Sequence& sequence, StepBatch& batch) {
  const auto block_idx = static_cast<size_t>(sequence.scheduled / limits_.block_tokens);
  const bool exists = block_idx < sequence.blocks.size();
  const auto is_own = [&] { return exists && blocks_.references(sequence.blocks[block_idx]) == 1; };
  // A preemption may free a block, or leave the one that was shared with the victim to this sequence alone.
  while (!is_own() && blocks_.free_count() == 0) {
    if (!preempt_after(sequence)) return false;
  }
  if (is_own()) return true;
  if (!exists) {
    CHECK_EQ(block_idx, sequence.blocks.size());
    sequence.blocks.push_back(take_block());
    return true;
  }
  // Shared with siblings: write into a copy.
  const BlockId shared = sequence.blocks[block_idx];
  sequence.blocks[block_idx] = take_block();
  batch.block_copies.push_back({shared, sequence.blocks[block_idx]});
  planned_.releases.push_back(shared);
  return true;
}

// Preempts the last in order. False: wait for the steps in flight, or `sequence` itself was the last.
bool Scheduler::preempt_after(Sequence& sequence) {
  const auto frees_blocks = [](const InFlight& step) { return !step.releases.empty(); };
  if (std::ranges::any_of(in_flight_, frees_blocks) || !planned_.releases.empty()) return false;
  Sequence& victim = **running_.rbegin();
  if (in_plan(victim)) return false;
  preempt(victim);
  return &victim != &sequence;
}

// The victim keeps its tokens, those on their way included, and the scores of its prompt: what is in flight
// is always collected, and it is not admitted again before.
void Scheduler::preempt(Sequence& victim) {
  CHECK(victim.state == SequenceState::kRunning);
  ++stats_.preemptions;
  retire(victim);
  // A cancelled leader has lent its siblings the prompt and is not wanted back.
  if (victim.cancelled && victim.request->forked) return;
  victim.state = SequenceState::kWaiting;
  victim.scheduled = 0;
  waiting_.insert(&victim);
}

void Scheduler::admit(StepBatch& batch, int64_t now_us) {
  while (!waiting_.empty() && rows_left(batch) > 0 && samples_left(batch) > 0) {
    if (!try_admit(**waiting_.begin(), batch, now_us)) return;
  }
}

bool Scheduler::try_admit(Sequence& sequence, StepBatch& batch, int64_t now_us) {
  // Its last tokens, or the scores of its prompt, are still on their way.
  if (sequence.in_flight > 0) return false;
  RequestState& request = *sequence.request;
  const int32_t slots = request.forked ? 1 : request.request.n;
  if (static_cast<int32_t>(free_slots_.size()) - reserved_slots_ < slots) return false;
  if (static_cast<int32_t>(running_.size()) + reserved_slots_ + slots > running_max_) return false;

  // Room for one more block of everyone who runs, lest the newcomer be preempted at once. Its own last block
  // is always a new one: without that, the cache need not be asked (in every step, while it waits).
  const auto headroom = static_cast<int32_t>(running_.size());
  if (1 + headroom > blocks_.free_count()) return false;
  std::vector<BlockId> found;
  const int32_t revived = find_cached(sequence, found);
  const int32_t needed =
      ceil_div(std::ssize(sequence.tokens), limits_.block_tokens) - static_cast<int32_t>(found.size());
  if (needed + headroom > blocks_.free_count() - revived) return false;

  waiting_.erase(&sequence);
  running_.insert(&sequence);
  sequence.state = SequenceState::kRunning;
  for (const BlockId block : found) blocks_.share(block);
  sequence.blocks = std::move(found);
  sequence.scheduled = static_cast<int32_t>(sequence.blocks.size()) * limits_.block_tokens;
  sequence.indexed_blocks = static_cast<int32_t>(sequence.blocks.size());
  for (int32_t i = 0; i < needed; ++i) sequence.blocks.push_back(take_block());
  sequence.slot = free_slots_.back();
  free_slots_.pop_back();
  if (!request.forked) reserved_slots_ += slots - 1;

  executor::SampleSpec spec = request.request.spec;
  spec.sample_idx = sequence.sample_idx;
  batch.slot_opens.push_back(
      {sequence.slot, sequence.tokens, static_cast<int32_t>(request.request.prompt.size()), std::move(spec)});
  if (request.times.scheduled_us == 0) {
    request.times.scheduled_us = now_us;
    request.prompt_info.cached_tokens = sequence.scheduled;
    request.times.cached_tokens = sequence.scheduled;
    if (options_.prefix_caching) stats_.prefix_queries += std::ssize(sequence.tokens);
    stats_.prefix_hits += sequence.scheduled;
    stats_.prompt_tokens += std::ssize(sequence.tokens);
  }
  plan_prefill(sequence, batch);
  return true;
}

// Cached blocks of the sequence's tokens, the last token excepted: its row must be computed for its logits.
// Returns how many of them lie in the free list.
int32_t Scheduler::find_cached(Sequence& sequence, std::vector<BlockId>& found) {
  const RequestState& request = *sequence.request;
  const bool needs_all_rows = request.request.prompt_logprobs >= 0 &&
                              request.scores_submitted + 1 < std::ssize(request.request.prompt);
  if (!options_.prefix_caching || needs_all_rows) return 0;
  int32_t revived = 0;
  const size_t most = (sequence.tokens.size() - 1) / static_cast<size_t>(limits_.block_tokens);
  for (size_t i = 0; i < most; ++i) {
    const auto block = index_.find(content_of(sequence, i));
    if (!block) break;
    found.push_back(*block);
    if (blocks_.references(*block) == 0) ++revived;
  }
  return revived;
}

// The hash of the first `blocks` blocks; each is computed once.
const BlockHash& Scheduler::chain_at(Sequence& sequence, size_t blocks) const {
  if (sequence.chain.empty()) sequence.chain.push_back(hash_salt(sequence.request->request.cache_salt));
  const auto bt = static_cast<size_t>(limits_.block_tokens);
  while (sequence.chain.size() <= blocks) {
    const size_t i = sequence.chain.size() - 1;
    sequence.chain.push_back(
        hash_block(sequence.chain.back(), std::span(sequence.tokens).subspan(i * bt, bt)));
  }
  return sequence.chain[blocks];
}

// REQUIRES: all tokens of the block are known.
BlockContent Scheduler::content_of(Sequence& sequence, size_t block) const {
  const auto bt = static_cast<size_t>(limits_.block_tokens);
  const BlockHash hash = chain_at(sequence, block + 1);
  return {sequence.chain[block], hash, std::span(sequence.tokens).subspan(block * bt, bt)};
}

BlockId Scheduler::take_block() {
  const BlockId block = blocks_.take();
  index_.forget(block);
  return block;
}

void Scheduler::add_rows(Sequence& sequence, int32_t count, StepBatch& batch) {
  const auto row_begin = static_cast<int32_t>(batch.row_tokens.size());
  const int32_t first = sequence.scheduled;
  for (int32_t position = first; position < first + count; ++position) {
    batch.row_tokens.push_back(position < std::ssize(sequence.tokens)
                                   ? sequence.tokens[static_cast<size_t>(position)]
                                   : executor::kLastSampledToken);
  }
  const int32_t block_count = ceil_div(int64_t{first} + count, limits_.block_tokens);
  batch.sequences.push_back({.slot = sequence.slot,
                             .row_begin = row_begin,
                             .row_count = count,
                             .first_position = first,
                             .block_begin = static_cast<int32_t>(batch.block_table.size()),
                             .block_count = block_count});
  batch.block_table.insert(batch.block_table.end(), sequence.blocks.begin(),
                           sequence.blocks.begin() + block_count);
  add_scores(sequence, first, count, row_begin, batch);
  sequence.scheduled += count;
  record(sequence);
  if (sequence.scheduled == sequence.known_end()) add_samples(sequence, batch);
}

void Scheduler::add_scores(Sequence& sequence, int32_t first, int32_t count, int32_t row, StepBatch& batch) {
  RequestState& request = *sequence.request;
  if (request.request.prompt_logprobs < 0 || sequence.sample_idx != 0) return;
  const auto prompt_tokens = static_cast<int32_t>(request.request.prompt.size());
  for (int32_t position = first; position < first + count; ++position) {
    if (position != request.scores_submitted || position + 1 >= prompt_tokens) continue;
    batch.prompt_scores.push_back({.row = row + position - first,
                                   .token = request.request.prompt[static_cast<size_t>(position) + 1],
                                   .top_k = request.request.prompt_logprobs});
    planned_.scores.push_back(&request);
    ++request.scores_submitted;
  }
}

void Scheduler::add_samples(Sequence& sequence, StepBatch& batch) {
  const auto row = static_cast<int32_t>(batch.row_tokens.size()) - 1;
  if (!sequence.request->forked) fork_siblings(sequence, row, batch);
  if (sequence.cancelled) return;
  batch.samples.push_back({.row = row,
                           .slot = sequence.slot,
                           .output_position = sequence.output_tokens() + sequence.pending,
                           .mask_idx = add_mask(sequence, batch)});
  planned_.samples.push_back(&sequence);
  ++sequence.pending;
}

// The bits of what the sequence's guide allows, behind those of the batch; -1: anything.
int32_t Scheduler::add_mask(Sequence& sequence, StepBatch& batch) const {
  if (sequence.guide == nullptr) return -1;
  const auto words = static_cast<size_t>(limits_.mask_words);
  const size_t begin = batch.masks.size();
  batch.masks.resize(begin + words, 0);
  if (sequence.guide->fill(std::span(batch.masks).subspan(begin))) return static_cast<int32_t>(begin / words);
  batch.masks.resize(begin);
  return -1;
}

void Scheduler::fork_siblings(Sequence& leader, int32_t row, StepBatch& batch) {
  RequestState& request = *leader.request;
  request.forked = true;
  for (const auto& owned : request.sequences) {
    Sequence& sibling = *owned;
    if (&sibling == &leader) continue;
    --reserved_slots_;
    if (sibling.cancelled) continue;
    sibling.slot = free_slots_.back();
    free_slots_.pop_back();
    sibling.state = SequenceState::kRunning;
    sibling.tokens = leader.tokens;
    sibling.chain = leader.chain;
    sibling.scheduled = leader.scheduled;
    sibling.indexed_blocks = leader.indexed_blocks;
    sibling.blocks = leader.blocks;
    for (const BlockId block : sibling.blocks) blocks_.share(block);
    executor::SampleSpec spec = request.request.spec;
    spec.sample_idx = sibling.sample_idx;
    batch.slot_forks.push_back({leader.slot, sibling.slot, std::move(spec)});
    batch.samples.push_back(
        {.row = row, .slot = sibling.slot, .output_position = 0, .mask_idx = add_mask(sibling, batch)});
    planned_.samples.push_back(&sibling);
    record(sibling);
    ++sibling.pending;
    running_.insert(&sibling);
  }
}

}  // namespace minimax::engine
