#include "bench/client/metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace minimax::bench {
namespace {

int64_t output_tokens_of(const Outcome& outcome, const MetricOptions& options) {
  if (outcome.output_tokens > 0) return outcome.output_tokens;
  if (options.count_tokens) {
    // What was thought and called was written as well.
    int64_t tokens = outcome.text.empty() ? 0 : options.count_tokens(outcome.text);
    if (!outcome.reasoning.empty()) tokens += options.count_tokens(outcome.reasoning);
    for (const Json& call : outcome.tool_calls) {
      const Json& function = *call.find("function");
      tokens +=
          options.count_tokens(function.find("name")->as_string() + function.find("arguments")->as_string());
    }
    return tokens;
  }
  return 1 + std::ssize(outcome.itls_s);
}

void add_peaks(std::span<const Outcome> outcomes, ServeMetrics& out) {
  double begin = 0, end = 0;
  bool any = false;
  for (const Outcome& outcome : outcomes) {
    if (!outcome.success) continue;
    begin = any ? std::min(begin, outcome.start_s) : outcome.start_s;
    end = any ? std::max(end, outcome.start_s + outcome.latency_s) : outcome.start_s + outcome.latency_s;
    any = true;
  }
  if (!any) return;
  const auto seconds = static_cast<size_t>(std::ceil(end - begin)) + 1;
  std::vector<int64_t> tokens(seconds), alive(seconds);
  const auto bucket = [&](double time) { return static_cast<size_t>(std::max(time - begin, 0.0)); };
  for (const Outcome& outcome : outcomes) {
    if (!outcome.success) continue;
    double time = outcome.start_s + outcome.ttft_s;
    if (bucket(time) < seconds) ++tokens[bucket(time)];
    for (const double gap : outcome.itls_s) {
      time += gap;
      if (bucket(time) < seconds) ++tokens[bucket(time)];
    }
    const size_t last = std::min(bucket(outcome.start_s + outcome.latency_s), seconds - 1);
    for (size_t second = bucket(outcome.start_s); second <= last; ++second) ++alive[second];
  }
  out.max_output_tokens_per_s = static_cast<double>(*std::max_element(tokens.begin(), tokens.end()));
  out.max_concurrent_requests = *std::max_element(alive.begin(), alive.end());
}

}  // namespace

double percentile(std::span<const double> sorted, double q) {
  if (sorted.empty()) return 0;
  const double place = q / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below));
}

Summary summarise(std::vector<double> values, std::span<const double> percentiles) {
  Summary out;
  out.percentiles.resize(percentiles.size());
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  out.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - out.mean) * (value - out.mean);
  out.std = std::sqrt(squares / n);
  out.median = percentile(values, 50);
  for (size_t i = 0; i < percentiles.size(); ++i) out.percentiles[i] = percentile(values, percentiles[i]);
  return out;
}

ServeMetrics serve_metrics(std::span<const Outcome> outcomes, double duration_s,
                           const MetricOptions& options) {
  ServeMetrics out;
  out.duration_s = duration_s;
  std::vector<double> ttfts, tpots, itls, e2els;
  int64_t good = 0;
  for (const Outcome& outcome : outcomes) {
    if (!outcome.success) {
      if (!outcome.interrupted) ++out.failed;
      out.output_lens.push_back(0);
      continue;
    }
    const int64_t tokens = output_tokens_of(outcome, options);
    out.output_lens.push_back(tokens);
    ++out.completed;
    out.input_tokens += outcome.input_tokens;
    out.output_tokens += tokens;
    const double ttft_ms = outcome.ttft_s * 1e3, e2el_ms = outcome.latency_s * 1e3;
    double tpot_ms = 0;
    if (tokens > 1) {
      tpot_ms = (e2el_ms - ttft_ms) / static_cast<double>(tokens - 1);
      tpots.push_back(tpot_ms);
    }
    ttfts.push_back(ttft_ms);
    e2els.push_back(e2el_ms);
    for (const double gap : outcome.itls_s) itls.push_back(gap * 1e3);
    if (ttft_ms <= options.good_ttft_ms.value_or(ttft_ms) &&
        tpot_ms <= options.good_tpot_ms.value_or(tpot_ms) &&
        e2el_ms <= options.good_e2el_ms.value_or(e2el_ms))
      ++good;
  }
  const auto per_second = [&](double count) { return duration_s > 0 ? count / duration_s : 0.0; };
  out.request_throughput = per_second(static_cast<double>(out.completed));
  if (options.good_ttft_ms || options.good_tpot_ms || options.good_e2el_ms) {
    out.request_goodput = per_second(static_cast<double>(good));
  }
  out.output_throughput = per_second(static_cast<double>(out.output_tokens));
  out.total_throughput = per_second(static_cast<double>(out.input_tokens + out.output_tokens));
  out.ttft_ms = summarise(std::move(ttfts), options.percentiles);
  out.tpot_ms = summarise(std::move(tpots), options.percentiles);
  out.itl_ms = summarise(std::move(itls), options.percentiles);
  out.e2el_ms = summarise(std::move(e2els), options.percentiles);
  add_peaks(outcomes, out);
  return out;
}

}  // namespace minimax::bench
