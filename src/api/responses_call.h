#pragma once
// Answers of the Responses API that take time: a response as it is generated, and the events of one that was
// stored.

#include <memory>
#include <string>
#include <vector>

#include "api/reply.h"
#include "api/responses_run.h"
#include "api/responses_store.h"

namespace minimax::api {

// POST /v1/responses in the foreground: ends with its connection.
class ResponsesCall : public Pending {
 public:
  // `stored`: kept in `store` when it ends; nullptr if it is not to be kept.
  ResponsesCall(std::unique_ptr<ResponseRun> run, std::shared_ptr<StoredResponse> stored,
                ResponseStore& store)
      : run_(std::move(run)), stored_(std::move(stored)), store_(store) {}

  bool streams() const override { return run_->wire().stream; }
  bool poll(std::vector<Event>& events) override;
  Reply reply() override;

 private:
  std::unique_ptr<ResponseRun> run_;
  std::shared_ptr<StoredResponse> stored_;
  ResponseStore& store_;
  std::vector<Event> unsent_;
};

// The events of a background response from `next` on, as they come. Going away does not end the response.
class ResponseWatch : public Pending {
 public:
  ResponseWatch(std::shared_ptr<StoredResponse> response, int64_t next, Notify notify);
  ~ResponseWatch() override;

  bool streams() const override { return true; }
  bool poll(std::vector<Event>& events) override;
  Reply reply() override { return {}; }

 private:
  std::shared_ptr<StoredResponse> response_;
  int64_t next_;
};

}  // namespace minimax::api
