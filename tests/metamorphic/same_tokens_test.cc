// The same request gives the same tokens and the same bits of log-probabilities, whatever runs beside it and
// however the server is set up: with real weights, the real scheduler and the real back-ends. The yardstick
// is run_solo: one sample alone, straight against an executor, its prompt in one step.

#include <algorithm>
#include <bit>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "backend/cpu/kv.h"
#include "backend/factory.h"
#include "backend/ref/forward.h"
#include "base/check.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "engine/solo_run.h"
#include "model/test_checkpoint.h"
#include "tokenizer/tokenizer.h"

namespace minimax::engine {
namespace {

using backend::common::KvDtype;

constexpr int32_t kPlentyOfRows = 512;

// ---------------------------------------------------------------------------------------------------------------
// Models and requests.

struct Subject {
  const model::ModelView* view = nullptr;
  std::string backend;
  int32_t vocab_size = 0;
  std::vector<TokenId> text;  // what prompts are cut from
};

const Subject& tiny_on_cpu() {
  static const std::filesystem::path dir = std::filesystem::path(MINIMAX_SOURCE_DIR) / "models/tiny-m2";
  static const model::ModelConfig config = model::load_config(dir);
  static const model::Checkpoint checkpoint = model::Checkpoint::open(dir);
  static const model::ModelView view = model::bind_tensors(checkpoint, config.shape);
  static const Subject subject = [] {
    const auto tokenizer = tokenizer::Tokenizer::load(dir);
    std::string text;
    for (int i = 0; i < 40; ++i) {
      text += fmt::format("What is {} plus {}? The answer is {}.\nCount from {} to {}, please: ", i, 3 * i,
                          4 * i, i, i + 3);
    }
    return Subject{&view, "cpu", tokenizer.size(), tokenizer.encode(text, false)};
  }();
  return subject;
}

const Subject& synth_on(const std::string& backend) {
  static const model::TestCheckpoint checkpoint(model::small_test_shape());
  static const auto make = [](const char* name) {
    Subject subject{&checkpoint.view(), name, 500, {}};
    for (int32_t i = 0; i < 400; ++i) subject.text.push_back((i * 131 + i * i * 7) % 500);
    return subject;
  };
  static const Subject ref = make("ref"), cpu = make("cpu");
  return backend == "ref" ? ref : cpu;
}

std::vector<TokenId> cut(const Subject& subject, size_t first, size_t count) {
  CHECK_LE(first + count, subject.text.size());
  const auto begin = subject.text.begin() + static_cast<ptrdiff_t>(first);
  return {begin, begin + static_cast<ptrdiff_t>(count)};
}

Request make_request(std::vector<TokenId> prompt, int32_t max_tokens, float temperature, uint64_t seed) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.spec.temperature = temperature;
  request.spec.seed = seed;
  request.spec.logprobs = 3;
  return request;
}

// One request of each kind. The prompts of some begin alike, so that the prefix cache has something to do.
std::vector<Request> probes(const Subject& subject, int32_t max_tokens) {
  std::vector<Request> out;
  out.push_back(make_request(cut(subject, 0, 70), max_tokens, 0, 0));  // greedy

  out.push_back(make_request(cut(subject, 0, 61), max_tokens, 1.0f, 11));  // cut-offs
  out.back().spec.top_p = 0.95f;
  out.back().spec.top_k = 40;

  out.push_back(make_request(cut(subject, 5, 33), max_tokens, 0.8f, 12));  // penalties
  out.back().spec.repetition_penalty = 1.2f;
  out.back().spec.presence_penalty = 0.5f;
  out.back().spec.frequency_penalty = 0.3f;
  out.back().spec.min_p = 0.02f;

  out.push_back(make_request(cut(subject, 0, 45), max_tokens, 1.3f, 13));  // two samples of one prompt
  out.back().n = 2;

  out.push_back(make_request(cut(subject, 9, 40), max_tokens, 0, 0));  // the prompt's own log-probabilities
  out.back().prompt_logprobs = 2;
  out.back().spec.frequency_penalty = 0.7f;

  out.push_back(make_request(cut(subject, 3, 1), max_tokens, 1.0f, 14));  // the shortest prompt
  return out;
}

std::vector<Request> mates(const Subject& subject, int32_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](size_t low, size_t high) { return low + random() % (high - low + 1); };
  std::vector<Request> out;
  for (int32_t i = 0; i < count; ++i) {
    out.push_back(make_request(cut(subject, pick(0, 20), pick(1, 90)), static_cast<int32_t>(pick(1, 20)),
                               static_cast<float>(pick(0, 2)) * 0.7f, random()));
    out.back().n = static_cast<int32_t>(pick(1, 2));
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------------------
// Answers.

struct Answer {
  std::vector<std::vector<TokenEvent>> samples;
  std::vector<TokenLogprobs> prompt_logprobs;
  int32_t cached_tokens = 0;

  std::vector<TokenId> tokens(size_t sample) const {
    std::vector<TokenId> out;
    for (const TokenEvent& event : samples[sample])
      if (event.has_token) out.push_back(event.token);
    return out;
  }
};

// In words, floats by their bits: two answers are the same if and only if these lines are.
std::string in_words(const TokenLogprobs& logprobs) {
  std::string out = fmt::format("{:08x} rank {}", std::bit_cast<uint32_t>(logprobs.logprob), logprobs.rank);
  for (const LogprobEntry& entry : logprobs.top)
    out += fmt::format(" {}:{:08x}", entry.token, std::bit_cast<uint32_t>(entry.logprob));
  return out;
}

std::vector<std::string> in_words(const Answer& answer) {
  std::vector<std::string> out;
  for (size_t i = 0; i < answer.samples.size(); ++i) {
    for (const TokenEvent& event : answer.samples[i]) {
      out.push_back(fmt::format("sample {} token {} finish {} {}", i, event.has_token ? event.token : -1,
                                static_cast<int>(event.finish), in_words(event.logprobs)));
    }
  }
  for (const TokenLogprobs& score : answer.prompt_logprobs) out.push_back("prompt " + in_words(score));
  return out;
}

void expect_same(const std::vector<Answer>& expected, const std::vector<Answer>& found) {
  ASSERT_LE(expected.size(), found.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(fmt::format("request {}", i));
    EXPECT_EQ(in_words(expected[i]), in_words(found[i]));
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Ways to run them.

struct Conditions {
  std::string name = {};
  int32_t chunk = kPlentyOfRows;  // rows a step
  int32_t block_tokens = 16;
  int32_t block_count = 256;
  int32_t threads = 1;
  bool prefix_caching = true;
  int32_t mates = 0;
  uint64_t order = 0;  // seed of the moments at which requests come; 0: all at once
  KvDtype kv_dtype = KvDtype::kBf16;
};

std::unique_ptr<executor::Executor> make_executor(const Subject& subject, const Conditions& setup) {
  const int64_t block_bytes =
      subject.backend == "cpu"
          ? backend::cpu::KvPool::block_bytes(subject.view->shape, setup.block_tokens, setup.kv_dtype)
          : backend::ref::KvCache::bytes_of_block(subject.view->shape, setup.block_tokens, setup.kv_dtype);
  backend::ExecutorOptions options;
  options.name = subject.backend;
  options.threads = subject.backend == "cpu" ? setup.threads : 0;
  options.block_tokens = setup.block_tokens;
  options.kv_dtype = setup.kv_dtype;
  options.kv_bytes = block_bytes * setup.block_count;
  options.step_rows_max = kPlentyOfRows;
  options.step_sequences_max = 8;
  options.context_tokens_max = 256;
  options.vocab_size = subject.vocab_size;
  return backend::make_executor(*subject.view, options);
}

// A scheduler and an executor, driven step by step, so that a run can be repeated.
class Server {
 public:
  Server(const Subject& subject, const Conditions& setup)
      : executor_(make_executor(subject, setup)),
        scheduler_(executor_->limits(),
                   {.step_tokens_max = setup.chunk, .prefix_caching = setup.prefix_caching}),
        random_(setup.order),
        all_at_once_(setup.order == 0) {}

  std::vector<Answer> answer(const std::vector<Request>& requests) {
    std::vector<Answer> answers(requests.size());
    std::vector<size_t> order(requests.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (!all_at_once_) std::shuffle(order.begin(), order.end(), random_);
    std::map<RequestKey, size_t> of_key;
    for (size_t next = 0; next < order.size() || !scheduler_.idle();) {
      while (next < order.size() && (all_at_once_ || scheduler_.idle() || random_() % 3 == 0)) {
        const size_t i = order[next++];
        CHECK(scheduler_.check(requests[i]).ok());
        answers[i].samples.resize(static_cast<size_t>(requests[i].n));
        of_key[scheduler_.add(requests[i], ++now_us_)] = i;
      }
      step(of_key, answers);
    }
    return answers;
  }
  Stats stats() const { return scheduler_.stats(); }

 private:
  void step(const std::map<RequestKey, size_t>& of_key, std::vector<Answer>& answers) {
    ++now_us_;
    if (scheduler_.steps_in_flight() < executor_->limits().pipeline_depth && scheduler_.plan(batch_, now_us_))
      scheduler_.submitted(executor_->submit(batch_));
    CHECK_GT(scheduler_.steps_in_flight(), 0);
    const executor::StepId oldest = scheduler_.oldest_step();
    executor_->collect(oldest, result_);
    std::vector<SchedulerEvent> events;
    scheduler_.collected(oldest, result_, now_us_, events);
    for (SchedulerEvent& event : events) {
      Answer& answer = answers[of_key.at(event.key)];
      if (event.prompt_info) {
        answer.prompt_logprobs = event.prompt_info->prompt_logprobs;
        answer.cached_tokens = event.prompt_info->cached_tokens;
      }
      answer.samples[static_cast<size_t>(event.event.sample_idx)].push_back(std::move(event.event));
    }
  }

  std::unique_ptr<executor::Executor> executor_;
  Scheduler scheduler_;
  std::mt19937_64 random_;
  bool all_at_once_;
  int64_t now_us_ = 0;
  executor::StepBatch batch_;
  executor::StepResult result_;
};

std::vector<Answer> answer_alone(const Subject& subject, const std::vector<Request>& requests,
                                 KvDtype kv_dtype = KvDtype::kBf16) {
  const auto executor = make_executor(subject, {.kv_dtype = kv_dtype});
  std::vector<Answer> answers;
  for (const Request& request : requests) {
    Answer& answer = answers.emplace_back();
    for (int32_t i = 0; i < request.n; ++i) {
      SoloAnswer solo = run_solo(*executor, request, i, executor->limits().context_tokens_max);
      answer.samples.push_back(std::move(solo.events));
      if (i == 0) answer.prompt_logprobs = std::move(solo.prompt_logprobs);
    }
  }
  return answers;
}

constexpr int32_t kOutput = 20;

const std::vector<Answer>& tiny_alone(KvDtype kv_dtype = KvDtype::kBf16) {
  static const auto answers_with = [](KvDtype dtype) {
    return answer_alone(tiny_on_cpu(), probes(tiny_on_cpu(), kOutput), dtype);
  };
  static const std::vector<Answer> bf16 = answers_with(KvDtype::kBf16), fp8 = answers_with(KvDtype::kFp8);
  return kv_dtype == KvDtype::kBf16 ? bf16 : fp8;
}

std::vector<Request> with_mates(const Subject& subject, std::vector<Request> requests, int32_t count,
                                uint64_t seed) {
  for (Request& mate : mates(subject, count, seed)) requests.push_back(std::move(mate));
  return requests;
}

// ---------------------------------------------------------------------------------------------------------------
// The properties.

class SameTokens : public testing::TestWithParam<Conditions> {};

TEST_P(SameTokens, HoweverTheServerIsSetUp) {
  const Conditions& setup = GetParam();
  Server server(tiny_on_cpu(), setup);
  const auto requests =
      with_mates(tiny_on_cpu(), probes(tiny_on_cpu(), kOutput), setup.mates, setup.order + 100);
  expect_same(tiny_alone(setup.kv_dtype), server.answer(requests));
}

INSTANTIATE_TEST_SUITE_P(
    Servers, SameTokens,
    testing::Values(
        Conditions{.name = "together"}, Conditions{.name = "no_prefix_cache", .prefix_caching = false},
        Conditions{.name = "chunk_1", .chunk = 1}, Conditions{.name = "chunk_7", .chunk = 7},
        Conditions{.name = "chunk_64", .chunk = 64},
        Conditions{.name = "chunk_7_no_cache", .chunk = 7, .prefix_caching = false},
        Conditions{.name = "blocks_of_32", .block_tokens = 32, .block_count = 128},
        Conditions{.name = "blocks_of_48", .block_tokens = 48, .block_count = 64},
        Conditions{.name = "blocks_of_64", .block_tokens = 64, .block_count = 64},
        Conditions{.name = "two_threads", .threads = 2}, Conditions{.name = "mates", .mates = 8, .order = 1},
        Conditions{.name = "mates_in_another_order", .mates = 8, .order = 2},
        Conditions{.name = "mates_chunk_7_two_threads", .chunk = 7, .threads = 2, .mates = 8, .order = 3},
        Conditions{.name = "mates_chunk_64_blocks_of_32",
                   .chunk = 64,
                   .block_tokens = 32,
                   .block_count = 128,
                   .mates = 8,
                   .order = 4},
        Conditions{.name = "fp8_kv_together", .kv_dtype = KvDtype::kFp8},
        Conditions{.name = "fp8_kv_chunk_1", .chunk = 1, .kv_dtype = KvDtype::kFp8},
        Conditions{.name = "fp8_kv_chunk_7_no_cache",
                   .chunk = 7,
                   .prefix_caching = false,
                   .kv_dtype = KvDtype::kFp8},
        Conditions{
            .name = "fp8_kv_blocks_of_48", .block_tokens = 48, .block_count = 64, .kv_dtype = KvDtype::kFp8},
        Conditions{.name = "fp8_kv_mates_chunk_7_two_threads",
                   .chunk = 7,
                   .threads = 2,
                   .mates = 8,
                   .order = 3,
                   .kv_dtype = KvDtype::kFp8}),
    [](const auto& param) { return param.param.name; });

TEST(SameTokensAfter, PreemptionsInATinyPool) {
  for (const KvDtype kv_dtype : {KvDtype::kBf16, KvDtype::kFp8}) {
    int64_t preemptions = 0;  // not every order of arrival comes to one
    for (const uint64_t order : {0, 5, 6, 7}) {
      SCOPED_TRACE(fmt::format("order {}, KV in {}", order, model::name_of(kv_dtype)));
      Server server(tiny_on_cpu(), {.chunk = 64, .block_count = 10, .order = order, .kv_dtype = kv_dtype});
      expect_same(tiny_alone(kv_dtype),
                  server.answer(with_mates(tiny_on_cpu(), probes(tiny_on_cpu(), kOutput), 6, order)));
      preemptions += server.stats().preemptions;
    }
    EXPECT_GE(preemptions, 3);
  }
}

TEST(SameTokensAfter, AHitOfTheWholePrompt) {
  for (const KvDtype kv_dtype : {KvDtype::kBf16, KvDtype::kFp8}) {
    SCOPED_TRACE(model::name_of(kv_dtype));
    Server server(tiny_on_cpu(), {.kv_dtype = kv_dtype});
    const auto requests = probes(tiny_on_cpu(), kOutput);
    expect_same(tiny_alone(kv_dtype), server.answer(requests));
    const std::vector<Answer> warm = server.answer(requests);
    expect_same(tiny_alone(kv_dtype), warm);
    // All blocks but that of the last token: its row is computed for its logits.
    EXPECT_EQ(warm[0].cached_tokens, 64);
    EXPECT_EQ(warm[1].cached_tokens, 48);
    EXPECT_EQ(warm[4].cached_tokens, 0) << "prompt_logprobs needs every row";
  }
}

// The blocks that the answers of the first turn left behind are those of the second turn's prompt.
TEST(SameTokensAfter, NextTurnsOnBlocksOfAnswers) {
  std::vector<Request> second = probes(tiny_on_cpu(), kOutput);
  for (size_t i = 0; i < second.size(); ++i) {
    for (const TokenId token : tiny_alone()[i].tokens(0)) second[i].prompt.push_back(token);
    for (const TokenId token : cut(tiny_on_cpu(), 50 + i, 7)) second[i].prompt.push_back(token);
  }
  const std::vector<Answer> alone = answer_alone(tiny_on_cpu(), second);
  for (const int32_t chunk : {7, 512}) {
    Server server(tiny_on_cpu(), {.chunk = chunk});
    const auto first = probes(tiny_on_cpu(), kOutput);
    expect_same(tiny_alone(), server.answer(first));
    const std::vector<Answer> found = server.answer(second);
    expect_same(alone, found);
    for (const size_t i : {0, 1, 2, 3, 5})
      EXPECT_GT(found[i].cached_tokens, std::ssize(first[i].prompt)) << "request " << i;
  }
}

TEST(SameTokensThrough, TheEngineAndItsThread) {
  const auto executor = make_executor(tiny_on_cpu(), {.block_count = 12});
  Engine engine(*executor, {.step_tokens_max = 32});
  const auto requests = with_mates(tiny_on_cpu(), probes(tiny_on_cpu(), kOutput), 4, 9);
  std::vector<std::unique_ptr<Stream>> streams;
  for (const Request& request : requests) {
    auto stream = engine.submit(request);
    ASSERT_TRUE(stream.ok());
    streams.push_back(std::move(stream).value());
  }
  streams.back()->cancel();  // what becomes of a mate is nobody's business
  std::vector<Answer> answers(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    answers[i].samples.resize(static_cast<size_t>(requests[i].n));
    std::vector<TokenEvent> events;
    for (bool more = true; more;) {
      streams[i]->wait();
      more = streams[i]->take(events);
    }
    for (TokenEvent& event : events)
      answers[i].samples[static_cast<size_t>(event.sample_idx)].push_back(std::move(event));
    answers[i].prompt_logprobs = streams[i]->prompt_info().prompt_logprobs;
  }
  expect_same(tiny_alone(), answers);
}

// The same on random weights, where no two logits are far apart, and on the reference back-end.
TEST(SameTokensOnRandomWeights, OnEachBackEnd) {
  for (const auto& [backend, kv_dtype] : {std::pair<std::string, KvDtype>{"ref", KvDtype::kBf16},
                                          {"cpu", KvDtype::kBf16},
                                          {"ref", KvDtype::kFp8},
                                          {"cpu", KvDtype::kFp8}}) {
    SCOPED_TRACE(fmt::format("{}, KV in {}", backend, model::name_of(kv_dtype)));
    const Subject& subject = synth_on(backend);
    const bool any_block = backend == "ref";  // cpu takes blocks of whole groups of 16 keys
    const auto requests = probes(subject, kOutput);
    const std::vector<Answer> alone = answer_alone(subject, requests, kv_dtype);
    const Conditions small_chunks{.chunk = 7, .block_tokens = any_block ? 5 : 48};
    const Conditions beside_mates{.mates = 3, .order = 7};
    const Conditions tiny_pool{
        .chunk = 64, .block_tokens = any_block ? 4 : 16, .block_count = any_block ? 40 : 10, .mates = 6};
    for (Conditions setup : {small_chunks, beside_mates, tiny_pool}) {
      setup.kv_dtype = kv_dtype;
      SCOPED_TRACE(
          fmt::format("chunk {}, {} blocks of {}", setup.chunk, setup.block_count, setup.block_tokens));
      Server server(subject, setup);
      expect_same(alone, server.answer(with_mates(subject, requests, setup.mates, 3)));
      if (setup.block_count == tiny_pool.block_count) {
        EXPECT_GT(server.stats().preemptions, 0);
      }
    }
  }
}

// The yardstick measures: another seed, another prompt, another penalty are other answers.
TEST(SameTokensYardstick, TellsAnswersApart) {
  std::vector<Request> changed = probes(tiny_on_cpu(), kOutput);
  for (Request& request : changed) {
    request.spec.seed += 1;
    request.spec.presence_penalty += 1;
    request.prompt.front() = (request.prompt.front() + 1) % 1000;
  }
  const std::vector<Answer> other = answer_alone(tiny_on_cpu(), changed);
  for (size_t i = 0; i < other.size(); ++i) EXPECT_NE(in_words(other[i]), in_words(tiny_alone()[i]));
  EXPECT_NE(in_words(tiny_alone(KvDtype::kFp8)[0]), in_words(tiny_alone()[0]));
}

}  // namespace
}  // namespace minimax::engine
