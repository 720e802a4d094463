#pragma once
// An executor that costs next to nothing: every sequence says the same prepared answer, token by token, and
// then ends. FakeExecutor checks the engine by hashing whole contexts and drawing from random text; here the
// front end is timed, so the text has to be an answer a parser has work with, and the time spent here small.

#include <atomic>
#include <cstdint>
#include <vector>

#include "executor/executor.h"

namespace minimax::bench {

class ReplayExecutor final : public executor::Executor {
 public:
  // `answer`: ids each sequence puts out; the last must be a stop id of the requests. A step takes `step_us`,
  // slept in collect().
  ReplayExecutor(const executor::Limits& limits, std::vector<executor::TokenId> answer, int64_t step_us);

  const executor::Limits& limits() const override { return limits_; }
  executor::StepId submit(const executor::StepBatch& batch) override;
  void collect(executor::StepId step, executor::StepResult& result) override;
  executor::Report report() const override { return {{"back-end", "replay"}}; }

  // CPU time of the calling thread spent in submit and collect so far. From any thread.
  int64_t cpu_ns() const { return cpu_ns_; }

 private:
  executor::Limits limits_;
  std::vector<executor::TokenId> answer_;
  int64_t step_us_;
  executor::StepResult pending_;
  executor::StepId next_id_ = 0;
  std::atomic<int64_t> cpu_ns_ = 0;
};

}  // namespace minimax::bench
