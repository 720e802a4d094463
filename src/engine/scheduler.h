#pragma once
// Continuous batching: which rows of which sequences make the next step, which blocks they use, and what its
// result means. No I/O, clock, thread or device: driven by Engine with real executors and by the simulation
// with the fake one. Decode first, then prompts in chunks into what is left of the step; a sequence that
// finds no block preempts the last in order, whose tokens are kept and recomputed later.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "engine/block_manager.h"
#include "engine/engine.h"
#include "engine/sequence.h"

namespace minimax::engine {

// What a step's result (or a cancel) means for one request.
struct SchedulerEvent {
  RequestKey key = 0;
  TokenEvent event;
  std::optional<PromptInfo> prompt_info;  // with the first event of each sample after the prompt
  bool request_done = false;              // the last event of the request
  int64_t since_arrival_us = -1;          // of the request's first token
  int64_t since_previous_us = -1;         // of a sample's later tokens
};

// Why a request ends before its time.
struct EarlyEnd {
  FinishReason reason = FinishReason::kCancelled;
  std::string error;  // with kError
  FailureKind error_kind = FailureKind::kInternal;
};

// `from` and its likeliest tokens, out of the step's table.
TokenLogprobs to_logprobs(const executor::TokenLogprob& from, const executor::StepResult& result);

class Scheduler {
 public:
  Scheduler(const executor::Limits& limits, const Options& options);

  // Empty if the request can be served; the failure names the field otherwise. May be called from any thread.
  Status check(const Request& request) const;
  // REQUIRES: check(request).ok().
  RequestKey add(Request request, int64_t now_us);
  // Unknown keys are ignored: the request may just have ended. sample_idx -1: all.
  void cancel(RequestKey key, int32_t sample_idx, std::vector<SchedulerEvent>& events);
  void end_all(const EarlyEnd& end, std::vector<SchedulerEvent>& events);

  // Fills `batch` with the next step; false if there is nothing to do before a step in flight is collected.
  // REQUIRES: steps_in_flight() < limits.pipeline_depth. If true, submitted() must follow.
  bool plan(executor::StepBatch& batch, int64_t now_us);
  void submitted(executor::StepId step);
  // REQUIRES: `step` is the oldest in flight.
  void collected(executor::StepId step, const executor::StepResult& result, int64_t now_us,
                 std::vector<SchedulerEvent>& events);

  bool idle() const { return requests_.empty(); }
  int32_t steps_in_flight() const { return static_cast<int32_t>(in_flight_.size()); }
  executor::StepId oldest_step() const { return in_flight_.front().id; }
  const RequestState* find(RequestKey key) const;
  // The first in order of service among those with a slot; it is never preempted. nullptr: none.
  const Sequence* first_running() const { return running_.empty() ? nullptr : *running_.begin(); }
  int64_t waiting_count() const { return static_cast<int64_t>(waiting_.size()); }
  int32_t context_tokens_max() const { return context_tokens_max_; }
  Stats stats() const;
  void reset_prefix_cache() { index_.clear(); }

  // Times of requests that ended since the last call.
  std::vector<RequestTimes> take_finished() { return std::exchange(finished_times_, {}); }

  // For tests: CHECKs that references, slots and lists agree with the sequences.
  void check_invariants() const;

 private:
  struct InFlight {
    executor::StepId id = -1;
    struct Rows {
      Sequence* sequence = nullptr;
      int32_t end = 0;  // positions below are computed once the step is collected
    };
    std::vector<Rows> rows;
    std::vector<Sequence*> samples;
    std::vector<RequestState*> scores;
    std::vector<executor::BlockId> releases;  // given up while this was the newest step in flight
  };
  // Order of service: priority, then arrival, then sample.
  struct Before {
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  using Queue = std::set<Sequence*, Before>;

  // scheduler_plan.cc
  void admit(executor::StepBatch& batch, int64_t now_us);
  bool try_admit(Sequence& sequence, executor::StepBatch& batch, int64_t now_us);
  int32_t find_cached(Sequence& sequence, std::vector<executor::BlockId>& found);
  void plan_decode(Sequence& sequence, executor::StepBatch& batch);
  void plan_prefill(Sequence& sequence, executor::StepBatch& batch);
  bool make_room(Sequence& sequence, executor::StepBatch& batch);
  bool preempt_after(Sequence& sequence);
  void preempt(Sequence& victim);
  void add_rows(Sequence& sequence, int32_t count, executor::StepBatch& batch);
  void add_samples(Sequence& sequence, executor::StepBatch& batch);
  void add_scores(Sequence& sequence, int32_t first, int32_t count, int32_t row, executor::StepBatch& batch);
  int32_t add_mask(Sequence& sequence, executor::StepBatch& batch) const;
  void fork_siblings(Sequence& leader, int32_t row, executor::StepBatch& batch);
  int32_t rows_left(const executor::StepBatch& batch) const;
  int32_t samples_left(const executor::StepBatch& batch) const;
  bool wants_row(const Sequence& sequence) const;
  bool in_plan(const Sequence& sequence) const;
  const BlockHash& chain_at(Sequence& sequence, size_t blocks) const;
  BlockContent content_of(Sequence& sequence, size_t block) const;
  void record(Sequence& sequence);
  executor::BlockId take_block();

  // scheduler.cc
  void take_token(Sequence& sequence, const executor::SampledToken& sampled,
                  const executor::StepResult& result, int64_t now_us, std::vector<SchedulerEvent>& events);
  void index_blocks(Sequence& sequence, int32_t end);
  void end_early(RequestKey key, int32_t sample_idx, const EarlyEnd& end,
                 std::vector<SchedulerEvent>& events);
  void finish(Sequence& sequence, SchedulerEvent event, std::vector<SchedulerEvent>& events);
  void retire(Sequence& sequence);
  void end_if_done(RequestState& request);
  void release_blocks(Sequence& sequence);
  void release(executor::BlockId block);
  void leave_slot(Sequence& sequence);

  executor::Limits limits_;
  Options options_;
  int32_t context_tokens_max_ = 0;
  int32_t running_max_ = 0;
  int32_t step_rows_max_ = 0;

  std::map<RequestKey, std::unique_ptr<RequestState>> requests_;
  RequestKey next_key_ = 0;
  Queue running_, waiting_;
  std::vector<executor::SlotId> free_slots_;
  int32_t reserved_slots_ = 0;                    // promised to unforked siblings of running leaders
  std::vector<executor::SlotId> slots_to_close_;  // in the next step
  BlockManager blocks_;
  PrefixIndex index_;

  std::deque<InFlight> in_flight_;
  InFlight planned_;  // of the batch under construction
  int64_t plan_number_ = 0;
  std::vector<RequestTimes> finished_times_;
  Stats stats_;
};

}  // namespace minimax::engine
