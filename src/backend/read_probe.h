#pragma once
// What this machine can read from memory: the roof of a decode step, measured by the program that is measured
// against it, with the same number of threads and the same width of loads. For bench/.

#include <cstdint>
#include <memory>

#include "backend/factory.h"

namespace minimax::backend {

class ReadProbe {
 public:
  // Fills a buffer of `bytes`, which should be many times the last-level cache. Threads and instruction set
  // as the options say for "cpu". Throws Error for what cannot be had.
  ReadProbe(const ExecutorOptions& options, int64_t bytes);
  ~ReadProbe();
  ReadProbe(ReadProbe&&) noexcept;

  // Sums the whole buffer once; bytes per second.
  double run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::backend
