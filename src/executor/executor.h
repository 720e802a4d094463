#pragma once
// The hardware boundary: one model on one device (or group of devices), driven step by step.
// Back-ends implement this interface; the engine knows nothing else of them.

#include <string>
#include <utility>
#include <vector>

#include "executor/step.h"

namespace minimax::executor {

// Facts for logs, `minimax bench step` and /metrics: (name, value as text), in the order to print.
using Report = std::vector<std::pair<std::string, std::string>>;

// Threads: all calls from one thread at a time. submit() may run the step before it returns (CPU) or only
// start it (CUDA); collect() blocks until the step's tokens are on the host. Either may throw Error if the
// device or a rank is lost: then the executor is dead, and nothing but its destructor may be called.
class Executor {
 public:
  virtual ~Executor() = default;

  virtual const Limits& limits() const = 0;

  // Starts a step and returns its id; ids ascend. REQUIRES: find_violation(batch, limits()) is empty, and
  // fewer than limits().pipeline_depth steps are in flight. An empty batch is legal.
  virtual StepId submit(const StepBatch& batch) = 0;

  // Waits for the oldest submitted step, which must be `step`, and fills `result` (cleared first).
  virtual void collect(StepId step, StepResult& result) = 0;

  virtual Report report() const = 0;
};

}  // namespace minimax::executor
