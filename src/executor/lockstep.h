#pragma once
// Replicas whose steps can only run together, because ranks of all of them hold the experts: data parallel
// attention with expert parallelism. Each replica keeps an Executor of its own for its engine; behind them a
// wave runs one step of every replica at once. Which rows the others bring is the back-end's affair: its
// ranks tell one another inside the step.
//
// A wave gives every replica exactly one submit() and collect(): the batch of its engine, or an empty one if
// its engine has nothing to do, so that its ranks are there for the experts they hold. It starts once an
// engine has submitted, the wave before has ended, and all replicas that had rows in that one have submitted
// again or `grace` has passed since its end. While no engine submits nothing runs.
//
// Threads: an engine's calls are passed on in its own thread; empty steps are run by a thread a replica. So
// calls of one replica come from one thread at a time but not always the same; a Group, if of one rank,
// keeps its ranks in threads of their own.
//
// Errors: an Error of one replica ends all. Its facade throws it, and so does every other in the wave as soon
// as its own replica has come to its end, which the back-end bounds; the others throw at their next submit().
// No step is begun after it. Destroying the facades then waits for what is still running.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "executor/executor.h"

namespace minimax::executor {

// How long a wave waits for a replica that had rows in the one before: its engine plans the next step in
// less. What comes later waits for a whole wave.
inline constexpr std::chrono::microseconds kLockstepGrace{1000};

using MakeReplica = std::function<std::unique_ptr<Executor>(int32_t replica)>;

// Makes all replicas at once, each in a thread of its own, in which it is destroyed too, at the same time as
// the others: both may be collective. Throws the first Error once all have ended.
//
// Returns one Executor for each replica, with the limits of its replica but a pipeline depth of 1. They share
// the replicas: all are destroyed with the last, until then those without a facade join waves empty.
std::vector<std::unique_ptr<Executor>> make_lockstep(int32_t replicas, const MakeReplica& make,
                                                     std::chrono::microseconds grace = kLockstepGrace);

}  // namespace minimax::executor
