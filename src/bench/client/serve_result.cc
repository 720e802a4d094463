#include "bench/client/serve_result.h"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace minimax::bench {
namespace {

constexpr int kWidth = 50;

struct MetricName {
  std::string_view key, name, title;
  Summary ServeMetrics::*summary;
};
constexpr std::array<MetricName, 4> kMetrics{{
    {"ttft", "TTFT", "Time to First Token", &ServeMetrics::ttft_ms},
    {"tpot", "TPOT", "Time per Output Token (excl. 1st token)", &ServeMetrics::tpot_ms},
    {"itl", "ITL", "Inter-token Latency", &ServeMetrics::itl_ms},
    {"e2el", "E2EL", "End-to-end Latency", &ServeMetrics::e2el_ms},
}};

bool shown(const ServeResult& result, std::string_view key) {
  for (const std::string& name : result.metrics_shown) {
    if (name == key) return true;
  }
  return false;
}

std::string row(std::string_view label, int64_t value) {
  return fmt::format("{:<40} {:<10}\n", label, value);
}
std::string row(std::string_view label, double value) {
  return fmt::format("{:<40} {:<10.2f}\n", label, value);
}

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

std::string speculation_rows(const SpecDecode& spec) {
  std::string out = fmt::format("{:-^{}}\n", "Speculative Decoding", kWidth);
  out += row("Acceptance rate (%):", 100 * ratio(spec.accepted_tokens, spec.draft_tokens));
  out += row("Acceptance length:", 1 + ratio(spec.accepted_tokens, spec.drafts));
  out += row("Drafts:", static_cast<int64_t>(spec.drafts));
  out += row("Draft tokens:", static_cast<int64_t>(spec.draft_tokens));
  out += row("Accepted tokens:", static_cast<int64_t>(spec.accepted_tokens));
  if (spec.accepted_per_position.empty()) return out;
  out += "Per-position acceptance (%):\n";
  for (size_t i = 0; i < spec.accepted_per_position.size(); ++i) {
    out += row(fmt::format("  Position {}:", i), 100 * ratio(spec.accepted_per_position[i], spec.drafts));
  }
  return out;
}

Json number_or_inf(double value) {
  return std::isinf(value) ? Json("inf") : Json(value);
}

void add_series(Json& out, const ServeResult& result) {
  Json input_lens = Json::array(), output_lens = Json::array(), ttfts = Json::array(), itls = Json::array(),
       starts = Json::array(), texts = Json::array(), errors = Json::array();
  for (size_t i = 0; i < result.outcomes.size(); ++i) {
    const Outcome& outcome = result.outcomes[i];
    input_lens.push_back(outcome.input_tokens);
    output_lens.push_back(result.metrics.output_lens[i]);
    ttfts.push_back(outcome.ttft_s);
    itls.push_back(Json(Json::Array(outcome.itls_s.begin(), outcome.itls_s.end())));
    starts.push_back(outcome.start_s);
    texts.push_back(outcome.text);
    errors.push_back(outcome.error);
  }
  out.set("input_lens", std::move(input_lens)).set("output_lens", std::move(output_lens));
  out.set("ttfts", std::move(ttfts)).set("itls", std::move(itls)).set("start_times", std::move(starts));
  out.set("generated_texts", std::move(texts)).set("errors", std::move(errors));
}

void add_speculation(Json& out, const SpecDecode& spec) {
  out.set("spec_decode_acceptance_rate", 100 * ratio(spec.accepted_tokens, spec.draft_tokens));
  out.set("spec_decode_acceptance_length", 1 + ratio(spec.accepted_tokens, spec.drafts));
  out.set("spec_decode_num_drafts", static_cast<int64_t>(spec.drafts));
  out.set("spec_decode_draft_tokens", static_cast<int64_t>(spec.draft_tokens));
  out.set("spec_decode_accepted_tokens", static_cast<int64_t>(spec.accepted_tokens));
  Json rates = Json::array();
  for (const double accepted : spec.accepted_per_position) rates.push_back(ratio(accepted, spec.drafts));
  out.set("spec_decode_per_position_acceptance_rates", std::move(rates));
}

}  // namespace

std::string percentile_word(double percentile) {
  return fmt::format("{}", percentile);
}

