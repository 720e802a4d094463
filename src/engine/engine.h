#pragma once
// The front door of the engine: continuous batching of token sequences over one Executor, or over several
// that hold the same model (data parallel replicas: each with a scheduler, a prefix cache and an engine
// thread of its own). All public methods may be called from any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/request.h"
#include "executor/executor.h"

namespace minimax::engine {

enum class SchedulingPolicy { kFcfs, kPriority };

struct Options {
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  int32_t running_max = 0;         // sequences that run at once (--max-num-seqs); 0: what the executor takes
  int32_t step_tokens_max = 0;     // rows a step (--max-num-batched-tokens); 0: what the executor takes
  int32_t context_tokens_max = 0;  // --max-model-len; 0: the executor's
  int32_t waiting_requests_max = 4096;  // beyond: kOverloaded (429)
  bool prefix_caching = true;
};

// The events of one request: written by the engine, read by one reader. Dropping it cancels what still runs.
class Stream {
 public:
  virtual ~Stream() = default;

  // Moves all events that have come so far to the back of `events`; returns false once the stream has ended
  // (every sample finished and all events taken). Never blocks.
  virtual bool take(std::vector<TokenEvent>& events) = 0;
  // Blocks until there is something to take (or the stream has ended). For callers with a thread of their
  // own.
  virtual void wait() = 0;
  // Valid once the first token event was taken.
  virtual PromptInfo prompt_info() const = 0;
  // Ends one sample (its last event says kCancelled), or all with -1. Tokens already drawn may still come.
  virtual void cancel(int32_t sample_idx = -1) = 0;
};

struct Stats {
  int64_t requests_running = 0;  // sequences with a slot
  int64_t requests_waiting = 0;
  double kv_cache_usage = 0;  // 0..1, blocks in use by live sequences
  int64_t blocks_total = 0;
  int64_t prefix_queries = 0;  // tokens looked up
  int64_t prefix_hits = 0;     // tokens found
  int64_t preemptions = 0;
  int64_t prompt_tokens = 0;  // computed or cached
  int64_t generation_tokens = 0;
  int64_t steps = 0;
  // Of several replicas: those above are sums (usage: over all blocks), and each apart.
  std::vector<Stats> replicas;
  int64_t routed_by_prefix = 0;  // requests that went where their prefix was
  int64_t routed_by_load = 0;    // to the replica with the fewest open requests
};

// Observations for histograms, reported from the engine threads as they happen.
struct RequestTimes {
  FinishReason finish = FinishReason::kNone;
  int64_t prompt_tokens = 0, cached_tokens = 0, generation_tokens = 0;
  int64_t longest_sample_tokens = 0;  // of the request's n samples
  int64_t arrival_us = 0, scheduled_us = 0, first_token_us = 0, last_token_us = 0;
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_step(int64_t rows) = 0;
  virtual void on_first_token(int64_t since_arrival_us) = 0;
  virtual void on_next_token(int64_t since_previous_us) = 0;
  virtual void on_finished(const RequestTimes& times) = 0;
};

class Engine {
 public:
  // The executor and the observer (may be nullptr) must outlive the engine.
  Engine(executor::Executor& executor, const Options& options, Observer* observer = nullptr);
  // Replicas; at least one, all with the same limits. running_max and step_tokens_max are each one's,
  // waiting_requests_max is that of all.
  Engine(std::span<executor::Executor* const> executors, const Options& options,
         Observer* observer = nullptr);
  ~Engine();  // cancels everything, then joins

  // Checks and queues. `notify` (may be empty) is called from the engine thread whenever the stream went from
  // empty to non-empty and at its end; it must return at once and must not call back into the engine or the
  // stream. One more call may come while or after the stream is dropped: what it captures must live on.
  // Fails: kInvalid (empty prompt, prompt + 1 beyond the context, ids outside the vocabulary, tables beyond
  // Limits), kOverloaded (queue full), kUnavailable (draining).
  Result<std::unique_ptr<Stream>> submit(Request request, std::function<void()> notify = {});

  // No new requests; those accepted go on. For SIGTERM.
  void drain();
  bool idle() const;  // nothing runs and nothing waits
  // Ends all that runs or waits with kError and this sentence; steps in flight are collected.
  void abort(std::string reason);

  Stats stats() const;
  int32_t context_tokens_max() const;
  const executor::Limits& limits() const;
  // Called once if the executor of a replica is lost (executor.h): every stream has got kError with the
  // reason, all replicas refuse requests (kUnavailable), and the process should end. From an engine thread;
  // from the caller if it has happened already. Empty: nobody.
  void on_failure(std::function<void(const std::string& reason)> call);
  std::string failure() const;  // the reason; empty: none
  // The same where others than the executor know that it is lost. The first reason stays.
  void fail(const std::string& what);

  // Forgets all cached blocks that no live sequence holds.
  void reset_prefix_cache();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::engine
