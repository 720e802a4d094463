// The thread of a replica: inbox, plan, submit, collect, publish.

#include "engine/replica.h"

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/scheduler.h"
#include "engine/stream.h"

namespace minimax::engine {

std::string failure_sentence(const std::string& what) {
  return "The model has failed and the server ends: " + what;
}

class Replica::Impl {
 public:
  Impl(executor::Executor& executor, const Options& options, Observer* observer,
       std::function<void(const std::string&)> failed)
      : executor_(executor),
        options_(options),
        observer_(observer),
        failed_(std::move(failed)),
        scheduler_(executor.limits(), options),
        inbox_(std::make_shared<Inbox>()),
        thread_([this] { guarded_run(); }) {}

  ~Impl() {
    {
      const std::lock_guard lock(inbox_->mutex);
      inbox_->stopping = true;
    }
    inbox_->wake.notify_one();
    thread_.join();
  }

  Result<std::unique_ptr<Stream>> submit(Request request, std::function<void()> notify) {
    if (const Status status = scheduler_.check(request); !status.ok()) return status.failure();
    auto state = std::make_shared<StreamState>();
    state->notify = std::move(notify);
    {
      const std::lock_guard lock(inbox_->mutex);
      if (!failure_.empty()) return Failure{FailureKind::kUnavailable, failure_, ""};
      if (draining_ || inbox_->stopping) {
        return Failure{FailureKind::kUnavailable, "The server is shutting down.", ""};
      }
      if (waiting_ >= options_.waiting_requests_max) {
        return Failure{
            FailureKind::kOverloaded,
            fmt::format("{} requests are waiting already (--max-waiting-requests); try again later.",
                        options_.waiting_requests_max),
            ""};
      }
      ++waiting_;
      ++open_;
      inbox_->requests.push_back({std::move(request), now_us(), state});
    }
    inbox_->wake.notify_one();
    return make_stream(std::move(state), inbox_);
  }

  void drain() {
    const std::lock_guard lock(inbox_->mutex);
    draining_ = true;
  }
  int64_t open() const {
    const std::lock_guard lock(inbox_->mutex);
    return open_;
  }
  bool is_full() const {
    const std::lock_guard lock(inbox_->mutex);
    return waiting_ >= options_.waiting_requests_max;
  }
  Stats stats() const {
    const std::lock_guard lock(inbox_->mutex);
    Stats out = stats_;
    out.requests_waiting += std::ssize(inbox_->requests);
    return out;
  }
  void reset_prefix_cache() {
    {
      const std::lock_guard lock(inbox_->mutex);
      inbox_->reset_prefix_cache = true;
    }
    inbox_->wake.notify_one();
  }
  void abort(std::string reason) {
    CHECK(!reason.empty());
    {
      const std::lock_guard lock(inbox_->mutex);
      inbox_->abort_reason = std::move(reason);
    }
    inbox_->wake.notify_one();
  }
  const Scheduler& scheduler() const { return scheduler_; }
  const executor::Limits& limits() const { return executor_.limits(); }

