#include "bench/client/arrivals.h"

#include <cmath>
#include <random>

namespace minimax::bench {

double rate_at(const ArrivalOptions& options, int64_t i, int64_t n) {
  if (options.ramp_up == RampUp::kNone) return options.rate;
  const double progress = static_cast<double>(i) / static_cast<double>(n > 1 ? n - 1 : 1);
  if (options.ramp_up == RampUp::kLinear) {
    return options.ramp_start + (options.ramp_end - options.ramp_start) * progress;
  }
  return options.ramp_start * std::pow(options.ramp_end / options.ramp_start, progress);
}

std::vector<double> arrival_times(const ArrivalOptions& options, int64_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> times;
  double time = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double rate = rate_at(options, i, n);
    if (std::isinf(options.burstiness) && !std::isinf(rate)) {
      time += 1.0 / rate;  // the gamma distribution's limit: equal gaps
    } else if (!std::isinf(rate)) {
      time += std::gamma_distribution<double>(options.burstiness, 1.0 / (rate * options.burstiness))(random);
    }
    times.push_back(time);
  }
  if (options.ramp_up == RampUp::kNone && !std::isinf(options.rate) && time > 0) {
    const double scale = static_cast<double>(n) / options.rate / time;
    for (double& value : times) value *= scale;
  }
  return times;
}

}  // namespace minimax::bench
