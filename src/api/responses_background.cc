#include "api/responses_background.h"

#include "base/clock.h"

namespace minimax::api {

BackgroundRunner::BackgroundRunner(ResponseStore& store)
    : queue_(std::make_shared<Queue>()), thread_([queue = queue_, &store] { run(*queue, store); }) {}

BackgroundRunner::~BackgroundRunner() {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->stop = true;
  }
  queue_->changed.notify_all();
  thread_.join();
}

void BackgroundRunner::Queue::push(const std::weak_ptr<StoredResponse>& response, std::atomic<bool>& waits) {
  if (waits.exchange(true)) return;
  {
    const std::lock_guard lock(mutex);
    woken.push_back(response);
  }
  changed.notify_one();
}

// Holds the response by no more than its name: were the last reference to die here, on the engine's thread,
// the generation would end there, at a time when the service may be gone.
Notify BackgroundRunner::notifier(const std::shared_ptr<StoredResponse>& response) const {
  if (!response) return {};
  return [queue = queue_, weak = std::weak_ptr(response), waits = response->woken] {
    queue->push(weak, *waits);
  };
}

void BackgroundRunner::wake(const std::shared_ptr<StoredResponse>& response) const {
  queue_->push(response, *response->woken);
}

void BackgroundRunner::run(Queue& queue, ResponseStore& store) {
  std::unique_lock lock(queue.mutex);
  while (true) {
    queue.changed.wait(lock, [&] { return queue.stop || !queue.woken.empty(); });
    if (queue.stop) return;
    const std::weak_ptr<StoredResponse> next = std::move(queue.woken.front());
    queue.woken.pop_front();
    lock.unlock();
    if (const std::shared_ptr<StoredResponse> response = next.lock()) {
      *response->woken = false;
      if (!response->advance()) store.ended(response->id(), now_us());
    }
    lock.lock();
  }
}

}  // namespace minimax::api
