// The door in front of the replicas.

#include "engine/engine.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "engine/replica.h"
#include "engine/router.h"

namespace minimax::engine {

// The waiting requests of a server are shared out, rounded up.
static Options options_of_replica(const Options& options, size_t replicas) {
  Options own = options;
  const auto count = static_cast<int32_t>(replicas);
  own.waiting_requests_max = (options.waiting_requests_max + count - 1) / count;
  return own;
}

class Engine::Impl {
 public:
  Impl(std::span<executor::Executor* const> executors, const Options& options, Observer* observer)
      : options_(options), router_(router_options(executors, options)) {
    for (executor::Executor* executor : executors)
      replicas_.emplace_back(*executor, options_of_replica(options, executors.size()), observer,
                             [this](const std::string& reason) { fail(reason); });
  }

  void on_failure(std::function<void(const std::string&)> call) {
    std::unique_lock lock(failure_mutex_);
    on_failure_ = std::move(call);
    if (failure_.empty() || !on_failure_) return;
    lock.unlock();
    on_failure_(failure_);
  }

  std::string failure() const {
    const std::lock_guard lock(failure_mutex_);
    return failure_;
  }

  Result<std::unique_ptr<Stream>> submit(Request request, std::function<void()> notify) {
    if (replicas_.size() == 1) return replicas_.front().submit(std::move(request), std::move(notify));
    if (const Status status = replicas_.front().check(request); !status.ok()) return status.failure();
    const std::lock_guard lock(mutex_);  // two requests at once see each other's place
    std::vector<int64_t> open;
    for (const Replica& replica : replicas_)
      open.push_back(replica.is_full() ? Router::kFull : replica.open());
    const int32_t chosen = router_.choose(request.cache_salt, request.prompt, open);
    if (chosen < 0) {
      return Failure{FailureKind::kOverloaded,
                     fmt::format("{} requests are waiting already (--max-waiting-requests); try again later.",
                                 options_.waiting_requests_max),
                     ""};
    }
    return replicas_[static_cast<size_t>(chosen)].submit(std::move(request), std::move(notify));
  }

  Stats stats() const {
    if (replicas_.size() == 1) return replicas_.front().stats();
    Stats sum;
    double blocks_used = 0;
    for (const Replica& replica : replicas_) {
      const Stats own = replica.stats();
      sum.requests_running += own.requests_running;
      sum.requests_waiting += own.requests_waiting;
      sum.blocks_total += own.blocks_total;
      sum.prefix_queries += own.prefix_queries;
      sum.prefix_hits += own.prefix_hits;
      sum.preemptions += own.preemptions;
      sum.prompt_tokens += own.prompt_tokens;
      sum.generation_tokens += own.generation_tokens;
      sum.steps += own.steps;
      blocks_used += own.kv_cache_usage * static_cast<double>(own.blocks_total);
      sum.replicas.push_back(own);
    }
    sum.kv_cache_usage = sum.blocks_total == 0 ? 0 : blocks_used / static_cast<double>(sum.blocks_total);
    const std::lock_guard lock(mutex_);
    sum.routed_by_prefix = router_.by_prefix();
    sum.routed_by_load = router_.by_load();
    return sum;
  }

  void reset_prefix_cache() {
    const std::lock_guard lock(mutex_);
    router_.clear();
    for (Replica& replica : replicas_) replica.reset_prefix_cache();
  }

  const std::deque<Replica>& replicas() const { return replicas_; }
  std::deque<Replica>& replicas() { return replicas_; }

  // Replicas share their fate: the process ends.
  void fail(const std::string& reason) {
    std::function<void(const std::string&)> call;
    {
      const std::lock_guard lock(failure_mutex_);
      if (!failure_.empty()) return;
      failure_ = reason;
      call = on_failure_;
    }
    for (Replica& replica : replicas_) {
      replica.drain();
      replica.abort(reason);
    }
    if (call) call(reason);
  }

 private:
  static RouterOptions router_options(std::span<executor::Executor* const> executors,
                                      const Options& options) {
    CHECK(!executors.empty());
    RouterOptions out;
    out.replicas = static_cast<int32_t>(executors.size());
    out.block_tokens = executors.front()->limits().block_tokens;
    for (const executor::Executor* executor : executors) out.hints_max += executor->limits().block_count;
    out.prefixes = options.prefix_caching;
    return out;
  }

  const Options options_;
  mutable std::mutex mutex_;
  Router router_;
  mutable std::mutex failure_mutex_;
  std::string failure_;
  std::function<void(const std::string&)> on_failure_;
  std::deque<Replica> replicas_;  // last: their threads use all of the above
};

Engine::Engine(executor::Executor& executor, const Options& options, Observer* observer) {
  executor::Executor* const one = &executor;
  impl_ = std::make_unique<Impl>(std::span(&one, 1), options, observer);
}
Engine::Engine(std::span<executor::Executor* const> executors, const Options& options, Observer* observer)
    : impl_(std::make_unique<Impl>(executors, options, observer)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Stream>> Engine::submit(Request request, std::function<void()> notify) {
  return impl_->submit(std::move(request), std::move(notify));
}
void Engine::drain() {
  for (Replica& replica : impl_->replicas()) replica.drain();
}
bool Engine::idle() const {
  return std::ranges::all_of(impl_->replicas(), [](const Replica& replica) { return replica.open() == 0; });
}
Stats Engine::stats() const {
  return impl_->stats();
}
int32_t Engine::context_tokens_max() const {
  return impl_->replicas().front().context_tokens_max();
}
const executor::Limits& Engine::limits() const {
  return impl_->replicas().front().limits();
}
void Engine::abort(std::string reason) {
  for (Replica& replica : impl_->replicas()) replica.abort(reason);
}
void Engine::on_failure(std::function<void(const std::string&)> call) {
  impl_->on_failure(std::move(call));
}
void Engine::fail(const std::string& what) {
  impl_->fail(failure_sentence(what));
}
std::string Engine::failure() const {
  return impl_->failure();
}
void Engine::reset_prefix_cache() {
  impl_->reset_prefix_cache();
}

}  // namespace minimax::engine
