#pragma once
// Counters of speculation out of a server's /metrics (Prometheus text), where it has them.

#include <optional>
#include <string_view>

#include "bench/client/serve_result.h"

namespace minimax::bench {

// Nothing if the text has no vllm:spec_decode_num_drafts_total.
std::optional<SpecDecode> read_spec_decode(std::string_view metrics_text);

// What was counted between two readings.
std::optional<SpecDecode> spec_decode_between(const std::optional<SpecDecode>& before,
                                              const std::optional<SpecDecode>& after);

}  // namespace minimax::bench
