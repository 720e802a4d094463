#include "engine/simulation.h"

#include <deque>
#include <map>
#include <random>

#include <fmt/format.h>

#include "base/check.h"
#include "engine/scheduler.h"
#include "executor/fake.h"

namespace minimax::engine {
namespace {

using executor::FakeExecutor;
using executor::FakeOptions;

class World {
 public:
  explicit World(uint64_t seed)
      : rng_(seed), fake_(draw_fake()), executor_(fake_), scheduler_(fake_.limits, draw_options()) {}

  SimulationReport run(int64_t steps) {
    while (report_.violation.empty()) {
      const bool more = report_.steps < steps;
      if (!more && scheduler_.idle()) break;
      if (more && chance(arrival_percent_) && std::ssize(live_) < 40) arrive();
      if (more && chance(3)) cancel_one();
      if (chance(1)) scheduler_.reset_prefix_cache();
      step();
    }
    report_.preemptions = scheduler_.stats().preemptions;
    if (report_.violation.empty()) check_empty();
    return report_;
  }

 private:
  struct Live {
    Request request;
    std::vector<std::vector<TokenId>> tokens;  // by sample
    std::vector<FinishReason> finish;
    int32_t open = 0;
  };

  int32_t pick(int32_t min, int32_t max) { return std::uniform_int_distribution<int32_t>(min, max)(rng_); }
  bool chance(int32_t percent) { return pick(1, 100) <= percent; }

  FakeOptions draw_fake() {
    FakeOptions options;
    options.limits = executor::fake_limits();
    executor::Limits& limits = options.limits;
    limits.block_tokens = pick(1, 5);
    limits.block_count = pick(4, 40);
    limits.slot_count = pick(1, 8);
    limits.step_sequences_max = pick(1, 8);
    limits.step_rows_max = pick(1, 24);
    limits.step_samples_max = pick(8, 24);
    limits.context_tokens_max = pick(8, 64);
    limits.pipeline_depth = pick(1, 3);
    arrival_percent_ = pick(2, 40);
    if (chance(20)) options.not_finite_every = 97;
    return options;
  }

  Options draw_options() {
    Options options;
    options.policy = chance(50) ? SchedulingPolicy::kFcfs : SchedulingPolicy::kPriority;
    options.running_max = pick(0, 6);
    options.step_tokens_max = chance(50) ? 0 : pick(1, 16);
    options.prefix_caching = chance(75);
    return options;
  }

  Request draw_request() {
    Request request;
    const int32_t length = pick(1, std::max(1, scheduler_.context_tokens_max() - 1));
    // Few distinct prefixes, so that blocks are shared.
    const int32_t family = pick(0, 3);
    const int32_t shared = pick(0, length);
    for (int32_t i = 0; i < length; ++i) {
      request.prompt.push_back(i < shared ? (family * 7 + i * 3) % 50 : pick(0, 49));
    }
    request.max_tokens = pick(1, 20);
    request.n = chance(20) ? pick(2, 4) : 1;
    request.priority = pick(-2, 2);
    if (chance(20)) request.cache_salt = chance(50) ? "a" : "b";
    request.spec.temperature = chance(50) ? 0.0f : 1.0f;
    request.spec.seed = static_cast<uint64_t>(pick(0, 1 << 20));
    request.spec.min_tokens = pick(0, 3);
    if (chance(70)) request.spec.stop_ids = {pick(0, 49)};
    if (chance(20)) request.spec.logprobs = pick(0, 5);
    if (chance(15)) request.prompt_logprobs = pick(0, 3);
    return request;
  }

  void arrive() {
    Request request = draw_request();
    if (!scheduler_.check(request).ok()) return;
    ++report_.requests;
    if (request.n > 1) ++report_.forks;
    Live live{request, std::vector<std::vector<TokenId>>(static_cast<size_t>(request.n)),
              std::vector<FinishReason>(static_cast<size_t>(request.n), FinishReason::kNone), request.n};
    live_.emplace(scheduler_.add(std::move(request), ++now_), std::move(live));
  }

  void cancel_one() {
    if (live_.empty()) return;
    auto it = live_.begin();
    std::advance(it, pick(0, static_cast<int32_t>(live_.size()) - 1));
    std::vector<SchedulerEvent> events;
    scheduler_.cancel(it->first, chance(50) ? -1 : pick(0, it->second.request.n - 1), events);
    take(events);
    scheduler_.check_invariants();
  }

