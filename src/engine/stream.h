#pragma once
// The two ends of a request's events, and the box in which readers leave their wishes for the engine thread.
// Both outlive the engine if a reader still holds them.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/sequence.h"

namespace minimax::engine {

// Shared by the engine (writer) and one reader.
struct StreamState {
  std::function<void()> notify;  // set before the engine knows the stream
  std::mutex mutex;
  std::condition_variable ready;
  std::vector<TokenEvent> events;
  PromptInfo prompt_info;
  bool ended = false;      // no event follows those in `events`
  bool abandoned = false;  // the reader is gone
};

struct NewRequest {
  Request request;
  int64_t arrival_us = 0;
  std::shared_ptr<StreamState> stream;
};

struct Cancel {
  std::weak_ptr<StreamState> stream;
  int32_t sample_idx = -1;
};

// What the engine thread has to look at before its next step.
struct Inbox {
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<NewRequest> requests;
  std::vector<Cancel> cancels;
  bool stopping = false;
  bool reset_prefix_cache = false;
  std::string abort_reason;  // empty: none
  bool empty() const {
    return requests.empty() && cancels.empty() && !stopping && !reset_prefix_cache && abort_reason.empty();
  }
};

std::unique_ptr<Stream> make_stream(std::shared_ptr<StreamState> state, std::shared_ptr<Inbox> inbox);

}  // namespace minimax::engine
