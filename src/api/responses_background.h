#pragma once
// The thread that takes what background responses generate: nobody's connection does.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "api/reply.h"
#include "api/responses_store.h"

namespace minimax::api {

class BackgroundRunner {
 public:
  // The store, which outlives this, is told of responses that end.
  explicit BackgroundRunner(ResponseStore& store);
  // Ends the thread. Responses that still run stay as they are.
  ~BackgroundRunner();

  // What the generation of `response` is to be notified with. May be called after this is gone.
  Notify notifier(const std::shared_ptr<StoredResponse>& response) const;
  // Looks at it once, whatever it was told before it was started.
  void wake(const std::shared_ptr<StoredResponse>& response) const;

 private:
  struct Queue {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::weak_ptr<StoredResponse>> woken;
    bool stop = false;
    void push(const std::weak_ptr<StoredResponse>& response, std::atomic<bool>& waits);
  };
  static void run(Queue& queue, ResponseStore& store);

  std::shared_ptr<Queue> queue_;
  std::thread thread_;
};

}  // namespace minimax::api
