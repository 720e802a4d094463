#pragma once
// From outcomes to the figures of the peer's serving benchmark (vllm/benchmarks/serve.py, calculate_metrics).
//
//   TTFT   first chunk with choices minus the time of sending
//   ITL    gap between two chunks with choices (chunks, not tokens)
//   E2EL   last chunk with choices minus the time of sending
//   TPOT   (E2EL - TTFT) / (output tokens - 1), of requests with more than one
//   throughputs: sums over requests that succeeded, divided by the duration of the run
//   peaks: the largest number of chunks, and of requests alive, in one second counted from the first start

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/client/workload.h"

namespace minimax::bench {

// Percentiles are interpolated linearly, as NumPy does; all are 0 if there is no value.
struct Summary {
  double mean = 0, median = 0, std = 0;
  std::vector<double> percentiles;  // in the order of MetricOptions::percentiles
};

struct MetricOptions {
  std::vector<double> percentiles = {99};  // 0..100
  // Bounds in ms for goodput; a request is good if it meets all.
  std::optional<double> good_ttft_ms, good_tpot_ms, good_e2el_ms;
  // Counts tokens of a text where the server named no usage; may be empty, then chunks are counted.
  std::function<int64_t(const std::string&)> count_tokens;
};

struct ServeMetrics {
  int64_t completed = 0, failed = 0;
  int64_t input_tokens = 0, output_tokens = 0;
  double duration_s = 0;
  double request_throughput = 0;
  std::optional<double> request_goodput;
  double output_throughput = 0, total_throughput = 0;
  double max_output_tokens_per_s = 0;
  int64_t max_concurrent_requests = 0;
  Summary ttft_ms, tpot_ms, itl_ms, e2el_ms;
  std::vector<int64_t> output_lens;  // of each outcome; 0 for those that failed
};

ServeMetrics serve_metrics(std::span<const Outcome> outcomes, double duration_s,
                           const MetricOptions& options);

// q in 0..100. Sorts nothing: takes values in ascending order.
double percentile(std::span<const double> sorted, double q);
Summary summarise(std::vector<double> values, std::span<const double> percentiles);

}  // namespace minimax::bench
