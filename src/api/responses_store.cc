#include "api/responses_store.h"

#include <algorithm>

#include "base/check.h"

namespace minimax::api {
namespace {

constexpr int64_t kMicroseconds = 1'000'000;
// What an entry takes beside its texts: a guess on the high side.
constexpr int64_t kEntryBytes = 1024;
constexpr int64_t kEventBytes = 128;

}  // namespace

ResponseEnd end_of(const ResponseRun& run) {
  ResponseEnd end{to_string(run.object()), {}};
  if (run.status() != ResponseStatus::kCompleted && run.status() != ResponseStatus::kIncomplete) return end;
  end.turn = run.wire().input.as_array();
  const Json answer = run.answer_messages();
  for (const Json& message : answer.as_array()) end.turn->push_back(message);
  return end;
}

void StoredResponse::start(std::unique_ptr<ResponseRun> run) {
  const std::lock_guard lock(mutex_);
  CHECK(!run_ && body_.empty());
  run_ = std::move(run);
}

bool StoredResponse::advance() {
  std::vector<Notify> watchers;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    if (!run_) return false;
    more = run_->poll(events_);
    if (!more) {
      keep(end_of(*run_));
      run_.reset();
    }
    for (const auto& [who, notify] : watchers_) watchers.push_back(notify);
  }
  for (const Notify& notify : watchers) notify();
  return more;
}

bool StoredResponse::cancel() {
  {
    const std::lock_guard lock(mutex_);
    if (!run_ || run_->ended()) return false;
    run_->cancel();
  }
  advance();
  return true;
}

void StoredResponse::keep_events(std::span<const Event> events) {
  const std::lock_guard lock(mutex_);
  events_.insert(events_.end(), events.begin(), events.end());
}

std::optional<Json> StoredResponse::item(const std::string& item_id) const {
  const Result<Json> object = parse_json(body());
  const Json* output = object.ok() ? object->find("output") : nullptr;
  if (output == nullptr) return {};
  for (const Json& item : output->as_array()) {
    const Json* id = item.find("id");
    if (id != nullptr && *id == Json(item_id)) return item;
  }
  return {};
}

void StoredResponse::finish(ResponseEnd end) {
  const std::lock_guard lock(mutex_);
  keep(std::move(end));
}

// Counted here and not before: what runs must not push out what is stored.
void StoredResponse::keep(ResponseEnd end) {
  body_ = std::move(end.body);
  int64_t bytes = std::ssize(body_) + kEntryBytes;
  for (const Event& event : events_) bytes += std::ssize(event.data) + kEventBytes;
  held_.add(bytes);
  if (!end.turn) return;
  auto turn = std::make_shared<ResponseTurn>(held_.total());
  turn->messages = std::move(*end.turn);
  for (const Json& message : turn->messages) turn->held.add(std::ssize(to_string(message)));
  turn_ = std::move(turn);
}

std::string StoredResponse::body() const {
  const std::lock_guard lock(mutex_);
  return run_ ? to_string(run_->object()) : body_;
}

bool StoredResponse::ended() const {
  const std::lock_guard lock(mutex_);
  return !body_.empty();
}

int64_t StoredResponse::bytes() const {
  const std::lock_guard lock(mutex_);
  return held_.bytes() + (turn_ ? turn_->held.bytes() : 0);
}

std::optional<ResponseHistory> StoredResponse::continued() const {
  const std::lock_guard lock(mutex_);
  if (!turn_) return {};
  ResponseHistory history = history_;
  history.push_back(turn_);
  return history;
}

bool StoredResponse::read_events(int64_t next, std::vector<Event>& events) const {
  const std::lock_guard lock(mutex_);
  for (size_t i = static_cast<size_t>(std::max<int64_t>(next, 0)); i < events_.size(); ++i) {
    events.push_back(events_[i]);
  }
  return body_.empty();
}

void StoredResponse::watch(const void* who, Notify notify) {
  const std::lock_guard lock(mutex_);
  watchers_.emplace_back(who, std::move(notify));
}

void StoredResponse::unwatch(const void* who) {
  const std::lock_guard lock(mutex_);
  std::erase_if(watchers_, [&](const auto& watcher) { return watcher.first == who; });
}

// ---------------------------------------------------------------------------------------------------------------

void ResponseStore::put(std::shared_ptr<StoredResponse> response, int64_t now_us) {
  const std::lock_guard lock(mutex_);
  const std::string id = response->id();
  CHECK(!index_.contains(id));
  entries_.push_back({std::move(response), now_us});
  use(index_.emplace(id, std::prev(entries_.end())).first->second, now_us);
  evict(now_us);
}

std::shared_ptr<StoredResponse> ResponseStore::find(const std::string& id, int64_t now_us) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(id);
  std::shared_ptr<StoredResponse> response;
  if (found != index_.end() && !is_old(*found->second, now_us)) {
    response = found->second->response;  // held: it does not go now
    use(found->second, now_us);
  }
  evict(now_us);
  return response;
}

void ResponseStore::ended(const std::string& id, int64_t now_us) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(id);
  if (found != index_.end()) use(found->second, now_us);
  evict(now_us);
}

std::shared_ptr<StoredResponse> ResponseStore::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(id);
  if (found == index_.end()) return nullptr;
  std::shared_ptr<StoredResponse> response = std::move(found->second->response);
  entries_.erase(found->second);
  index_.erase(found);
  return response;
}

void ResponseStore::clear() {
  const std::lock_guard lock(mutex_);
  index_.clear();
  entries_.clear();
}

// The one used last goes last; but of one that is beyond the budget alone the others have nothing to fear.
void ResponseStore::use(Place place, int64_t now_us) {
  place->used_us = now_us;
  const bool fits = place->response->bytes() <= limits_.bytes_max;
  entries_.splice(fits ? entries_.end() : entries_.begin(), entries_, place);
}

bool ResponseStore::is_old(const Entry& entry, int64_t now_us) const {
  return now_us - entry.used_us > limits_.age_s_max * kMicroseconds && entry.response->ended();
}

// The messages of a turn that later ones continue live as long as these: evicting it gives the rest of its
// bytes back. Those that continue it are later in the order of use.
void ResponseStore::evict(int64_t now_us) {
  int64_t in_use = 0;  // to no avail would the others go for these
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (bytes() - in_use <= limits_.bytes_max && now_us - entry->used_us <= limits_.age_s_max * kMicroseconds)
      return;
    // Whoever reads it now holds it too; the next put or find looks again.
    if (!entry->response->ended() || entry->response.use_count() > 1) {
      in_use += entry->response->bytes();
      ++entry;
      continue;
    }
    index_.erase(entry->response->id());
    entry = entries_.erase(entry);
  }
}

}  // namespace minimax::api
