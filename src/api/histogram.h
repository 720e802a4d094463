#pragma once
// A histogram with fixed edges: one atomic addition a bucket and one a sum, no lock.

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace minimax::api {

class Histogram {
 public:
  // Upper edges, ascending; an edge belongs to the bucket below it. A last bucket takes the rest.
  explicit Histogram(std::vector<double> edges);

  void observe(double value);

  struct Snapshot {
    std::vector<uint64_t> counts;  // [edges + 1], not cumulative
    double sum = 0;
  };
  Snapshot snapshot() const;
  const std::vector<double>& edges() const { return edges_; }

 private:
  const std::vector<double> edges_;
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  std::atomic<double> sum_{0};
};

// 1, 2, 5, 10, 20, 50, ... up to max.
std::vector<double> one_two_five(int64_t max);

}  // namespace minimax::api
