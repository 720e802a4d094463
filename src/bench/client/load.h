#pragma once
// Runs scripts against a server: arrivals, the limit of concurrency, follow-ups, progress, interruption.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "bench/client/request_body.h"
#include "bench/client/stream_client.h"

namespace minimax::bench {

struct Progress {
  int64_t done = 0, failed = 0, running = 0, total = 0;  // requests
  int64_t chunks = 0;                                    // so far: about one a token
  double seconds = 0;                                    // since the start
};

struct LoadOptions {
  BodyOptions body;
  std::vector<double> arrivals_s;  // of each script, ascending
  // Scripts under way at once; 0: no limit. A script keeps its place while it thinks.
  int64_t concurrency_max = 0;
  // X-Request-Id of request i is this and i; empty: the header is not sent.
  std::string request_id_prefix;
  double progress_every_s = 0.2;
  std::function<void(const Progress&)> on_progress;  // may be empty
  bool handle_interrupt = false;                     // SIGINT ends the run; what was measured is returned
};

// Is the client itself to be trusted?
struct ClientHealth {
  double cpu_share = 0;    // of one core, over the run
  double late_p99_ms = 0;  // how much later than asked for the thread woke, every 10 ms
  double late_max_ms = 0;
};

struct LoadResult {
  std::vector<Outcome> outcomes;  // of requests that were sent, in the order of scripts and turns
  double duration_s = 0;          // from the start to the last answer, or to the interruption
  bool interrupted = false;
  ClientHealth health;
};

// Runs the io_context until all is done. `clock_us` is that of the client.
LoadResult run_load(boost::asio::io_context& context, StreamClient& client, std::span<const Script> scripts,
                    const LoadOptions& options, const std::function<int64_t()>& clock_us);

}  // namespace minimax::bench
