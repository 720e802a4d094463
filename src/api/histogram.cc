#include "api/histogram.h"

#include <algorithm>

#include "base/check.h"

namespace minimax::api {

Histogram::Histogram(std::vector<double> edges)
    : edges_(std::move(edges)), counts_(std::make_unique<std::atomic<uint64_t>[]>(edges_.size() + 1)) {
  CHECK(std::is_sorted(edges_.begin(), edges_.end()));
}

void Histogram::observe(double value) {
  const auto bucket = std::lower_bound(edges_.begin(), edges_.end(), value) - edges_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  // fetch_add on a double is C++20; clang 14's library has it not.
  double sum = sum_.load(std::memory_order_relaxed);
  while (!sum_.compare_exchange_weak(sum, sum + value, std::memory_order_relaxed)) {
  }
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot out;
  for (size_t i = 0; i <= edges_.size(); ++i)
    out.counts.push_back(counts_[i].load(std::memory_order_relaxed));
  out.sum = sum_.load(std::memory_order_relaxed);
  return out;
}

std::vector<double> one_two_five(int64_t max) {
  std::vector<double> edges;
  for (int64_t decade = 1;; decade *= 10) {
    for (const int64_t step : {1, 2, 5}) {
      if (decade * step > max) return edges;
      edges.push_back(static_cast<double>(decade * step));
    }
  }
}

}  // namespace minimax::api
