#pragma once
// The ranks of one model as one Executor: every rank is an Executor with a thread of its own, is given every
// step and computes it together with the others. How ranks exchange is the back-end's affair.
//
// Limits and results are those of rank 0; its report comes first, then what others say otherwise. Ranks draw
// each for themselves; a rank that draws other tokens than rank 0 is a bug and ends the process.
//
// A rank that throws ends the group: submit() or collect() throws its Error once the other ranks have come to
// their end too, or after kGrace if one hangs. Then the destructor would wait for that one: the process has
// to end without.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "executor/executor.h"

namespace minimax::executor {

class Group final : public Executor {
 public:
  using Make = std::function<std::unique_ptr<Executor>(int32_t rank)>;
  static constexpr std::chrono::seconds kGrace{1};

  // Makes all ranks at once, each in its thread, where all its later calls are made. Throws the first Error
  // of a rank once all have ended.
  Group(int32_t ranks, const Make& make);
  ~Group() override;

  const Limits& limits() const override;
  StepId submit(const StepBatch& batch) override;
  void collect(StepId step, StepResult& result) override;
  Report report() const override;

  int32_t ranks() const;
  // For measurements and tests: between steps.
  Executor& rank(int32_t rank);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::executor
