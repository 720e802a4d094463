#pragma once
// What the server counts about itself, under the names that dashboards of the peer know. One object a server;
// it is the engine's observer.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace minimax::api {

// Memory of one rank.
struct RankBytes {
  int64_t weights = 0;
  int64_t kv_cache = 0;
};

struct MetricsOptions {
  std::string model_name;          // the label of every series
  int64_t context_tokens_max = 0;  // end of the token-count histograms
  int64_t block_tokens = 0;        // of the KV cache, as all that follow
  int64_t block_count = 0;
  std::string cache_dtype = "bfloat16";  // or "fp8"
  bool prefix_caching = true;
  std::vector<RankBytes> ranks = {};  // of one replica
};

// Threads: the observer's calls from the engine thread, the others from any; none waits for a lock.
class Metrics : public engine::Observer {
 public:
  explicit Metrics(const MetricsOptions& options);
  ~Metrics() override;

  void on_step(int64_t rows) override;
  void on_first_token(int64_t since_arrival_us) override;
  void on_next_token(int64_t since_previous_us) override;
  void on_finished(const engine::RequestTimes& times) override;

  // A generation request was accepted.
  void on_request(int64_t n, int64_t max_tokens);
  // One sample came to its end: "stop" (tool calls included), "length", "abort" or "error". Counted here and
  // not in on_finished: the engine does not know of stop strings.
  void on_sample_finished(std::string_view reason);
  // A tool parser read one sample's whole output and found so many calls.
  void on_tool_parse(int64_t calls);

  // All series, the engine's own counters included.
  std::string text(const engine::Stats& stats) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::api
