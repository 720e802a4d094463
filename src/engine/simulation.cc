#include "engine/simulation.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>
#include <random>

#include <fmt/format.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/scheduler.h"
#include "engine/solo_run.h"
#include "executor/fake.h"

namespace minimax::engine {
namespace {

// A guide that remembers: which ids may come depends on all the tokens before, now and then any id may, now
// and then any from here on, and otherwise after a number of tokens nothing may follow.
class StepGuide final : public Guide {
 public:
  explicit StepGuide(int32_t tokens_max) : left_(tokens_max) {}

  bool fill(std::span<uint32_t> mask) override {
    if (free_ || sum_ % 5 == 0) return false;
    for (uint32_t& word : mask) word = 0x11111111u << (sum_ % 4);
    return true;
  }
  bool accept(TokenId token) override {
    sum_ = sum_ * 31 + static_cast<uint32_t>(token) + 1;
    free_ = free_ || sum_ % 16 == 3;
    return free_ || --left_ > 0;
  }
  bool finished() const override { return free_; }
  std::string_view error() const override { return {}; }

 private:
  int32_t left_;
  bool free_ = false;
  uint32_t sum_ = 1;
};

class StepGuideSource final : public GuideSource {
 public:
  explicit StepGuideSource(int32_t tokens_max) : tokens_max_(tokens_max) {}
  std::unique_ptr<Guide> start() const override { return std::make_unique<StepGuide>(tokens_max_); }

 private:
  const int32_t tokens_max_;
};

using executor::FakeExecutor;
using executor::FakeOptions;

// The oldest request is never preempted for another's sake, so it ends after a number of steps that depends
// on its own rows alone: at most 4 samples of 64 positions, each computed again for each of the others, in
// chunks of one row, at 60 % of the steps collected.
constexpr int64_t kOldestStepsMax = 10'000;

class World {
 public:
  explicit World(uint64_t seed)
      : rng_(seed), fake_(draw_fake()), executor_(fake_), scheduler_(fake_.limits, draw_options()) {}

  SimulationReport run(int64_t steps) {
    while (report_.violation.empty()) {
      const bool more = report_.steps < steps;
      if (!more && scheduler_.idle()) break;
      if (report_.steps > steps + 40 * kOldestStepsMax) fail("the traffic does not end");
      if (more && chance(arrival_percent_)) {
        for (int32_t i = pick(1, burst_max_); i > 0 && std::ssize(live_) < 40; --i) arrive();
      }
      if (more && chance(cancel_percent_)) cancel_one();
      if (pick(1, 1000) <= resets_permille_) scheduler_.reset_prefix_cache();
      step();
    }
    report_.preemptions = scheduler_.stats().preemptions;
    if (report_.violation.empty()) check_empty();
    return report_;
  }

 private:
  struct Live {
    Request request;
    std::vector<std::vector<TokenEvent>> events;  // by sample
    std::vector<PromptInfo> prompt_infos;         // by sample
    int32_t open = 0;
  };

  int32_t pick(int32_t min, int32_t max) { return std::uniform_int_distribution<int32_t>(min, max)(rng_); }
  bool chance(int32_t percent) { return pick(1, 100) <= percent; }

  FakeOptions draw_fake() {
    FakeOptions options;
    options.limits = executor::fake_limits();
    executor::Limits& limits = options.limits;
    limits.block_tokens = pick(1, 5);
    limits.block_count = pick(4, chance(25) ? 200 : 40);
    limits.slot_count = pick(1, 8);
    limits.step_sequences_max = pick(1, 8);
    limits.step_rows_max = pick(1, 24);
    limits.step_samples_max = pick(8, 24);
    limits.context_tokens_max = pick(8, 64);
    limits.pipeline_depth = pick(1, 3);
    arrival_percent_ = pick(2, 40);
    burst_max_ = chance(30) ? pick(2, 12) : 1;
    cancel_percent_ = pick(0, 12);
    many_percent_ = pick(0, 60);
    resets_permille_ = chance(50) ? 0 : pick(1, 20);
    if (chance(20)) options.not_finite_every = 97;
    return options;
  }

  Options draw_options() {
    Options options;
    fcfs_ = chance(50);
    options.policy = fcfs_ ? SchedulingPolicy::kFcfs : SchedulingPolicy::kPriority;
    options.running_max = pick(0, 6);
    options.step_tokens_max = chance(50) ? 0 : pick(1, 16);
    options.prefix_caching = chance(75);
    return options;
  }

