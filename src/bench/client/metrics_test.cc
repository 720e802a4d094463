#include "bench/client/metrics.h"

#include <cmath>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "bench/client/arrivals.h"
#include "bench/client/datasets.h"
#include "bench/client/serve_result.h"
#include "bench/client/spec_metrics.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::bench {
namespace {

using ::testing::ElementsAre;

Outcome answered(double start_s, double ttft_s, double latency_s) {
  Outcome out;
  out.success = true;
  out.start_s = start_s;
  out.ttft_s = ttft_s;
  out.latency_s = latency_s;
  return out;
}

TEST(Metrics, PercentilesAreThoseOfNumPy) {
  const std::vector<double> values = {1, 2, 4, 8};
  EXPECT_DOUBLE_EQ(percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(percentile(values, 50), 3);
  EXPECT_DOUBLE_EQ(percentile(values, 99), 8 - 4 * 0.03);
  EXPECT_DOUBLE_EQ(percentile(values, 100), 8);
  EXPECT_DOUBLE_EQ(percentile({}, 50), 0);
}

TEST(Metrics, RequestsOfOneTokenHaveNoTpotAndFailuresNoTimes) {
  Outcome one = answered(0, 0.5, 0.5);
  one.output_tokens = 1;
  Outcome bad;
  bad.error = "x";
  Outcome cut;
  cut.interrupted = true;
  const std::vector<Outcome> all = {one, bad, cut};
  const ServeMetrics m = serve_metrics(all, 1, {});
  EXPECT_EQ(m.completed, 1);
  EXPECT_EQ(m.failed, 1);
  EXPECT_DOUBLE_EQ(m.tpot_ms.mean, 0);
  EXPECT_DOUBLE_EQ(m.ttft_ms.mean, 500);
  EXPECT_THAT(m.output_lens, ElementsAre(1, 0, 0));
  EXPECT_FALSE(m.request_goodput.has_value());
}

TEST(Metrics, WithoutUsageTheTextIsTokenized) {
  Outcome one = answered(0, 0.1, 0.2);
  one.text = "abc";
  one.itls_s = {0.1};
  const std::vector<Outcome> all = {one};
  MetricOptions options;
  EXPECT_EQ(serve_metrics(all, 1, options).output_tokens, 2);  // chunks
  options.count_tokens = [](const std::string& text) { return std::ssize(text); };
  EXPECT_EQ(serve_metrics(all, 1, options).output_tokens, 3);
}

TEST(Metrics, PeakConcurrencyCanExceedTheLimitWithinASecond) {
  std::vector<Outcome> all;
  for (const double start : {0.0, 0.3, 0.6}) {
    all.push_back(answered(start, 0.1, 0.3));
  }
  EXPECT_EQ(serve_metrics(all, 1, {}).max_concurrent_requests, 3);
}

TEST(Arrivals, AnInfiniteRateSendsAllAtOnceAndAFiniteOneEndsOnTime) {
  EXPECT_THAT(arrival_times({}, 3, 0), ElementsAre(0, 0, 0));
  for (const double burstiness : {0.2, 1.0, 50.0}) {
    const std::vector<double> times = arrival_times({.rate = 4, .burstiness = burstiness}, 100, 7);
    EXPECT_NEAR(times.back(), 25, 1e-9);
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  }
  EXPECT_EQ(arrival_times({.rate = 4}, 10, 7), arrival_times({.rate = 4}, 10, 7));
  EXPECT_NE(arrival_times({.rate = 4}, 10, 7), arrival_times({.rate = 4}, 10, 8));
}

TEST(Arrivals, HighBurstinessIsEven) {
  const auto spread = [](double burstiness) {
    const std::vector<double> times = arrival_times({.rate = 1, .burstiness = burstiness}, 1000, 1);
    double squares = 0, before = 0;
    for (const double time : times) {
      squares += (time - before - 1) * (time - before - 1);
      before = time;
    }
    return std::sqrt(squares / 1000);
  };
  EXPECT_NEAR(spread(1), 1, 0.15);  // Poisson: as spread as its mean
  EXPECT_NEAR(spread(100), 0.1, 0.02);
}

TEST(Arrivals, TheRateRampsByIndex) {
  ArrivalOptions options{.ramp_up = RampUp::kLinear, .ramp_start = 1, .ramp_end = 5};
  EXPECT_DOUBLE_EQ(rate_at(options, 0, 5), 1);
  EXPECT_DOUBLE_EQ(rate_at(options, 2, 5), 3);
  EXPECT_DOUBLE_EQ(rate_at(options, 4, 5), 5);
  options = {.ramp_up = RampUp::kExponential, .ramp_start = 1, .ramp_end = 16};
  EXPECT_DOUBLE_EQ(rate_at(options, 2, 5), 4);
}

TEST(Result, TheTableIsThatOfTheGuide) {
  ServeResult result;
  result.concurrency_max = 10;
  result.metrics.completed = 100;
  result.metrics.duration_s = 851.51;
  result.metrics.input_tokens = 204800;
  result.metrics.output_tokens = 98734;
  result.metrics.request_throughput = 0.12;
  result.metrics.output_throughput = 115.95;
  result.metrics.max_output_tokens_per_s = 130;
  result.metrics.max_concurrent_requests = 20;
  result.metrics.total_throughput = 356.46;
  result.metrics.ttft_ms = {.mean = 520.98, .median = 523.86, .std = 0, .percentiles = {1086.48}};
  result.metrics.tpot_ms = {.mean = 82.82, .median = 82.90, .std = 0, .percentiles = {84.28}};
  result.metrics.itl_ms = {.mean = 82.78, .median = 82.18, .std = 0, .percentiles = {83.48}};
  EXPECT_EQ(result_table(result),
            "============ Serving Benchmark Result ============\n"
            "Successful requests:                     100       \n"
            "Failed requests:                         0         \n"
            "Maximum request concurrency:             10        \n"
            "Benchmark duration (s):                  851.51    \n"
            "Total input tokens:                      204800    \n"
            "Total generated tokens:                  98734     \n"
            "Request throughput (req/s):              0.12      \n"
            "Output token throughput (tok/s):         115.95    \n"
            "Peak output token throughput (tok/s):    130.00    \n"
            "Peak concurrent requests:                20.00     \n"
            "Total Token throughput (tok/s):          356.46    \n"
            "---------------Time to First Token----------------\n"
            "Mean TTFT (ms):                          520.98    \n"
            "Median TTFT (ms):                        523.86    \n"
            "P99 TTFT (ms):                           1086.48   \n"
            "-----Time per Output Token (excl. 1st token)------\n"
            "Mean TPOT (ms):                          82.82     \n"
            "Median TPOT (ms):                        82.90     \n"
            "P99 TPOT (ms):                           84.28     \n"
            "---------------Inter-token Latency----------------\n"
            "Mean ITL (ms):                           82.78     \n"
            "Median ITL (ms):                         82.18     \n"
            "P99 ITL (ms):                            83.48     \n"
            "==================================================\n");
}

TEST(Result, FileNamesAreThoseOfThePeer) {
  ServeResult result;
  result.endpoint_type = "vllm";
  result.model_id = "MiniMaxAI/MiniMax-M2";
  result.date = "D";
  EXPECT_EQ(default_file_name(result), "vllm-infqps-MiniMax-M2-D.json");
  result.concurrency_max = 10;
  result.arrivals.rate = 2;
  result.label = "l";
  EXPECT_EQ(default_file_name(result), "l-2.0qps-concurrency10-MiniMax-M2-D.json");
}

TEST(Result, SpeculationIsReadAsADifference) {
  const auto text = [](int drafts, int accepted) {
    return "# TYPE x counter\nvllm:spec_decode_num_drafts_total{engine=\"0\"} " + std::to_string(drafts) +
           "\nvllm:spec_decode_num_draft_tokens_total{engine=\"0\"} " + std::to_string(drafts * 2) +
           "\nvllm:spec_decode_num_accepted_tokens_total{engine=\"0\"} " + std::to_string(accepted) +
           "\nvllm:spec_decode_num_accepted_tokens_per_pos_total{engine=\"0\",position=\"1\"} 3.0\n";
  };
  EXPECT_FALSE(read_spec_decode("vllm:num_requests_running 0\n").has_value());
  const auto between = spec_decode_between(read_spec_decode(text(10, 5)), read_spec_decode(text(30, 25)));
  ASSERT_TRUE(between.has_value());
  EXPECT_DOUBLE_EQ(between->drafts, 20);
  EXPECT_DOUBLE_EQ(between->accepted_tokens, 20);
  EXPECT_THAT(between->accepted_per_position, ElementsAre(0, 0));
}

std::unique_ptr<TokenText> bytes_text() {
  const std::string json = to_string(tokenizer::small_tokenizer({{"a", "b"}, {"ab", "c"}}));
  return local_token_text(tokenizer::Tokenizer::parse(json, "small"), "small");
}

TEST(Datasets, RandomPromptsHaveTheWantedTokensAndNoSpecialOnes) {
  const auto text = bytes_text();
  DatasetOptions options;
  options.num_prompts = 20;
  options.input_len = 40;
  options.prefix_len = 8;
  options.output_len = 12;
  const std::vector<Script> scripts = make_scripts(options, text.get());
  ASSERT_EQ(scripts.size(), 20u);
  for (const Script& script : scripts) {
    EXPECT_EQ(script.input_tokens, std::ssize(text->encode(script.prompt)));
    EXPECT_NEAR(static_cast<double>(script.input_tokens), 48, 4);
    EXPECT_EQ(script.output_tokens, 12);
  }
  EXPECT_EQ(make_scripts(options, text.get())[3].prompt, scripts[3].prompt);
  options.seed = 1;
  EXPECT_NE(make_scripts(options, text.get())[3].prompt, scripts[3].prompt);
}

TEST(Datasets, LengthsAreDrawnFromTheRange) {
  DatasetOptions options;
  options.num_prompts = 300;
  options.input_len = 5;
  options.output_len = 10;
  options.output_range = 0.5;
  std::set<int64_t> seen;
  for (const Script& script : make_scripts(options, bytes_text().get())) seen.insert(script.output_tokens);
  EXPECT_EQ(*seen.begin(), 5);
  EXPECT_EQ(*seen.rbegin(), 15);
}

TEST(Datasets, PrefixesRepeat) {
  DatasetOptions options;
  options.name = "prefix_repetition";
  options.num_prompts = 12;
  options.repeated_prefixes = 3;
  options.repeated_prefix_len = 16;
  options.repeated_suffix_len = 8;
  std::map<std::string, int> prefixes;
  for (const Script& script : make_scripts(options, bytes_text().get()))
    ++prefixes[script.prompt.substr(0, 8)];
  EXPECT_EQ(prefixes.size(), 3u);
  for (const auto& [prefix, count] : prefixes) EXPECT_EQ(count, 4);
}

TEST(Datasets, AgentSessionsShareTheSystemMessageAndGrow) {
  DatasetOptions options;
  options.name = "agent";
  options.num_prompts = 2;
  options.agent_turns = 3;
  const std::vector<Script> scripts = make_scripts(options, bytes_text().get());
  ASSERT_EQ(scripts.size(), 2u);
  EXPECT_EQ(scripts[0].follow_ups.size(), 2u);
  EXPECT_EQ(scripts[0].messages.as_array()[0], scripts[1].messages.as_array()[0]);
  EXPECT_NE(scripts[0].messages.as_array()[1], scripts[1].messages.as_array()[1]);
}

TEST(Datasets, UnknownNamesAndMissingFilesAreNamed) {
  DatasetOptions options;
  options.name = "sonnet";
  options.path = "x";
  EXPECT_THROW(make_scripts(options, nullptr), UsageError);
  options.name = "custom";
  options.path = "/nonexistent.jsonl";
  EXPECT_THROW(make_scripts(options, nullptr), Error);
}

}  // namespace
}  // namespace minimax::bench
