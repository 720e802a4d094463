#include "engine/scheduler.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "base/check.h"

namespace minimax::engine {

using executor::BlockId;

bool Scheduler::Before::operator()(const Sequence* a, const Sequence* b) const {
  const auto order = [](const Sequence* s) {
    return std::tuple(s->request->request.priority, s->request->key, s->sample_idx);
  };
  return order(a) < order(b);
}

namespace {

int32_t bounded(int32_t wanted, int32_t limit) {
  return wanted > 0 ? std::min(wanted, limit) : limit;
}

}  // namespace

TokenLogprobs to_logprobs(const executor::TokenLogprob& from, const executor::StepResult& result) {
  TokenLogprobs out{from.logprob, from.rank, {}};
  for (int32_t i = 0; i < from.top_count; ++i) {
    const executor::TopLogprob& top = result.top_logprobs[static_cast<size_t>(from.top_begin + i)];
    out.top.push_back({top.token, top.logprob});
  }
  return out;
}

Scheduler::Scheduler(const executor::Limits& limits, const Options& options)
    : limits_(limits),
      options_(options),
      blocks_(limits.block_count),
      index_(limits.block_count, limits.block_tokens) {
  const std::string violation = executor::find_violation(limits);
  if (!violation.empty()) check_failed(__FILE__, __LINE__, "find_violation(limits).empty()", violation);
  const int64_t pool_tokens = int64_t{limits.block_count} * limits.block_tokens;
  context_tokens_max_ = static_cast<int32_t>(
      std::min<int64_t>(pool_tokens, bounded(options.context_tokens_max, limits.context_tokens_max)));
  // Each running sequence must find a sample in every step, else those behind could wait for ever.
  running_max_ = bounded(options.running_max,
                         std::min({limits.slot_count, limits.step_sequences_max, limits.step_samples_max}));
  step_rows_max_ = bounded(options.step_tokens_max, limits.step_rows_max);
  for (executor::SlotId slot = limits.slot_count - 1; slot >= 0; --slot) free_slots_.push_back(slot);
  stats_.blocks_total = limits.block_count;
}

Status Scheduler::check(const Request& request) const {
  const auto prompt_tokens = std::ssize(request.prompt);
  if (prompt_tokens == 0) return invalid("The prompt is empty.", "prompt");
  if (prompt_tokens + 1 > context_tokens_max_) {
    return invalid(
        fmt::format("The prompt has {} tokens; with at least one token of output that exceeds the context "
                    "of {} tokens.",
                    prompt_tokens, context_tokens_max_),
        "prompt");
  }
  if (request.max_tokens < 1) return invalid("max_tokens must be at least 1.", "max_tokens");
  if (request.n < 1) return invalid(fmt::format("n must be at least 1, but is {}.", request.n), "n");
  if (request.n > running_max_) {
    return invalid(fmt::format("n is {}, but this server runs at most {} {} at once (--max-num-seqs).",
                               request.n, running_max_, running_max_ == 1 ? "sample" : "samples"),
                   "n");
  }
  if (request.prompt_logprobs < -1 || request.prompt_logprobs > limits_.logprobs_max) {
    return invalid(fmt::format("prompt_logprobs must be at most {}, but is {}.", limits_.logprobs_max,
                               request.prompt_logprobs),
                   "prompt_logprobs");
  }
  executor::StepBatch batch;
  batch.slot_opens.push_back({0, request.prompt, static_cast<int32_t>(prompt_tokens), request.spec});
  std::string violation = executor::find_violation(batch, limits_);
  if (!violation.empty()) return invalid("The request cannot be served: " + violation + ".");
  return {};
}

RequestKey Scheduler::add(Request request, int64_t now_us) {
  auto state = std::make_unique<RequestState>();
  state->key = next_key_++;
  state->request = std::move(request);
  if (options_.policy == SchedulingPolicy::kFcfs) state->request.priority = 0;
  state->forked = state->request.n == 1;
  state->unfinished = state->request.n;
  state->times.arrival_us = now_us;
  state->times.prompt_tokens = std::ssize(state->request.prompt);
  for (int32_t i = 0; i < state->request.n; ++i) {
    auto& sequence = state->sequences.emplace_back(std::make_unique<Sequence>());
    sequence->request = state.get();
    sequence->sample_idx = i;
    sequence->state = i == 0 ? SequenceState::kWaiting : SequenceState::kUnforked;
    if (i == 0) sequence->tokens = state->request.prompt;
    if (state->request.guide != nullptr) sequence->guide = state->request.guide->start();
  }
  waiting_.insert(state->sequences.front().get());
  const RequestKey key = state->key;
  requests_.emplace(key, std::move(state));
  return key;
}

const RequestState* Scheduler::find(RequestKey key) const {
  const auto it = requests_.find(key);
  return it == requests_.end() ? nullptr : it->second.get();
}

void Scheduler::cancel(RequestKey key, int32_t sample_idx, std::vector<SchedulerEvent>& events) {
  end_early(key, sample_idx, {}, events);
}

void Scheduler::end_early(RequestKey key, int32_t sample_idx, const EarlyEnd& end,
                          std::vector<SchedulerEvent>& events) {
  const auto it = requests_.find(key);
  if (it == requests_.end()) return;
  RequestState& request = *it->second;
  for (const auto& owned : request.sequences) {
    Sequence& sequence = *owned;
    if (sample_idx >= 0 && sequence.sample_idx != sample_idx) continue;
    if (sequence.state == SequenceState::kFinished || sequence.cancelled) continue;
    SchedulerEvent event;
    event.key = key;
    event.event.sample_idx = sequence.sample_idx;
    event.event.finish = end.reason;
    event.event.error = end.error;
    event.event.error_kind = end.error_kind;
    // Sample 0 computes the prompt of its siblings: it goes on, silently, while one of them is wanted.
    const bool carries = !request.forked && sequence.sample_idx == 0 && request.unfinished > 1;
    if (sequence.state == SequenceState::kUnforked || carries) {
      sequence.cancelled = true;
      event.request_done = --request.unfinished == 0;
      request.times.finish = end.reason;
      if (event.request_done) finished_times_.push_back(request.times);
      events.push_back(std::move(event));
      continue;
    }
    finish(sequence, std::move(event), events);
  }
  // The last wanted sibling is gone: so is the reason to compute the prompt.
  Sequence& leader = *request.sequences.front();
  if (request.unfinished == 0 && leader.state != SequenceState::kFinished) retire(leader);
  end_if_done(request);
}

void Scheduler::end_all(const EarlyEnd& end, std::vector<SchedulerEvent>& events) {
  std::vector<RequestKey> keys;
  for (const auto& [key, request] : requests_) keys.push_back(key);
  for (const RequestKey key : keys) end_early(key, -1, end, events);
}

void Scheduler::collected(executor::StepId step, const executor::StepResult& result, int64_t now_us,
                          std::vector<SchedulerEvent>& events) {
  CHECK(!in_flight_.empty());
  CHECK_EQ(in_flight_.front().id, step);
  const InFlight record = std::move(in_flight_.front());
  in_flight_.pop_front();
  for (const BlockId block : record.releases) blocks_.release(block);

  CHECK_EQ(result.prompt_logprobs.size(), record.scores.size());
  for (size_t i = 0; i < record.scores.size(); ++i) {
    record.scores[i]->prompt_info.prompt_logprobs.push_back(to_logprobs(result.prompt_logprobs[i], result));
  }
  for (const InFlight::Rows& rows : record.rows) {
    --rows.sequence->in_flight;
    if (rows.sequence->state == SequenceState::kRunning) index_blocks(*rows.sequence, rows.end);
  }
  for (Sequence* sequence : record.samples) --sequence->pending;
  for (const executor::SampledToken& sampled : result.tokens) {
    take_token(*record.samples[static_cast<size_t>(sampled.sample)], sampled, result, now_us, events);
  }
  std::vector<RequestState*> done;
  for (const InFlight::Rows& rows : record.rows) {
    Sequence& sequence = *rows.sequence;
    RequestState* request = sequence.request;
    // A cancelled leader has done its part.
    if (sequence.cancelled && request->forked && sequence.state == SequenceState::kRunning) retire(sequence);
    if (request->unfinished == 0 && std::ranges::find(done, request) == done.end()) done.push_back(request);
  }
  for (RequestState* request : done) end_if_done(*request);
}

void Scheduler::take_token(Sequence& sequence, const executor::SampledToken& sampled,
                           const executor::StepResult& result, int64_t now_us,
                           std::vector<SchedulerEvent>& events) {
  if (sequence.state == SequenceState::kFinished) return;  // drawn in vain
  RequestState& request = *sequence.request;
  SchedulerEvent out;
  out.key = request.key;
  out.event.sample_idx = sequence.sample_idx;
  TokenEvent& event = out.event;
  if (sequence.output_tokens() == 0) out.prompt_info = request.prompt_info;
  if (sampled.outcome == executor::SampleOutcome::kNotFinite) {
    event.finish = FinishReason::kError;
    event.error = "The model's output is not a number.";
    // The executors tell no difference: where a request narrows what may be drawn, that is the likelier
    // cause.
    const executor::SampleSpec& spec = request.request.spec;
    if (sequence.guide != nullptr || !spec.allowed_ids.empty() || !spec.bad_words.empty()) {
      event.error_kind = FailureKind::kInvalid;
      event.error =
          "No token is left to draw: what the request allows (allowed_token_ids, bad_words, min_tokens or "
          "the "
          "constraint of its answer) excludes every one.";
    }
    if (sequence.guide != nullptr && !sequence.guide->error().empty()) event.error = sequence.guide->error();
    finish(sequence, std::move(out), events);
    return;
  }
  event.has_token = true;
  event.token = sampled.token;
  if (request.request.spec.logprobs >= 0) {
    event.has_logprobs = true;
    event.logprobs = to_logprobs(sampled.logprob, result);
  }
  sequence.tokens.push_back(sampled.token);
  ++stats_.generation_tokens;
  ++request.times.generation_tokens;
  request.times.longest_sample_tokens =
      std::max<int64_t>(request.times.longest_sample_tokens, sequence.output_tokens());
  if (request.times.first_token_us == 0) {
    request.times.first_token_us = now_us;
    out.since_arrival_us = now_us - request.times.arrival_us;
  } else if (sequence.last_token_us != 0) {
    out.since_previous_us = now_us - sequence.last_token_us;
  }
  request.times.last_token_us = now_us;
  sequence.last_token_us = now_us;
  if (sampled.outcome == executor::SampleOutcome::kStop) {
    event.finish = FinishReason::kStop;
    event.stop_token = sampled.token;
  } else if (sequence.guide != nullptr && !sequence.guide->accept(sampled.token)) {
    event.finish = FinishReason::kStop;
  } else if (sequence.output_tokens() >= request.request.max_tokens ||
             std::ssize(sequence.tokens) >= context_tokens_max_) {
    event.finish = FinishReason::kLength;
  }
  if (event.finish == FinishReason::kNone) {
    if (sequence.guide != nullptr && sequence.guide->finished()) sequence.guide.reset();
    events.push_back(std::move(out));
  } else {
    finish(sequence, std::move(out), events);
  }
}

void Scheduler::index_blocks(Sequence& sequence, int32_t end) {
  if (!options_.prefix_caching) return;
  for (const int32_t full = end / limits_.block_tokens; sequence.indexed_blocks < full;
       ++sequence.indexed_blocks) {
    const auto i = static_cast<size_t>(sequence.indexed_blocks);
    index_.insert(content_of(sequence, i), sequence.blocks[i]);
  }
}

void Scheduler::finish(Sequence& sequence, SchedulerEvent event, std::vector<SchedulerEvent>& events) {
  RequestState& request = *sequence.request;
  retire(sequence);
  event.request_done = --request.unfinished == 0;
  request.times.finish = event.event.finish;
  if (event.request_done) finished_times_.push_back(request.times);
  events.push_back(std::move(event));
}

// Gives up everything the sequence holds.
void Scheduler::retire(Sequence& sequence) {
  release_blocks(sequence);
  leave_slot(sequence);
  if (sequence.state == SequenceState::kRunning && !sequence.request->forked)
    reserved_slots_ -= sequence.request->request.n - 1;
  running_.erase(&sequence);
  waiting_.erase(&sequence);
  sequence.state = SequenceState::kFinished;
}

void Scheduler::end_if_done(RequestState& request) {
  if (request.unfinished > 0) return;
  for (const auto& sequence : request.sequences) {
    if (sequence->in_flight > 0) return;
    // A sibling cancelled before the fork never had a life of its own.
    CHECK(sequence->state == SequenceState::kFinished || sequence->state == SequenceState::kUnforked);
  }
  requests_.erase(request.key);
}

void Scheduler::release_blocks(Sequence& sequence) {
  // In reverse, so that the end of a prompt is forgotten before its beginning.
  for (auto it = sequence.blocks.rbegin(); it != sequence.blocks.rend(); ++it) release(*it);
  sequence.blocks.clear();
  sequence.indexed_blocks = 0;
}

void Scheduler::release(BlockId block) {
  if (in_flight_.empty()) {
    blocks_.release(block);
  } else {
    in_flight_.back().releases.push_back(block);
  }
}

void Scheduler::leave_slot(Sequence& sequence) {
  if (sequence.slot < 0) return;
  slots_to_close_.push_back(sequence.slot);
  free_slots_.push_back(sequence.slot);
  sequence.slot = -1;
}

Stats Scheduler::stats() const {
  Stats out = stats_;
  out.requests_running = std::ssize(running_);
  out.requests_waiting = std::ssize(waiting_);
  out.kv_cache_usage = static_cast<double>(blocks_.used_count()) / static_cast<double>(blocks_.total());
  return out;
}

void Scheduler::check_invariants() const {
  blocks_.check_consistency();
  std::vector<int32_t> references(static_cast<size_t>(blocks_.total()), 0);
  std::vector<bool> slots(static_cast<size_t>(limits_.slot_count), false);
  int64_t waiting = 0, running_count = 0;
  for (const auto& [key, request] : requests_) {
    for (const auto& sequence : request->sequences) {
      const bool running = sequence->state == SequenceState::kRunning;
      running_count += running;
      waiting += sequence->state == SequenceState::kWaiting;
      CHECK_EQ(running_.contains(sequence.get()), running);
      CHECK_EQ(waiting_.contains(sequence.get()), sequence->state == SequenceState::kWaiting);
      CHECK_EQ(sequence->slot >= 0, running);
      CHECK(running || sequence->blocks.empty());
      if (running) {
        CHECK(!slots[static_cast<size_t>(sequence->slot)]);
        slots[static_cast<size_t>(sequence->slot)] = true;
        CHECK_LE(sequence->scheduled, std::ssize(sequence->blocks) * limits_.block_tokens);
        CHECK_LE(sequence->scheduled, sequence->known_end());
      }
      for (const BlockId block : sequence->blocks) ++references[static_cast<size_t>(block)];
    }
  }
  for (const InFlight& step : in_flight_) {
    for (const BlockId block : step.releases) ++references[static_cast<size_t>(block)];
  }
  for (int32_t block = 0; block < blocks_.total(); ++block) {
    CHECK_EQ(blocks_.references(block), references[static_cast<size_t>(block)]);
  }
  for (const executor::SlotId slot : free_slots_) CHECK(!slots[static_cast<size_t>(slot)]);
  CHECK_EQ(std::ssize(free_slots_) + std::ssize(running_), limits_.slot_count);
  CHECK_EQ(std::ssize(waiting_), waiting);
  CHECK_EQ(std::ssize(running_), running_count);
  CHECK_GE(std::ssize(free_slots_), reserved_slots_);
}

}  // namespace minimax::engine
