#pragma once
// The engine without server and text: requests in, seconds out.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace minimax::bench {

struct OfflineRun {
  double seconds = 0;  // from the first submission to the last event
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t failed = 0;
  std::string error;  // of one that failed
};

// Submits all requests at once and waits for all. The engine's queue must have room for them
// (Options::waiting_requests_max).
OfflineRun run_offline(engine::Engine& engine, std::vector<engine::Request> requests);

// Requests of `prompts` that draw exactly output_tokens[i] tokens each: no stop ids, temperature 1, seeds by
// index. REQUIRES: as many counts as prompts.
std::vector<engine::Request> offline_requests(const std::vector<std::vector<engine::TokenId>>& prompts,
                                              const std::vector<int64_t>& output_tokens);

}  // namespace minimax::bench