std::string result_table(const ServeResult& result) {
  const ServeMetrics& m = result.metrics;
  std::string out = fmt::format("{:=^{}}\n", " Serving Benchmark Result ", kWidth);
  out += row("Successful requests:", m.completed);
  out += row("Failed requests:", m.failed);
  if (result.concurrency_max > 0) out += row("Maximum request concurrency:", result.concurrency_max);
  if (!std::isinf(result.arrivals.rate)) out += row("Request rate configured (RPS):", result.arrivals.rate);
  out += row("Benchmark duration (s):", m.duration_s);
  out += row("Total input tokens:", m.input_tokens);
  out += row("Total generated tokens:", m.output_tokens);
  out += row("Request throughput (req/s):", m.request_throughput);
  if (m.request_goodput) out += row("Request goodput (req/s):", *m.request_goodput);
  out += row("Output token throughput (tok/s):", m.output_throughput);
  out += row("Peak output token throughput (tok/s):", m.max_output_tokens_per_s);
  out += row("Peak concurrent requests:", static_cast<double>(m.max_concurrent_requests));
  out += row("Total Token throughput (tok/s):", m.total_throughput);
  for (const MetricName& metric : kMetrics) {
    if (!shown(result, metric.key)) continue;
    const Summary& summary = m.*metric.summary;
    out += fmt::format("{:-^{}}\n", metric.title, kWidth);
    out += row(fmt::format("Mean {} (ms):", metric.name), summary.mean);
    out += row(fmt::format("Median {} (ms):", metric.name), summary.median);
    for (size_t i = 0; i < result.percentiles.size(); ++i) {
      out += row(fmt::format("P{} {} (ms):", percentile_word(result.percentiles[i]), metric.name),
                 summary.percentiles[i]);
    }
  }
  if (result.speculation) out += speculation_rows(*result.speculation);
  return out + std::string(kWidth, '=') + "\n";
}

Json result_json(const ServeResult& result, bool detailed) {
  const ServeMetrics& m = result.metrics;
  Json out = Json::object({{"date", result.date},
                           {"endpoint_type", result.endpoint_type},
                           {"backend", result.backend},
                           {"label", result.label.empty() ? Json() : Json(result.label)},
                           {"model_id", result.model_id},
                           {"tokenizer_id", result.tokenizer_id},
                           {"num_prompts", result.num_prompts}});
  for (const auto& [name, value] : result.metadata) out.set(name, value);
  out.set("request_rate", number_or_inf(result.arrivals.rate));
  out.set("burstiness", result.arrivals.burstiness);
  out.set("max_concurrency", result.concurrency_max > 0 ? Json(result.concurrency_max) : Json());
  if (result.arrivals.ramp_up != RampUp::kNone) {
    out.set("ramp_up_strategy", result.arrivals.ramp_up == RampUp::kLinear ? "linear" : "exponential");
    out.set("ramp_up_start_rps", result.arrivals.ramp_start).set("ramp_up_end_rps", result.arrivals.ramp_end);
  }
  out.set("duration", m.duration_s).set("completed", m.completed).set("failed", m.failed);
  out.set("total_input_tokens", m.input_tokens).set("total_output_tokens", m.output_tokens);
  out.set("request_throughput", m.request_throughput);
  out.set("request_goodput", m.request_goodput ? Json(*m.request_goodput) : Json());
  out.set("output_throughput", m.output_throughput).set("total_token_throughput", m.total_throughput);
  out.set("max_output_tokens_per_s", m.max_output_tokens_per_s);
  out.set("max_concurrent_requests", m.max_concurrent_requests);
  out.set("rtfx", 0.0);  // of audio; the peer writes it always
  for (const MetricName& metric : kMetrics) {
    if (!shown(result, metric.key)) continue;
    const Summary& summary = m.*metric.summary;
    const auto key = [&](std::string_view statistic) {
      return fmt::format("{}_{}_ms", statistic, metric.key);
    };
    out.set(key("mean"), summary.mean).set(key("median"), summary.median).set(key("std"), summary.std);
    for (size_t i = 0; i < result.percentiles.size(); ++i) {
      out.set(key("p" + percentile_word(result.percentiles[i])), summary.percentiles[i]);
    }
  }
  if (result.speculation) add_speculation(out, *result.speculation);
  out.set("client_cpu_share", result.health.cpu_share);
  out.set("client_late_p99_ms", result.health.late_p99_ms);
  out.set("client_late_max_ms", result.health.late_max_ms);
  if (detailed) add_series(out, result);
  return out;
}

std::string default_file_name(const ServeResult& result) {
  const std::string label = result.label.empty() ? result.endpoint_type : result.label;
  const std::string concurrency =
      result.concurrency_max > 0 ? fmt::format("-concurrency{}", result.concurrency_max) : "";
  const std::string model = result.model_id.substr(result.model_id.rfind('/') + 1);
  if (result.arrivals.ramp_up != RampUp::kNone) {
    return fmt::format("{}-ramp-up-{}-{}qps-{}qps{}-{}-{}.json", label,
                       result.arrivals.ramp_up == RampUp::kLinear ? "linear" : "exponential",
                       result.arrivals.ramp_start, result.arrivals.ramp_end, concurrency, model, result.date);
  }
  const std::string rate = std::isinf(result.arrivals.rate)
                               ? "inf"
                               : to_string(Json(result.arrivals.rate));  // "1.0", as Python writes it
  return fmt::format("{}-{}qps{}-{}-{}.json", label, rate, concurrency, model, result.date);
}

}  // namespace minimax::bench
