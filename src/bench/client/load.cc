#include "bench/client/load.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <map>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/resource.h>

#include "base/clock.h"

namespace minimax::bench {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr int64_t kHealthEveryUs = 10'000;
constexpr size_t kHealthSamplesMax = 1 << 20;

double thread_cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::chrono::microseconds micros(double seconds) {
  return std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
}

// How late this thread wakes when it asks to be woken.
class HealthWatch {
 public:
  explicit HealthWatch(asio::io_context& context)
      : timer_(context), cpu_begin_s_(thread_cpu_s()), begin_us_(now_us()) {
    tick();
  }

  void stop() {
    stopped_ = true;
    timer_.cancel();
  }

  ClientHealth health() {
    ClientHealth out;
    const double seconds = static_cast<double>(now_us() - begin_us_) * 1e-6;
    if (seconds > 0) out.cpu_share = (thread_cpu_s() - cpu_begin_s_) / seconds;
    if (late_ms_.empty()) return out;
    const size_t p99 = (late_ms_.size() - 1) * 99 / 100;
    std::nth_element(late_ms_.begin(), late_ms_.begin() + static_cast<ptrdiff_t>(p99), late_ms_.end());
    out.late_p99_ms = late_ms_[p99];
    out.late_max_ms = *std::max_element(late_ms_.begin(), late_ms_.end());
    return out;
  }

 private:
  void tick() {
    const int64_t asked_us = now_us() + kHealthEveryUs;
    timer_.expires_after(std::chrono::microseconds(kHealthEveryUs));
    timer_.async_wait([this, asked_us](error_code code) {
      if (code || stopped_) return;
      if (late_ms_.size() < kHealthSamplesMax)
        late_ms_.push_back(static_cast<float>(now_us() - asked_us) * 1e-3f);
      tick();
    });
  }

  asio::steady_timer timer_;
  double cpu_begin_s_;
  int64_t begin_us_;
  bool stopped_ = false;
  std::vector<float> late_ms_;
};

class Load {
 public:
  Load(asio::io_context& context, StreamClient& client, std::span<const Script> scripts,
       const LoadOptions& options, const std::function<int64_t()>& clock_us)
      : context_(context),
        client_(client),
        scripts_(scripts),
        options_(options),
        clock_us_(clock_us),
        arrival_timer_(context),
        progress_timer_(context),
        signals_(context),
        health_(context) {}

  LoadResult run() {
    begin_us_ = clock_us_();
    chunks_begin_ = client_.chunks();
    for (const Script& script : scripts_) total_ += 1 + std::ssize(script.follow_ups);
    if (options_.handle_interrupt) {
      signals_.add(SIGINT);
      signals_.async_wait([this](error_code code, int) {
        if (!code) interrupt();
      });
    }
    if (scripts_.empty()) {
      finish();
    } else {
      arrive();
      watch();
    }
    context_.run();
    context_.restart();
    result_.health = health_.health();
    std::sort(result_.outcomes.begin(), result_.outcomes.end(), [](const Outcome& a, const Outcome& b) {
      return std::pair(a.script, a.turn) < std::pair(b.script, b.turn);
    });
    return std::move(result_);
  }

 private:
  double elapsed_s() const { return static_cast<double>(clock_us_() - begin_us_) * 1e-6; }

  // Lets in the scripts whose time has come, and waits for that of the next.
  void arrive() {
    while (next_arrival_ < scripts_.size() && options_.arrivals_s[next_arrival_] <= elapsed_s()) {
      waiting_.push_back(next_arrival_++);
    }
    admit();
    if (next_arrival_ == scripts_.size() || finished_) return;
    arrival_timer_.expires_after(micros(options_.arrivals_s[next_arrival_] - elapsed_s()));
    arrival_timer_.async_wait([this](error_code code) {
      if (!code) arrive();
    });
  }

  void admit() {
    while (!waiting_.empty() && !finished_ &&
           (options_.concurrency_max == 0 || under_way_ < options_.concurrency_max)) {
      const size_t script = waiting_.front();
      waiting_.pop_front();
      ++under_way_;
      send(script, 0, request_body(options_.body, scripts_[script]));
    }
  }

