#pragma once
// Responses that were stored, in memory: evicted by a budget in bytes and by age, gone with the process.
//
// Thread-safe. A stored response is shared by the store, by those who read it and by its generation: one that
// is evicted while someone still reads it lives until they are done.

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/reply.h"
#include "api/responses_run.h"
#include "base/json.h"

namespace minimax::api {

// Bytes that are held as long as this lives, added up in a total.
class HeldBytes {
 public:
  explicit HeldBytes(std::shared_ptr<std::atomic<int64_t>> total) : total_(std::move(total)) {}
  ~HeldBytes() { *total_ -= bytes_; }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;
  void add(int64_t bytes) {
    bytes_ += bytes;
    *total_ += bytes;
  }
  int64_t bytes() const { return bytes_; }
  const std::shared_ptr<std::atomic<int64_t>>& total() const { return total_; }

 private:
  std::shared_ptr<std::atomic<int64_t>> total_;
  int64_t bytes_ = 0;
};

// Messages of one turn: its input and its answer. Shared by all later turns that continue it.
struct ResponseTurn {
  explicit ResponseTurn(std::shared_ptr<std::atomic<int64_t>> total) : held(std::move(total)) {}
  Json::Array messages;
  HeldBytes held;
};
// What is left of a generation.
struct ResponseEnd {
  std::string body;                 // the response object
  std::optional<Json::Array> turn;  // none: it cannot be continued
};
ResponseEnd end_of(const ResponseRun& run);

using ResponseHistory = std::vector<std::shared_ptr<const ResponseTurn>>;

class StoredResponse {
 public:
  // `history`: the turns before this one. `total`: the store's.
  StoredResponse(std::string id, bool background, ResponseIncludes includes, ResponseHistory history,
                 std::shared_ptr<std::atomic<int64_t>> total)
      : id_(std::move(id)),
        background_(background),
        includes_(includes),
        history_(std::move(history)),
        held_(std::move(total)) {}

  const std::string& id() const { return id_; }

  // One that runs in the background. REQUIRES: nothing was started or finished before.
  void start(std::unique_ptr<ResponseRun> run);
  // Takes what is known of the generation; returns false once it ended. Calls the watchers.
  bool advance();
  // True if the response was running in the background and is cancelled now.
  bool cancel();
  // One that was generated in the foreground: its events as they come, and its end.
  void keep_events(std::span<const Event> events);
  void finish(ResponseEnd end);

  std::string body() const;  // the response object
  // The output item with this id, nothing if there is none.
  std::optional<Json> item(const std::string& item_id) const;
  bool ended() const;
  bool background() const { return background_; }
  const ResponseIncludes& includes() const { return includes_; }  // as it was made
  // What it adds to the total: nothing while it runs.
  int64_t bytes() const;
  // The turns up to this one, or nothing if the response cannot be continued: it runs, failed or was
  // cancelled.
  std::optional<ResponseHistory> continued() const;

  // Events from `next` on, numbered as they are; returns false if no more will come.
  bool read_events(int64_t next, std::vector<Event>& events) const;
  void watch(const void* who, Notify notify);
  void unwatch(const void* who);

  // Waits to be advanced: the runner's. Shared, for whoever wakes the runner must not hold the response.
  const std::shared_ptr<std::atomic<bool>> woken = std::make_shared<std::atomic<bool>>(false);

 private:
  void keep(ResponseEnd end);

  const std::string id_;
  const bool background_;
  const ResponseIncludes includes_;
  const ResponseHistory history_;
  mutable std::mutex mutex_;
  std::unique_ptr<ResponseRun> run_;  // while it runs
  std::string body_;                  // once it ended
  std::shared_ptr<const ResponseTurn> turn_;
  std::vector<Event> events_;
  HeldBytes held_;
  std::vector<std::pair<const void*, Notify>> watchers_;
};

struct ResponseStoreLimits {
  int64_t bytes_max = 256 << 20;
  int64_t age_s_max = 3600;  // since the response was last written or read
};

class ResponseStore {
 public:
  explicit ResponseStore(ResponseStoreLimits limits) : limits_(limits) {}

  bool enabled() const { return limits_.bytes_max > 0; }
  const ResponseStoreLimits& limits() const { return limits_; }
  // `now_us`: monotonic. Running responses are never evicted, and count once they ended.
  void put(std::shared_ptr<StoredResponse> response, int64_t now_us);
  std::shared_ptr<StoredResponse> find(const std::string& id, int64_t now_us);
  std::shared_ptr<StoredResponse> remove(const std::string& id);
  // A response that was put while it ran has ended.
  void ended(const std::string& id, int64_t now_us);
  void clear();
  // Bytes of all stored responses, those evicted and still in use included.
  int64_t bytes() const { return *total_; }
  const std::shared_ptr<std::atomic<int64_t>>& total() const { return total_; }

 private:
  struct Entry {
    std::shared_ptr<StoredResponse> response;
    int64_t used_us = 0;
  };
  using Place = std::list<Entry>::iterator;
  void use(Place place, int64_t now_us);
  bool is_old(const Entry& entry, int64_t now_us) const;
  void evict(int64_t now_us);

  const ResponseStoreLimits limits_;
  const std::shared_ptr<std::atomic<int64_t>> total_ = std::make_shared<std::atomic<int64_t>>(0);
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // those that go first come first
  std::unordered_map<std::string, Place> index_;
};

}  // namespace minimax::api