  Request draw_request() {
    Request request;
    const int32_t length = pick(1, std::max(1, scheduler_.context_tokens_max() - 1));
    // Few distinct prefixes, and next turns of what was said before, so that blocks are shared.
    const int32_t family = pick(0, 3);
    const int32_t shared = pick(0, length);
    if (!said_.empty() && chance(30)) {
      const std::vector<TokenId>& earlier = said_[static_cast<size_t>(pick(0, 7)) % said_.size()];
      request.prompt.assign(earlier.begin(),
                            earlier.begin() + std::min<int64_t>(length, std::ssize(earlier)));
    }
    for (auto i = static_cast<int32_t>(request.prompt.size()); i < length; ++i)
      request.prompt.push_back(i < shared ? (family * 7 + i * 3) % 50 : pick(0, 49));
    request.max_tokens = pick(1, 20);
    request.n = chance(many_percent_) ? pick(2, 4) : 1;
    request.priority = pick(-2, 2);
    if (chance(20)) request.cache_salt = chance(50) ? "a" : "b";
    request.spec.temperature = chance(50) ? 0.0f : 1.0f;
    request.spec.seed = static_cast<uint64_t>(pick(0, 1 << 20));
    request.spec.min_tokens = pick(0, 3);
    if (chance(70)) request.spec.stop_ids = {pick(0, 49)};
    if (chance(10)) request.spec.allowed_ids = {pick(0, 20), pick(21, 49)};
    if (chance(10)) request.spec.bad_words = {{pick(0, 49)}, {pick(0, 49), pick(0, 49)}};
    if (chance(10)) request.spec.logit_bias = {{pick(0, 49), -100.0f}};
    if (chance(20)) request.spec.logprobs = pick(0, 5);
    if (chance(25)) request.guide = std::make_shared<StepGuideSource>(pick(3, 40));
    if (chance(15)) request.prompt_logprobs = pick(0, 3);
    return request;
  }

  void arrive() {
    Request request = draw_request();
    if (!scheduler_.check(request).ok()) return;
    ++report_.requests;
    if (request.n > 1) ++report_.forks;
    const auto n = static_cast<size_t>(request.n);
    Live live{request, std::vector<std::vector<TokenEvent>>(n), std::vector<PromptInfo>(n), request.n};
    live_.emplace(scheduler_.add(std::move(request), ++now_), std::move(live));
  }

  void cancel_one() {
    if (live_.empty()) return;
    auto it = live_.begin();
    std::advance(it, pick(0, static_cast<int32_t>(live_.size()) - 1));
    std::vector<SchedulerEvent> events;
    const int32_t sample_idx = chance(40) ? -1 : chance(40) ? 0 : pick(0, it->second.request.n - 1);
    scheduler_.cancel(it->first, sample_idx, events);
    take(events);
    scheduler_.check_invariants();
  }

  void step() {
    ++report_.steps;
    ++now_;
    const Sequence* first = scheduler_.first_running();
    if (scheduler_.steps_in_flight() < fake_.limits.pipeline_depth && scheduler_.plan(batch_, now_)) {
      scheduler_.submitted(executor_.submit(batch_));
    }
    scheduler_.check_invariants();
    check_order();
    if (first != nullptr && first->state != SequenceState::kRunning) fail("the first in order was preempted");
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
      auto& told = live.events[static_cast<size_t>(event.event.sample_idx)];
      if (!told.empty() && told.back().finish != FinishReason::kNone)
        return fail(fmt::format("request {}: event after the end", event.key));
      if (event.prompt_info)
        live.prompt_infos[static_cast<size_t>(event.event.sample_idx)] = *event.prompt_info;
      if (event.event.has_token && told.empty() && !event.prompt_info)
        return fail(fmt::format("request {}: a first token without facts of the prompt", event.key));
      told.push_back(event.event);
      if (event.event.finish == FinishReason::kNone) continue;
      --live.open;
      if (event.request_done != (live.open == 0))
        return fail(fmt::format("request {}: wrong end", event.key));
      if (event.event.finish == FinishReason::kCancelled) ++report_.cancelled;
      if (event.event.finish == FinishReason::kError) ++report_.failed;
      if (!event.request_done) continue;
      for (int32_t sample = 0; sample < live.request.n; ++sample) compare_with_solo(live, sample);
      ++report_.finished;
      live_.erase(it);
    }
  }

