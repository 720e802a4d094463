#pragma once
// The engine's state of requests and their sequences: plain data, owned by the Scheduler.

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/prefix_index.h"
#include "engine/request.h"

namespace minimax::engine {

using RequestKey = int64_t;  // ascends with arrival

enum class SequenceState : uint8_t {
  kUnforked,  // a sample of n > 1 whose prompt is being computed by sample 0
  kWaiting,   // holds no slot and no blocks
  kRunning,
  kFinished,
};

struct RequestState;

struct Sequence {
  RequestState* request = nullptr;
  int32_t sample_idx = 0;
  SequenceState state = SequenceState::kWaiting;
  executor::SlotId slot = -1;
  std::vector<TokenId> tokens;  // known ids: the prompt and the collected output
  int32_t scheduled = 0;        // positions whose rows were submitted since it was last admitted
  int32_t pending = 0;          // tokens drawn by steps in flight, not yet known
  int32_t in_flight = 0;        // steps in flight with rows or samples of it
  int64_t planned = -1;         // the number of the last plan that has rows or samples of it
  std::vector<executor::BlockId> blocks;
  int32_t indexed_blocks = 0;    // the first so many blocks were offered to the prefix index
  std::vector<BlockHash> chain;  // chain[i]: hash of the first i blocks of `tokens`, as far as computed
  bool cancelled = false;        // before the fork: its end was told, nothing is to be drawn for it
  int64_t last_token_us = 0;
  std::unique_ptr<Guide> guide;  // knows all of the output in `tokens`; nullptr: anything may be drawn

  int32_t output_tokens() const;
  int32_t known_end() const { return static_cast<int32_t>(tokens.size()) + pending; }
};

struct RequestState {
  RequestKey key = 0;
  Request request;
  std::vector<std::unique_ptr<Sequence>> sequences;  // [n]
  bool forked = false;                               // every sample has a life of its own
  int32_t unfinished = 0;
  PromptInfo prompt_info;
  int32_t scores_submitted = 0;  // prompt positions whose PromptScore was submitted
  RequestTimes times;
};

inline int32_t Sequence::output_tokens() const {
  return static_cast<int32_t>(tokens.size() - request->request.prompt.size());
}

}  // namespace minimax::engine
