#pragma once
// When requests are sent: the peer's arrival processes.

#include <cstdint>
#include <limits>
#include <vector>

namespace minimax::bench {

enum class RampUp { kNone, kLinear, kExponential };

struct ArrivalOptions {
  double rate = std::numeric_limits<double>::infinity();  // requests per second; infinite: all at once
  double burstiness = 1.0;                                // 1: Poisson; below: bursts; above: even
  RampUp ramp_up = RampUp::kNone;                         // takes the place of rate
  double ramp_start = 0, ramp_end = 0;                    // requests per second
};

// The request rate that holds for request i of n: constant, or interpolated by index.
double rate_at(const ArrivalOptions& options, int64_t i, int64_t n);

// Seconds since the start of each of n requests, ascending. Gaps are drawn from a gamma distribution with
// shape = burstiness and scale = 1 / (rate * burstiness); without ramp-up they are then scaled so that the
// last request is sent at n / rate (vllm/benchmarks/serve.py).
std::vector<double> arrival_times(const ArrivalOptions& options, int64_t n, uint64_t seed);

}  // namespace minimax::bench
