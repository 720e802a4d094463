#pragma once
// The executors of one model on several hosts as one: the process of host 0 holds engine and server and gives
// each step to the others, which compute it in the same order. What ranks exchange in the middle of a step is
// the back-end's affair (comm/local.h).
//
// A host that is lost, or that draws other tokens, ends all: here submit() or collect() throws, there
// follow() does, and both processes have to end.

#include <memory>
#include <vector>

#include "comm/hosts.h"
#include "executor/executor.h"

namespace minimax::executor {

// On host 0. One step in flight.
class HostGroup final : public Executor {
 public:
  // Borrows `hosts`.
  HostGroup(std::unique_ptr<Executor> own, comm::Hosts& hosts);
  ~HostGroup() override;  // sends the others home

  const Limits& limits() const override { return limits_; }
  StepId submit(const StepBatch& batch) override;
  void collect(StepId step, StepResult& result) override;
  Report report() const override { return own_->report(); }

 private:
  std::unique_ptr<Executor> own_;
  comm::Hosts& hosts_;
  Limits limits_;
  std::vector<std::byte> message_;
  std::vector<TokenId> drawn_;  // by the step before
  bool failed_ = false;
};

// On the others: computes step after step until host 0 ends. Throws Error if it is lost.
void follow(Executor& own, comm::Hosts& hosts);

}  // namespace minimax::executor
