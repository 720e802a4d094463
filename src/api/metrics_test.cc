#include "api/metrics.h"

#include <thread>

#include <gtest/gtest.h>

#include "api/histogram.h"

namespace minimax::api {
namespace {

// The value of the line that begins with the series' name and labels.
std::string value_of(const std::string& text, const std::string& series) {
  const size_t at = text.find("\n" + series + " ");
  if (at == std::string::npos) return "absent";
  const size_t begin = at + series.size() + 2;
  return text.substr(begin, text.find('\n', begin) - begin);
}

const std::string kLabels = "{model_name=\"m\",engine=\"0\"}";
std::string bucket(const std::string& name, const std::string& le) {
  return name + "_bucket{model_name=\"m\",engine=\"0\",le=\"" + le + "\"}";
}

TEST(HistogramTest, AnEdgeBelongsToTheBucketBelow) {
  Histogram histogram({1, 2});
  for (const double value : {0.5, 1.0, 1.5, 2.0, 3.0}) histogram.observe(value);
  EXPECT_EQ(histogram.snapshot().counts, (std::vector<uint64_t>{2, 2, 1}));
  EXPECT_EQ(histogram.snapshot().sum, 8.0);
}

TEST(HistogramTest, CountsFromManyThreads) {
  Histogram histogram({0.5});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; ++i) histogram.observe(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(histogram.snapshot().counts[1], 40000u);
  EXPECT_EQ(histogram.snapshot().sum, 40000.0);
}

TEST(HistogramTest, TokenCountsGrowByOneTwoFive) {
  EXPECT_EQ(one_two_five(60), (std::vector<double>{1, 2, 5, 10, 20, 50}));
  EXPECT_TRUE(one_two_five(0).empty());
}

TEST(MetricsTest, BucketsAreCumulativeAndEndWithAll) {
  Metrics metrics({.model_name = "m", .context_tokens_max = 1000});
  metrics.on_next_token(700);  // 0.7 ms
  metrics.on_next_token(700);
  metrics.on_next_token(30000);
  metrics.on_next_token(90000000);
  const std::string text = metrics.text({});
  const std::string name = "vllm:inter_token_latency_seconds";
  EXPECT_EQ(value_of(text, bucket(name, "0.0005")), "0.0");
  EXPECT_EQ(value_of(text, bucket(name, "0.001")), "2.0");
  EXPECT_EQ(value_of(text, bucket(name, "0.05")), "3.0");
  EXPECT_EQ(value_of(text, bucket(name, "80.0")), "3.0");
  EXPECT_EQ(value_of(text, bucket(name, "+Inf")), "4.0");
  EXPECT_EQ(value_of(text, name + "_count" + kLabels), "4.0");
  EXPECT_EQ(std::stod(value_of(text, name + "_sum" + kLabels)), 90.0314);
}

TEST(MetricsTest, KeepsThePeersEdges) {
  const std::string text = Metrics({"m", 1000}).text({});
  for (const char* le : {"0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.75",
                         "1.0", "2.5", "5.0", "7.5", "10.0", "20.0", "40.0", "80.0"}) {
    EXPECT_NE(value_of(text, bucket("vllm:request_time_per_output_token_seconds", le)), "absent") << le;
  }
  for (const char* le : {"0.001", "0.02", "0.06", "640.0", "2560.0"}) {
    EXPECT_NE(value_of(text, bucket("vllm:time_to_first_token_seconds", le)), "absent") << le;
  }
}

TEST(MetricsTest, SplitsTheTimeOfARequest) {
  Metrics metrics({.model_name = "m", .context_tokens_max = 1000});
  metrics.on_finished({.finish = engine::FinishReason::kStop,
                       .prompt_tokens = 100,
                       .cached_tokens = 64,
                       .generation_tokens = 11,
                       .arrival_us = 1000000,
                       .scheduled_us = 2000000,
                       .first_token_us = 4000000,
                       .last_token_us = 9000000});
  const std::string text = metrics.text({});
  EXPECT_EQ(value_of(text, "vllm:request_queue_time_seconds_sum" + kLabels), "1.0");
  EXPECT_EQ(value_of(text, "vllm:request_prefill_time_seconds_sum" + kLabels), "2.0");
  EXPECT_EQ(value_of(text, "vllm:request_decode_time_seconds_sum" + kLabels), "5.0");
  EXPECT_EQ(value_of(text, "vllm:request_inference_time_seconds_sum" + kLabels), "7.0");
  EXPECT_EQ(value_of(text, "vllm:e2e_request_latency_seconds_sum" + kLabels), "8.0");
  EXPECT_EQ(value_of(text, "vllm:request_time_per_output_token_seconds_sum" + kLabels), "0.5");
  EXPECT_EQ(value_of(text, "vllm:request_prefill_kv_computed_tokens_sum" + kLabels), "36.0");
  EXPECT_EQ(value_of(text, "vllm:prompt_tokens_cached_total" + kLabels), "64.0");
}

TEST(MetricsTest, ARequestCutShortLeavesNoFalseTimes) {
  Metrics metrics({.model_name = "m", .context_tokens_max = 1000});
  metrics.on_finished(
      {.finish = engine::FinishReason::kCancelled, .prompt_tokens = 10, .arrival_us = 5000000});
  EXPECT_EQ(value_of(metrics.text({}), "vllm:request_queue_time_seconds_count" + kLabels), "0.0");
  EXPECT_EQ(value_of(metrics.text({}), "vllm:e2e_request_latency_seconds_count" + kLabels), "0.0");
}

TEST(MetricsTest, ShowsTheEnginesCounters) {
  engine::Stats stats;
  stats.requests_running = 3;
  stats.kv_cache_usage = 0.25;
  stats.generation_tokens = 123456789;
  Metrics metrics({.model_name = "m", .context_tokens_max = 1000});
  metrics.on_sample_finished("stop");
  metrics.on_sample_finished("stop");
  metrics.on_sample_finished("abort");
  const std::string text = metrics.text(stats);
  EXPECT_EQ(value_of(text, "vllm:num_requests_running" + kLabels), "3.0");
  EXPECT_EQ(value_of(text, "vllm:kv_cache_usage_perc" + kLabels), "0.25");
  EXPECT_EQ(value_of(text, "vllm:generation_tokens_total" + kLabels), "123456789.0");
  const std::string success = "vllm:request_success_total{model_name=\"m\",engine=\"0\",finished_reason=\"";
  EXPECT_EQ(value_of(text, success + "stop\"}"), "2.0");
  EXPECT_EQ(value_of(text, success + "abort\"}"), "1.0");
  EXPECT_EQ(value_of(text, success + "length\"}"), "0.0");
  EXPECT_NE(value_of(text, "process_resident_memory_bytes"), "absent");
}

TEST(MetricsTest, LabelsAreEscaped) {
  const std::string text = Metrics({"a\"b\\c\nd", 10}).text({});
  EXPECT_NE(text.find(R"(model_name="a\"b\\c\nd")"), std::string::npos);
}

TEST(MetricsTest, TellsWhereTokensCameFromAndWhyRequestsWait) {
  engine::Stats stats;
  stats.requests_waiting = 4;
  stats.prompt_tokens = 100;
  stats.prefix_hits = 64;
  const std::string text =
      Metrics({.model_name = "m", .context_tokens_max = 1000, .block_tokens = 16, .block_count = 5})
          .text(stats);
  const std::string labels = "{model_name=\"m\",engine=\"0\",";
  EXPECT_EQ(value_of(text, "vllm:num_requests_waiting_by_reason" + labels + "reason=\"capacity\"}"), "4.0");
  EXPECT_EQ(value_of(text, "vllm:prompt_tokens_by_source_total" + labels + "source=\"local_compute\"}"),
            "36.0");
  EXPECT_EQ(value_of(text, "vllm:prompt_tokens_by_source_total" + labels + "source=\"local_cache_hit\"}"),
            "64.0");
  EXPECT_NE(text.find("vllm:cache_config_info{engine=\"0\",block_size=\"16\",cache_dtype=\"bfloat16\",num_"
                      "gpu_blocks=\"5\","
                      "kv_cache_size_tokens=\"80\",enable_prefix_caching=\"True\"} 1"),
            std::string::npos);
}

}  // namespace
}  // namespace minimax::api
