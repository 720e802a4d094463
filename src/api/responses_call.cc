#include "api/responses_call.h"

#include "api/errors.h"
#include "base/clock.h"

namespace minimax::api {

bool ResponsesCall::poll(std::vector<Event>& events) {
  std::vector<Event>& out = streams() ? events : unsent_;
  const size_t before = out.size();
  const bool more = run_->poll(out);
  if (stored_) stored_->keep_events(std::span(out).subspan(before));
  unsent_.clear();
  if (!more && stored_) {
    stored_->finish(end_of(*run_));
    store_.put(std::exchange(stored_, nullptr), now_us());
  }
  return more;
}

Reply ResponsesCall::reply() {
  if (run_->failure()) return error_reply(*run_->failure());
  Reply reply;
  reply.body = to_string(run_->object());
  return reply;
}

ResponseWatch::ResponseWatch(std::shared_ptr<StoredResponse> response, int64_t next, Notify notify)
    : response_(std::move(response)), next_(next) {
  response_->watch(this, std::move(notify));
}

ResponseWatch::~ResponseWatch() {
  response_->unwatch(this);
}

bool ResponseWatch::poll(std::vector<Event>& events) {
  const size_t before = events.size();
  const bool more = response_->read_events(next_, events);
  next_ += static_cast<int64_t>(events.size() - before);
  return more;
}

}  // namespace minimax::api
