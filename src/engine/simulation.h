#pragma once
// Random traffic against the Scheduler and the FakeExecutor, replayable from its seed: arrivals, lengths, n,
// priorities, shared prefixes, cancels, exhausted pools, all pipeline depths. No threads, no clock. After
// every step the scheduler's invariants are checked, and that under fcfs nobody is overtaken and the oldest
// request gets on. Every sample that ends by itself must have the events it has when it runs alone
// (solo_run.h), one that was cancelled a beginning of them.

#include <cstdint>
#include <string>

namespace minimax::engine {

struct SimulationReport {
  int64_t steps = 0;
  int64_t requests = 0;
  int64_t finished = 0;
  int64_t cancelled = 0;
  int64_t failed = 0;  // ended by kNotFinite, as injected
  int64_t preemptions = 0;
  int64_t cached_tokens = 0;
  int64_t forks = 0;
  std::string violation;  // empty: none. A failed CHECK ends the process instead
};

// One world: limits and options drawn from the seed, then `steps` steps of traffic, then until idle.
SimulationReport simulate(uint64_t seed, int64_t steps);

// From now on, a process that aborts (a failed CHECK) says which seed it was at.
void tell_seed_on_abort();

}  // namespace minimax::engine