  void step() {
    ++report_.steps;
    ++now_;
    if (scheduler_.steps_in_flight() < fake_.limits.pipeline_depth && scheduler_.plan(batch_, now_)) {
      scheduler_.submitted(executor_.submit(batch_));
    }
    scheduler_.check_invariants();
    const bool full = scheduler_.steps_in_flight() == fake_.limits.pipeline_depth;
    if (scheduler_.steps_in_flight() > 0 && (full || chance(60))) {
      const executor::StepId oldest = scheduler_.oldest_step();
      executor_.collect(oldest, result_);
      std::vector<SchedulerEvent> events;
      scheduler_.collected(oldest, result_, now_, events);
      scheduler_.check_invariants();
      take(events);
    }
  }

  void take(const std::vector<SchedulerEvent>& events) {
    for (const SchedulerEvent& event : events) {
      const auto it = live_.find(event.key);
      if (it == live_.end()) return fail(fmt::format("event of request {} after its end", event.key));
      Live& live = it->second;
      const auto sample = static_cast<size_t>(event.event.sample_idx);
      if (live.finish[sample] != FinishReason::kNone)
        return fail(fmt::format("request {}: event after the end", event.key));
      if (event.event.has_token) live.tokens[sample].push_back(event.event.token);
      if (event.event.finish == FinishReason::kNone) continue;
      live.finish[sample] = event.event.finish;
      --live.open;
      if (event.request_done != (live.open == 0))
        return fail(fmt::format("request {}: wrong end", event.key));
      if (event.event.finish == FinishReason::kCancelled) ++report_.cancelled;
      if (event.event.finish == FinishReason::kError) ++report_.failed;
      if (!event.request_done) continue;
      compare_with_solo(live);
      ++report_.finished;
      live_.erase(it);
    }
  }

  // The same request with everything to itself: unlimited blocks, no mates, no cache, one step at a time.
  void compare_with_solo(const Live& live) {
    for (int32_t sample = 0; sample < live.request.n; ++sample) {
      const auto idx = static_cast<size_t>(sample);
      FakeOptions options = fake_;
      options.limits.block_count = 64;
      options.limits.block_tokens = 4;
      options.limits.step_rows_max = 64;
      options.limits.pipeline_depth = 1;
      options.limits.context_tokens_max = scheduler_.context_tokens_max();
      FakeExecutor executor(options);
      executor::StepBatch batch;
      executor::SampleSpec spec = live.request.spec;
      spec.sample_idx = sample;
      batch.slot_opens.push_back(
          {0, live.request.prompt, static_cast<int32_t>(live.request.prompt.size()), spec});
      std::vector<TokenId> tokens = live.request.prompt;
      const auto& got = live.tokens[idx];
      size_t computed = 0;
      for (size_t i = 0; i < got.size(); ++i) {
        batch.row_tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(computed), tokens.end());
        const auto rows = static_cast<int32_t>(batch.row_tokens.size());
        batch.block_table.resize((tokens.size() + 3) / 4);
        for (size_t block = 0; block < batch.block_table.size(); ++block)
          batch.block_table[block] = static_cast<int32_t>(block);
        batch.sequences = {
            {0, 0, rows, static_cast<int32_t>(computed), 0, static_cast<int32_t>(batch.block_table.size())}};
        batch.samples = {{rows - 1, 0, static_cast<int32_t>(i), -1}};
        const executor::StepId id = executor.submit(batch);
        executor.collect(id, result_);
        if (result_.tokens[0].token != got[i]) {
          return fail(fmt::format("sample {} token {}: {} instead of {}", sample, i, got[i],
                                  result_.tokens[0].token));
        }
        computed = tokens.size();
        tokens.push_back(got[i]);
        batch.slot_opens.clear();
      }
      const bool full =
          std::ssize(got) == live.request.max_tokens || std::ssize(tokens) == scheduler_.context_tokens_max();
      if (live.finish[idx] == FinishReason::kLength && !full) fail("ended by length too early");
    }
  }

  void check_empty() {
    scheduler_.check_invariants();
    if (!live_.empty()) fail(fmt::format("{} requests never ended", live_.size()));
    if (scheduler_.stats().kv_cache_usage != 0) fail("blocks are left behind");
  }

  void fail(std::string what) {
    if (report_.violation.empty()) report_.violation = fmt::format("step {}: {}", report_.steps, what);
  }

  std::mt19937_64 rng_;
  int32_t arrival_percent_ = 10;
  FakeOptions fake_;
  FakeExecutor executor_;
  Scheduler scheduler_;
  std::map<RequestKey, Live> live_;
  executor::StepBatch batch_;
  executor::StepResult result_;
  int64_t now_ = 0;
  SimulationReport report_;
};

}  // namespace

SimulationReport simulate(uint64_t seed, int64_t steps) {
  return World(seed).run(steps);
}

}  // namespace minimax::engine