  void send(size_t script, size_t turn, std::string body) {
    net::HeaderList more;
    if (!options_.request_id_prefix.empty()) {
      more.emplace_back("X-Request-Id", options_.request_id_prefix + std::to_string(sent_));
    }
    ++sent_;
    client_.start(std::move(body), more, [this, script, turn](Outcome outcome) {
      outcome.script = script;
      outcome.turn = turn;
      outcome.start_s -= static_cast<double>(begin_us_) * 1e-6;
      if (outcome.input_tokens == 0 && turn == 0) outcome.input_tokens = scripts_[script].input_tokens;
      answered(std::move(outcome));
    });
  }

  void answered(Outcome outcome) {
    if (finished_) return;
    const size_t script = outcome.script, turn = outcome.turn;
    const std::vector<FollowUp>& follow_ups = scripts_[script].follow_ups;
    ++done_;
    if (!outcome.success) ++failed_;
    if (outcome.success && turn < follow_ups.size()) {
      const FollowUp& next = follow_ups[turn];
      if (turn == 0) conversations_[script] = first_messages(scripts_[script]);
      Json& messages = conversations_[script];
      add_turn(messages, outcome, next);
      think(script, turn + 1, next);
    } else {
      // The turns that cannot be taken after a failure are not counted.
      total_ -= static_cast<int64_t>(follow_ups.size() - turn);
      conversations_.erase(script);
      --under_way_;
      ++scripts_done_;
    }
    result_.outcomes.push_back(std::move(outcome));
    admit();
    if (scripts_done_ == scripts_.size()) finish();
  }

  void think(size_t script, size_t turn, const FollowUp& next) {
    auto timer = std::make_shared<asio::steady_timer>(context_, micros(next.think_s));
    timer->async_wait([this, script, turn, timer, tokens = next.output_tokens](error_code) {
      thinking_.erase(script);
      if (finished_) return;
      send(script, turn, chat_body(options_.body, conversations_[script], scripts_[script].tools, tokens));
    });
    thinking_[script] = timer;
  }

  void watch() {
    report();
    client_.end_stalled();
    progress_timer_.expires_after(micros(options_.progress_every_s));
    progress_timer_.async_wait([this](error_code code) {
      if (!code && !finished_) watch();
    });
  }

  void report() {
    if (!options_.on_progress) return;
    options_.on_progress({.done = done_,
                          .failed = failed_,
                          .running = client_.running(),
                          .total = total_,
                          .chunks = client_.chunks() - chunks_begin_,
                          .seconds = elapsed_s()});
  }

  void interrupt() {
    result_.interrupted = true;
    finish();
    client_.interrupt();
  }

  void finish() {
    if (finished_) return;
    finished_ = true;
    result_.duration_s = elapsed_s();
    report();
    arrival_timer_.cancel();
    progress_timer_.cancel();
    signals_.cancel();
    client_.end_lingering();
    health_.stop();
    for (auto& [script, timer] : thinking_) timer->cancel();
  }

  asio::io_context& context_;
  StreamClient& client_;
  std::span<const Script> scripts_;
  const LoadOptions& options_;
  const std::function<int64_t()>& clock_us_;
  asio::steady_timer arrival_timer_, progress_timer_;
  asio::signal_set signals_;
  HealthWatch health_;
  std::deque<size_t> waiting_;  // arrived, not let in
  std::map<size_t, Json> conversations_;
  std::map<size_t, std::shared_ptr<asio::steady_timer>> thinking_;
  size_t next_arrival_ = 0, scripts_done_ = 0;
  int64_t under_way_ = 0, sent_ = 0, done_ = 0, failed_ = 0, total_ = 0, chunks_begin_ = 0;
  int64_t begin_us_ = 0;
  bool finished_ = false;
  LoadResult result_;
};

}  // namespace

LoadResult run_load(asio::io_context& context, StreamClient& client, std::span<const Script> scripts,
                    const LoadOptions& options, const std::function<int64_t()>& clock_us) {
  return Load(context, client, scripts, options, clock_us).run();
}

}  // namespace minimax::bench
