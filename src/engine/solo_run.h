#pragma once
// The oracle of the engine's tests: one sample of one request, alone, straight against an executor. No
// scheduler, no blocks to share, one prompt in one step, one token at a time. Whatever the engine does with
// batches, chunks, caches and preemption, the events of the sample must be these.

#include <vector>

#include "engine/request.h"
#include "executor/executor.h"

namespace minimax::engine {

struct SoloAnswer {
  std::vector<TokenEvent> events;              // the last one has the finish
  std::vector<TokenLogprobs> prompt_logprobs;  // if asked for
};

// REQUIRES: no slot of `executor` is open, nothing is in flight, and its limits take the whole prompt (and a
// score for each of its tokens, if asked for) in one step. Closes what it opened.
SoloAnswer run_solo(executor::Executor& executor, const Request& request, int32_t sample_idx,
                    int32_t context_tokens_max);

}  // namespace minimax::engine
