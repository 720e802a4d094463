#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/solo_run.h"
#include "executor/fake.h"

namespace minimax::engine {
namespace {

using executor::fake_limits;
using executor::FakeExecutor;
using executor::Limits;

Request request(int32_t prompt_tokens, int32_t max_tokens, TokenId first = 1) {
  Request out;
  out.prompt.resize(static_cast<size_t>(prompt_tokens));
  std::iota(out.prompt.begin(), out.prompt.end(), first);
  out.max_tokens = max_tokens;
  out.spec.temperature = 0;
  return out;
}

std::vector<TokenEvent> read_all(Stream& stream) {
  std::vector<TokenEvent> events;
  while (stream.take(events)) stream.wait();
  return events;
}

std::vector<TokenId> tokens_of(const std::vector<TokenEvent>& events, int32_t sample_idx = 0) {
  std::vector<TokenId> out;
  for (const TokenEvent& event : events) {
    if (event.sample_idx == sample_idx && event.has_token) out.push_back(event.token);
  }
  return out;
}

std::vector<TokenId> solo_tokens(const Request& wanted, int32_t sample_idx) {
  Limits limits = fake_limits();
  limits.step_rows_max = limits.step_samples_max = 64;
  FakeExecutor executor({.limits = limits});
  return tokens_of(run_solo(executor, wanted, sample_idx, 64).events, sample_idx);
}

// Longer than any test takes.
Limits long_limits() {
  Limits limits = fake_limits();
  limits.context_tokens_max = 1 << 20;
  limits.block_tokens = 1 << 16;
  return limits;
}

TEST(Engine, AStreamGivesTheTokensOfTheRequestAndThenEnds) {
  FakeExecutor executor({.limits = fake_limits()});
  Engine engine(executor, {});
  const Request wanted = request(5, 6);
  auto stream = engine.submit(wanted);
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(tokens_of(read_all(**stream)), solo_tokens(wanted, 0));
  std::vector<TokenEvent> more;
  EXPECT_FALSE((*stream)->take(more));
  EXPECT_TRUE(more.empty());
}

TEST(Engine, NotifyComesForEveryFillingAndAtTheEnd) {
  std::atomic<int> calls = 0;  // outlives the engine, which may notify once more after the end was read
  FakeExecutor executor({.limits = fake_limits()});
  Engine engine(executor, {});
  auto stream = engine.submit(request(5, 3), [&] {
    ++calls;
    calls.notify_one();
  });
  ASSERT_TRUE(stream.ok());
  std::vector<TokenEvent> events;
  for (int seen = 0; (*stream)->take(events);) {
    calls.wait(seen);
    seen = calls;
  }
  EXPECT_EQ(events.size(), 3u);
  EXPECT_GE(calls, 1);
}

TEST(Engine, ReplicasGiveTheTokensOfOneAndShareTheRequests) {
  FakeExecutor first({.limits = fake_limits()}), second({.limits = fake_limits()});
  const std::vector<executor::Executor*> executors = {&first, &second};
  Engine engine(executors, {});
  std::vector<Request> wanted;
  std::vector<std::unique_ptr<Stream>> streams;
  for (int32_t i = 0; i < 6; ++i) {
    wanted.push_back(request(9, 4, 1 + 2 * i));
    auto stream = engine.submit(wanted.back());
    ASSERT_TRUE(stream.ok());
    streams.push_back(std::move(*stream));
  }
  for (size_t i = 0; i < streams.size(); ++i)
    EXPECT_EQ(tokens_of(read_all(*streams[i])), solo_tokens(wanted[i], 0)) << i;
  while (!engine.idle()) std::this_thread::yield();
  const Stats stats = engine.stats();
  ASSERT_EQ(stats.replicas.size(), 2u);
  EXPECT_EQ(stats.generation_tokens, 24);
  EXPECT_EQ(stats.generation_tokens,
            stats.replicas[0].generation_tokens + stats.replicas[1].generation_tokens);
  EXPECT_GT(stats.replicas[0].steps, 0);
  EXPECT_GT(stats.replicas[1].steps, 0);
  EXPECT_EQ(stats.routed_by_load + stats.routed_by_prefix, 6);
  // What one refuses all refuse, with the same words.
  EXPECT_EQ(engine.submit(request(0, 1)).failure().kind, FailureKind::kInvalid);
  engine.drain();
  EXPECT_EQ(engine.submit(request(3, 1)).failure().kind, FailureKind::kUnavailable);
}

TEST(Engine, ReplicasAreOverloadedTogether) {
  FakeExecutor first({.limits = long_limits(), .step_us = 1000}),
      second({.limits = long_limits(), .step_us = 1000});
  const std::vector<executor::Executor*> executors = {&first, &second};
  Engine engine(executors, {.running_max = 1, .waiting_requests_max = 4});
  std::vector<std::unique_ptr<Stream>> streams;
  std::optional<Failure> refused;
  for (int i = 0; i < 20 && !refused; ++i) {
    auto stream = engine.submit(request(3, 1 << 19));
    if (stream.ok()) {
      streams.push_back(std::move(*stream));
    } else {
      refused = stream.failure();
    }
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->message.substr(0, 30), "4 requests are waiting already");
  EXPECT_GE(streams.size(), 4u);
  engine.abort("over");
  for (const auto& stream : streams) EXPECT_EQ(read_all(*stream).back().error, "over");
}

// Loses its device at a step.
class FailingExecutor final : public executor::Executor {
 public:
  FailingExecutor(const executor::FakeOptions& options, int32_t steps, bool at_collect)
      : fake_(options), steps_(steps), at_collect_(at_collect) {}
  const Limits& limits() const override { return fake_.limits(); }
  executor::StepId submit(const executor::StepBatch& batch) override {
    if (!at_collect_ && steps_-- == 0) throw Error("device 3 is lost");
    return fake_.submit(batch);
  }
  void collect(executor::StepId step, executor::StepResult& result) override {
    if (at_collect_ && steps_-- == 0) throw Error("device 3 is lost");
    fake_.collect(step, result);
  }
  executor::Report report() const override { return fake_.report(); }

