#include <boost/asio/post.hpp>

#include "api/guided.h"
#include "server/connection.h"

namespace minimax::server {

Hub::Hub(const Options& options, Handler handler, Gate gate)
    : options_(options),
      handler_(std::move(handler)),
      gate_(std::move(gate)),
      workers_(std::in_place, static_cast<size_t>(options.worker_threads)),
      short_worker_(std::in_place, 1),
      compile_workers_(std::in_place,
                       static_cast<size_t>(options.worker_threads + api::kWaitingCompilationsMax)) {}

void Hub::end_workers() {
  for (std::optional<boost::asio::thread_pool>* pool : {&workers_, &short_worker_, &compile_workers_}) {
    (*pool)->stop();
    (*pool)->join();
    pool->reset();
  }
}

void Hub::add(Connection* connection) {
  const std::lock_guard lock(mutex_);
  connections_.insert(connection);
}

void Hub::remove(Connection* connection) {
  std::function<void()> on_empty;
  {
    const std::lock_guard lock(mutex_);
    connections_.erase(connection);
    if (connections_.empty()) on_empty = std::exchange(on_empty_, nullptr);
  }
  if (on_empty) on_empty();
}

int64_t Hub::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(connections_.size());
}

void Hub::for_each(const std::function<void(Connection&)>& visit) {
  const std::lock_guard lock(mutex_);
  for (Connection* connection : connections_) visit(*connection);
}

void Hub::start_drain(std::function<void()> on_empty) {
  draining_ = true;
  {
    const std::lock_guard lock(mutex_);
    if (!connections_.empty()) {
      on_empty_ = std::exchange(on_empty, nullptr);
      // Under the lock no connection can end, and drain() only posts.
      for (Connection* connection : connections_) connection->drain();
    }
  }
  if (on_empty) on_empty();
}

bool BodyHold::grow_to(int64_t bytes, int64_t max) {
  const int64_t more = bytes - bytes_;
  if (more > 0 && (*total_ += more) > max) {
    *total_ -= more;
    return false;
  }
  if (more > 0) bytes_ = bytes;
  return true;
}

void Wake::signal() {
  if (woken_.exchange(true)) return;
  // The lock is held while the wake is posted, so that cut() knows that nobody touches the executor any more.
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Connection> connection = connection_.lock();
  if (!connection) return;
  const auto executor = connection->socket_.get_executor();
  // Moved, not copied: the last reference must never die on the engine's thread, nor under the lock that its
  // destructor takes.
  boost::asio::post(executor, [connection = std::move(connection)] { connection->on_wake(); });
}

void Wake::cut() {
  const std::lock_guard lock(mutex_);
  connection_.reset();
}

}  // namespace minimax::server
