#pragma once
// One run of the serving benchmark as the peer shows and keeps it: the printed table and the JSON.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/client/arrivals.h"
#include "bench/client/load.h"
#include "bench/client/metrics.h"

namespace minimax::bench {

// Counters of a server that speculates, over the run; from /metrics before and after.
struct SpecDecode {
  double drafts = 0, draft_tokens = 0, accepted_tokens = 0;
  std::vector<double> accepted_per_position;
};

struct ServeResult {
  std::string date;  // "20261126-005949"
  std::string endpoint_type, backend, label, model_id, tokenizer_id;
  int64_t num_prompts = 0;
  std::vector<std::pair<std::string, std::string>> metadata;
  ArrivalOptions arrivals;
  int64_t concurrency_max = 0;  // 0: none
  std::vector<double> percentiles = {99};
  std::vector<std::string> metrics_shown = {"ttft", "tpot", "itl"};  // and "e2el"
  ServeMetrics metrics;
  ClientHealth health;
  std::optional<SpecDecode> speculation;
  std::vector<Outcome> outcomes;
};

// 50 columns wide, the rows of the guide in its order and spelling, with a line end after the last.
std::string result_table(const ServeResult& result);

// The keys of the peer; `detailed` adds the series of each request. Beside them client_cpu_share,
// client_late_p99_ms and client_late_max_ms.
Json result_json(const ServeResult& result, bool detailed);

// "99" or "99.9".
std::string percentile_word(double percentile);

// "{label}-{rate}qps[-concurrencyN]-{model}-{date}.json", of the model the part behind the last slash.
std::string default_file_name(const ServeResult& result);

}  // namespace minimax::bench