 private:
  void guarded_run() {
    try {
      run();
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }

  // The executor is dead: no step will end any more.
  void fail(const std::string& what) {
    const std::string reason = failure_sentence(what);
    log::error("{}", reason);
    std::vector<NewRequest> requests;
    {
      const std::lock_guard lock(inbox_->mutex);
      failure_ = reason;
      requests.swap(inbox_->requests);
    }
    for (NewRequest& added : requests) add(std::move(added));
    events_.clear();
    scheduler_.end_all({FinishReason::kError, reason, FailureKind::kUnavailable}, events_);
    publish();
    failed_(reason);
    std::unique_lock lock(inbox_->mutex);
    inbox_->wake.wait(lock, [this] { return inbox_->stopping; });
  }

  void run() {
    executor::StepBatch batch;
    executor::StepResult result;
    while (true) {
      if (!read_inbox()) break;
      bool planned = false;
      if (scheduler_.steps_in_flight() < executor_.limits().pipeline_depth &&
          scheduler_.plan(batch, now_us())) {
        planned = true;
        scheduler_.submitted(executor_.submit(batch));
        if (observer_ != nullptr) observer_->on_step(std::ssize(batch.row_tokens));
      }
      // Fill the pipeline before waiting for its oldest step.
      const bool room = scheduler_.steps_in_flight() < executor_.limits().pipeline_depth;
      if (scheduler_.steps_in_flight() > 0 && !(planned && room)) {
        const executor::StepId step = scheduler_.oldest_step();
        executor_.collect(step, result);
        scheduler_.collected(step, result, now_us(), events_);
      }
      publish();
    }
    // The steps in flight must end before the executor may go.
    scheduler_.end_all({}, events_);
    while (scheduler_.steps_in_flight() > 0) {
      const executor::StepId step = scheduler_.oldest_step();
      executor_.collect(step, result);
      scheduler_.collected(step, result, now_us(), events_);
    }
    publish();
  }

  // Waits while there is nothing to do. False: stop.
  bool read_inbox() {
    std::vector<NewRequest> requests;
    std::vector<Cancel> cancels;
    std::string abort_reason;
    {
      std::unique_lock lock(inbox_->mutex);
      inbox_->wake.wait(lock, [this] { return !inbox_->empty() || !scheduler_.idle(); });
      requests.swap(inbox_->requests);
      cancels.swap(inbox_->cancels);
      abort_reason.swap(inbox_->abort_reason);
      if (std::exchange(inbox_->reset_prefix_cache, false)) scheduler_.reset_prefix_cache();
      if (inbox_->stopping) {
        for (NewRequest& added : requests) add(std::move(added));
        return false;
      }
    }
    for (NewRequest& added : requests) add(std::move(added));
    for (const Cancel& cancel : cancels) {
      const std::shared_ptr<StreamState> stream = cancel.stream.lock();
      const auto it = keys_.find(stream.get());
      if (stream != nullptr && it != keys_.end()) scheduler_.cancel(it->second, cancel.sample_idx, events_);
    }
    if (!abort_reason.empty())
      scheduler_.end_all({FinishReason::kError, std::move(abort_reason), FailureKind::kUnavailable}, events_);
    return true;
  }

  void add(NewRequest added) {
    const RequestKey key = scheduler_.add(std::move(added.request), added.arrival_us);
    keys_.emplace(added.stream.get(), key);
    streams_.emplace(key, std::move(added.stream));
  }

  // Hands the events to their streams, then tells the observer and the statistics.
  void publish() {
    first_tokens_first();
    int64_t ended = 0;
    for (size_t i = 0; i < events_.size();) {
      // Events of one request mostly come together (n samples, speculation): one lock and one notify for
      // them.
      const RequestKey key = events_[i].key;
      const auto it = streams_.find(key);
      CHECK(it != streams_.end());
      StreamState& stream = *it->second;
      bool notify = false, done = false;
      {
        const std::lock_guard lock(stream.mutex);
        notify = stream.events.empty();
        for (; i < events_.size() && events_[i].key == key; ++i) {
          SchedulerEvent& event = events_[i];
          observe(event);
          if (event.prompt_info) stream.prompt_info = std::move(*event.prompt_info);
          done = done || event.request_done;
          if (!stream.abandoned) stream.events.push_back(std::move(event.event));
        }
        stream.ended = stream.ended || done;
        notify = (notify || done) && !stream.abandoned;
      }
      stream.ready.notify_all();
      if (notify && stream.notify) stream.notify();
      if (done) {
        ++ended;
        keys_.erase(&stream);
        streams_.erase(it);
      }
    }
    events_.clear();
    for (const RequestTimes& times : scheduler_.take_finished()) {
      if (observer_ != nullptr) observer_->on_finished(times);
    }
    const std::lock_guard lock(inbox_->mutex);
    stats_ = scheduler_.stats();
    waiting_ = stats_.requests_waiting + std::ssize(inbox_->requests);
    open_ -= ended;
  }

  // They are drawn by the last rows of a step, and would wait behind everybody else's next. What belongs to
  // one request stays in order.
  void first_tokens_first() {
    first_keys_.clear();
    for (const SchedulerEvent& event : events_) {
      if (event.since_arrival_us >= 0) first_keys_.push_back(event.key);
    }
    if (first_keys_.empty()) return;
    std::ranges::sort(first_keys_);
    std::ranges::stable_partition(events_, [this](const SchedulerEvent& event) {
      return std::ranges::binary_search(first_keys_, event.key);
    });
  }

  void observe(const SchedulerEvent& event) {
    if (observer_ == nullptr) return;
    if (event.since_arrival_us >= 0) observer_->on_first_token(event.since_arrival_us);
    if (event.since_previous_us >= 0) observer_->on_next_token(event.since_previous_us);
  }

  executor::Executor& executor_;
  const Options options_;
  Observer* const observer_;
  const std::function<void(const std::string&)> failed_;
  Scheduler scheduler_;  // the engine thread's, but for check()
  std::shared_ptr<Inbox> inbox_;
  // Under inbox_->mutex.
  bool draining_ = false;
  std::string failure_;  // why the executor is dead; empty: it is not
  int64_t waiting_ = 0;  // requests not admitted yet, those in the inbox included
  int64_t open_ = 0;     // requests whose last event was not published
  Stats stats_;
  // The engine thread's.
  std::vector<SchedulerEvent> events_;
  std::vector<RequestKey> first_keys_;
  std::unordered_map<RequestKey, std::shared_ptr<StreamState>> streams_;
  std::unordered_map<const StreamState*, RequestKey> keys_;
  std::thread thread_;  // last: runs on all of the above
};

Replica::Replica(executor::Executor& executor, const Options& options, Observer* observer,
                 std::function<void(const std::string&)> failed)
    : impl_(std::make_unique<Impl>(executor, options, observer, std::move(failed))) {}
Replica::~Replica() = default;

Status Replica::check(const Request& request) const {
  return impl_->scheduler().check(request);
}
Result<std::unique_ptr<Stream>> Replica::submit(Request request, std::function<void()> notify) {
  return impl_->submit(std::move(request), std::move(notify));
}
void Replica::drain() {
  impl_->drain();
}
int64_t Replica::open() const {
  return impl_->open();
}
bool Replica::is_full() const {
  return impl_->is_full();
}
Stats Replica::stats() const {
  return impl_->stats();
}
int32_t Replica::context_tokens_max() const {
  return impl_->scheduler().context_tokens_max();
}
const executor::Limits& Replica::limits() const {
  return impl_->limits();
}
void Replica::abort(std::string reason) {
  impl_->abort(std::move(reason));
}
void Replica::reset_prefix_cache() {
  impl_->reset_prefix_cache();
}

}  // namespace minimax::engine