  void compare_with_solo(const Live& live, int32_t sample) {
    FakeOptions options = fake_;
    options.limits = executor::fake_limits();
    options.limits.step_rows_max = 64;
    options.limits.step_samples_max = 65;
    FakeExecutor executor(options);
    const SoloAnswer solo = run_solo(executor, live.request, sample, scheduler_.context_tokens_max());
    const std::vector<TokenEvent>& told = live.events[static_cast<size_t>(sample)];
    const bool cancelled = told.back().finish == FinishReason::kCancelled;
    const size_t compared = told.size() - (cancelled ? 1 : 0);
    if (cancelled ? compared >= solo.events.size() : compared != solo.events.size())
      return fail(fmt::format("sample {}: {} events instead of {}", sample, compared, solo.events.size()));
    for (size_t i = 0; i < compared; ++i) {
      const TokenEvent &got = told[i], &wanted = solo.events[i];
      if (got.has_token != wanted.has_token || got.token != wanted.token || got.finish != wanted.finish ||
          got.stop_token != wanted.stop_token)
        return fail(fmt::format("sample {} token {}: {} instead of {}", sample, i, got.token, wanted.token));
      if (!(got.logprobs == wanted.logprobs))
        return fail(fmt::format("sample {} token {}: other logprobs", sample, i));
    }
    if (compared == 0) return;
    std::vector<TokenId>& said =
        said_.size() < 8 ? said_.emplace_back() : said_[static_cast<size_t>(pick(0, 7))];
    said = live.request.prompt;
    for (size_t i = 0; i < compared; ++i) {
      if (told[i].has_token) said.push_back(told[i].token);
    }
    const PromptInfo& info = live.prompt_infos[static_cast<size_t>(sample)];
    if (!(info.prompt_logprobs == solo.prompt_logprobs))
      return fail(fmt::format("sample {}: {} prompt logprobs, expected {}, or other ones", sample,
                              info.prompt_logprobs.size(), solo.prompt_logprobs.size()));
    if (info.cached_tokens >= std::ssize(live.request.prompt) ||
        info.cached_tokens % fake_.limits.block_tokens != 0)
      return fail(fmt::format("sample {}: {} cached tokens", sample, info.cached_tokens));
    if (sample == 0) report_.cached_tokens += info.cached_tokens;
  }

  void check_order() {
    if (live_.empty()) return;
    if (live_.begin()->first != oldest_) {
      oldest_ = live_.begin()->first;
      oldest_since_ = report_.steps;
    }
    if (!fcfs_) return;
    if (report_.steps - oldest_since_ > kOldestStepsMax) fail("the oldest request does not get on");
    bool waiting = false;
    for (const auto& [key, live] : live_) {
      const bool scheduled = scheduler_.find(key)->times.scheduled_us != 0;
      if (scheduled && waiting) fail(fmt::format("request {} overtook an older one", key));
      waiting = waiting || !scheduled;
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

  // The draws of the world come before what is built from them.
  std::mt19937_64 rng_;
  bool fcfs_ = true;
  int32_t arrival_percent_ = 10, burst_max_ = 1, cancel_percent_ = 3, many_percent_ = 20;
  int32_t resets_permille_ = 0;
  FakeOptions fake_;
  FakeExecutor executor_;
  Scheduler scheduler_;
  std::map<RequestKey, Live> live_;
  std::vector<std::vector<TokenId>> said_;  // prompts and answers of some requests that ended
  executor::StepBatch batch_;
  executor::StepResult result_;
  int64_t now_ = 0;
  RequestKey oldest_ = -1;
  int64_t oldest_since_ = 0;
  SimulationReport report_;
};

}  // namespace

namespace {

// A signal handler can see nothing but globals.
std::atomic<uint64_t> seed_under_test = 0;

extern "C" void tell_seed(int) {
  char line[] = "simulation: seed 00000000000000000000\n";
  uint64_t rest = seed_under_test;
  for (char* digit = line + sizeof(line) - 3; *digit == '0'; --digit) {
    *digit = static_cast<char>('0' + rest % 10);
    rest /= 10;
  }
  // Nothing can be done if standard error is closed.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, sizeof(line) - 1);
}

}  // namespace

void tell_seed_on_abort() {
  std::signal(SIGABRT, tell_seed);
}

SimulationReport simulate(uint64_t seed, int64_t steps) {
  seed_under_test = seed;
  return World(seed).run(steps);
}

}  // namespace minimax::engine