 private:
  FakeExecutor fake_;
  int32_t steps_;
  bool at_collect_;
};

TEST(Engine, ALostExecutorEndsAllStreamsOfAllReplicasWithTheReason) {
  for (const int32_t depth : {1, 2}) {
    for (const bool at_collect : {false, true}) {
      Limits limits = long_limits();
      limits.pipeline_depth = depth;
      FailingExecutor first({.limits = limits}, 5, at_collect);
      FakeExecutor second({.limits = limits, .step_us = 100});
      const std::vector<executor::Executor*> executors = {&first, &second};
      Engine engine(executors, {});
      std::atomic<int> calls = 0;
      engine.on_failure([&](const std::string& reason) {
        EXPECT_NE(reason.find("device 3 is lost"), std::string::npos);
        ++calls;
      });
      std::vector<std::unique_ptr<Stream>> streams;
      for (int i = 0; i < 4; ++i) {
        Request wanted = request(3, 1 << 19, 1 + i);
        wanted.n = 1 + i % 2;
        auto stream = engine.submit(std::move(wanted));
        if (stream.ok()) streams.push_back(std::move(*stream));
      }
      ASSERT_GE(streams.size(), 1u);
      for (const auto& stream : streams) {
        const std::vector<TokenEvent> events = read_all(*stream);
        ASSERT_FALSE(events.empty());
        EXPECT_EQ(events.back().finish, FinishReason::kError);
        EXPECT_NE(events.back().error.find("device 3 is lost"), std::string::npos);
        EXPECT_EQ(events.back().error_kind, FailureKind::kUnavailable);
      }
      while (calls == 0) std::this_thread::yield();
      EXPECT_NE(engine.failure().find("device 3 is lost"), std::string::npos);
      const auto refused = engine.submit(request(3, 1));
      ASSERT_FALSE(refused.ok());
      EXPECT_EQ(refused.failure().kind, FailureKind::kUnavailable);
      engine.on_failure([&](const std::string&) { ++calls; });  // late, and told at once
      EXPECT_EQ(calls, 2);
    }
  }
}

TEST(Engine, MayBeToldThatItsExecutorIsLost) {
  FakeExecutor executor({.limits = long_limits()});
  Engine engine(executor, {});
  auto stream = engine.submit(request(3, 1 << 19));
  ASSERT_TRUE(stream.ok());
  std::atomic<int> calls = 0;
  engine.on_failure([&](const std::string&) { ++calls; });
  engine.fail("host 1 has ended");
  engine.fail("host 2 has ended");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(read_all(**stream).back().error, "The model has failed and the server ends: host 1 has ended");
  EXPECT_EQ(engine.failure(), "The model has failed and the server ends: host 1 has ended");
  EXPECT_FALSE(engine.submit(request(3, 1)).ok());
}

TEST(Engine, AFullQueueIsOverloadedAndADrainingEngineUnavailable) {
  FakeExecutor executor({.limits = long_limits(), .step_us = 1000});
  Engine engine(executor, {.running_max = 1, .waiting_requests_max = 2});
  std::vector<std::unique_ptr<Stream>> streams;
  std::optional<Failure> refused;
  for (int i = 0; i < 10 && !refused; ++i) {
    auto stream = engine.submit(request(3, 1 << 19));
    if (stream.ok()) {
      streams.push_back(std::move(*stream));
    } else {
      refused = stream.failure();
    }
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->kind, FailureKind::kOverloaded);
  EXPECT_LE(streams.size(), 3u);
  EXPECT_FALSE(engine.idle());
  engine.drain();
  EXPECT_EQ(engine.submit(request(3, 1)).failure().kind, FailureKind::kUnavailable);
  for (const auto& stream : streams) stream->cancel();
  for (const auto& stream : streams) EXPECT_EQ(read_all(*stream).back().finish, FinishReason::kCancelled);
  while (!engine.idle()) std::this_thread::yield();
}

TEST(Engine, DroppingTheStreamCancels) {
  FakeExecutor executor({.limits = long_limits()});
  Engine engine(executor, {.running_max = 1});
  engine.submit(request(3, 1 << 19)).value().reset();
  auto next = engine.submit(request(3, 2));
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(tokens_of(read_all(**next)).size(), 2u);
}

TEST(Engine, TheEndOfTheEngineEndsEveryStream) {
  FakeExecutor executor({.limits = long_limits()});
  std::vector<std::unique_ptr<Stream>> streams;
  {
    Engine engine(executor, {.running_max = 2});
    for (int i = 0; i < 6; ++i) streams.push_back(std::move(engine.submit(request(3, 1 << 19)).value()));
  }
  for (const auto& stream : streams) {
    EXPECT_EQ(read_all(*stream).back().finish, FinishReason::kCancelled);
    stream->cancel();  // nobody listens any more, and that is fine
  }
}

TEST(Engine, AnAbortEndsWhatRunsAndWaitsWithItsSentence) {
  for (const int32_t depth : {1, 2}) {
    Limits limits = long_limits();
    limits.pipeline_depth = depth;
    FakeExecutor executor({.limits = limits});
    Engine engine(executor, {.running_max = 2});
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < 6; ++i) streams.push_back(std::move(engine.submit(request(3, 1 << 19)).value()));
    streams.front()->wait();
    engine.abort("Enough.");
    for (const auto& stream : streams) {
      const TokenEvent last = read_all(*stream).back();
      EXPECT_EQ(last.finish, FinishReason::kError);
      EXPECT_EQ(last.error, "Enough.");
    }
    // And goes on.
    auto next = engine.submit(request(3, 2));
    ASSERT_TRUE(next.ok());
    EXPECT_EQ(tokens_of(read_all(**next)).size(), 2u);
  }
}

TEST(Engine, ForgetsItsPrefixCacheWhenTold) {
  FakeExecutor executor({.limits = fake_limits()});
  Engine engine(executor, {});
  const auto cached = [&] {
    auto stream = engine.submit(request(9, 1));
    read_all(**stream);
    return (*stream)->prompt_info().cached_tokens;
  };
  EXPECT_EQ(cached(), 0);
  EXPECT_EQ(cached(), 8);
  engine.reset_prefix_cache();
  EXPECT_EQ(cached(), 0);
}

class CountingObserver final : public Observer {
 public:
  void on_step(int64_t) override { ++steps; }
  void on_first_token(int64_t since_arrival_us) override { first += since_arrival_us >= 0; }
  void on_next_token(int64_t since_previous_us) override { next += since_previous_us >= 0; }
  void on_finished(const RequestTimes& times) override {
    ++finished;
    tokens += times.generation_tokens;
  }
  std::atomic<int64_t> steps = 0, first = 0, next = 0, finished = 0, tokens = 0;
};

TEST(Engine, TheObserverSeesEveryTokenAndEnd) {
  FakeExecutor executor({.limits = fake_limits()});
  CountingObserver observer;
  {
    Engine engine(executor, {}, &observer);
    for (int i = 0; i < 5; ++i) read_all(**engine.submit(request(4, 6)));
    EXPECT_EQ(engine.stats().prompt_tokens, 20);
  }
  EXPECT_EQ(observer.first, 5);
  EXPECT_EQ(observer.next, 25);
  EXPECT_EQ(observer.finished, 5);
  EXPECT_EQ(observer.tokens, 30);
  EXPECT_GT(observer.steps, 0);
}

// '|' for a step, then 'F' for a first token and 'n' for a next one.
class OrderObserver final : public Observer {
 public:
  void on_step(int64_t) override { order += '|'; }
  void on_first_token(int64_t) override { order += 'F'; }
  void on_next_token(int64_t) override { order += 'n'; }
  void on_finished(const RequestTimes&) override {}
  std::string order;  // the engine thread's
};

TEST(Engine, AFirstTokenDoesNotWaitForOthersOfItsStep) {
  Limits limits = long_limits();
  limits.pipeline_depth = 1;
  FakeExecutor executor({.limits = limits});
  OrderObserver observer;
  {
    Engine engine(executor, {}, &observer);
    auto running = engine.submit(request(4, 1 << 19));
    ASSERT_TRUE(running.ok());
    (*running)->wait();
    for (int i = 0; i < 3; ++i) read_all(**engine.submit(request(4, 2)));
  }
  EXPECT_EQ(std::ranges::count(observer.order, 'F'), 4);
  EXPECT_NE(observer.order.find("|Fn"), std::string::npos) << "a first token beside a next one";
  EXPECT_EQ(observer.order.find("nF"), std::string::npos);
}

// Several threads submit, read, cancel and vanish; who stays gets the tokens of a solo run.
void stress(int32_t pipeline_depth, uint32_t seed) {
  Limits limits = fake_limits();
  limits.pipeline_depth = pipeline_depth;
  limits.block_count = 20;
  FakeExecutor executor({.limits = limits});
  CountingObserver observer;
  constexpr int kThreads = 4, kRequests = 60;
  std::atomic<int> wrong = 0, complete = 0;
  {
    Engine engine(executor, {.running_max = 6, .waiting_requests_max = 1000}, &observer);
    const auto client = [&](uint32_t client_seed) {
      std::mt19937 rng(client_seed);
      for (int i = 0; i < kRequests; ++i) {
        Request wanted = request(1 + static_cast<int32_t>(rng() % 20), 1 + static_cast<int32_t>(rng() % 12),
                                 static_cast<TokenId>(rng() % 3));
        wanted.n = 1 + static_cast<int32_t>(rng() % 3);
        wanted.spec.temperature = 1;
        wanted.spec.seed = rng();
        auto stream = engine.submit(wanted);
        if (!stream.ok()) {
          ++wrong;
          continue;
        }
        const uint32_t fate = rng() % 4;
        if (fate == 0) continue;  // vanishes
        if (fate == 1) (*stream)->cancel(static_cast<int32_t>(rng() % 3) - 1);
        const std::vector<TokenEvent> events = read_all(**stream);
        if (fate == 1) continue;
        for (int32_t sample = 0; sample < wanted.n; ++sample)
          wrong += tokens_of(events, sample) != solo_tokens(wanted, sample);
        ++complete;
      }
    };
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < kThreads; ++i) threads.emplace_back(client, seed + i);
    for (std::thread& thread : threads) thread.join();
    while (!engine.idle()) std::this_thread::yield();
    EXPECT_EQ(engine.stats().kv_cache_usage, 0);
    EXPECT_EQ(engine.stats().requests_running, 0);
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(complete, kThreads * kRequests / 4);
  EXPECT_EQ(observer.finished, kThreads * kRequests);
}

TEST(Engine, ManyThreadsOneStepAtATime) {
  stress(1, 100);
}
TEST(Engine, ManyThreadsTwoStepsInFlight) {
  stress(2, 200);
}

}  // namespace
}  // namespace minimax::engine
