#pragma once
// One generation request from its acceptance to its end, for /load, /metrics and the log.

#include <atomic>
#include <cstdint>
#include <string>

#include "api/metrics.h"
#include "chat/session.h"

namespace minimax::api {

class CallRecord {
 public:
  // `open` counts the requests that are being answered; it must outlive this.
  // `samples` will end, one by one.
  CallRecord(std::atomic<int64_t>& open, Metrics& metrics, bool log, std::string id, int64_t samples);
  // Logs one line: what was generated, or that the client went before the end. Samples that did not come to
  // theirs count as aborted.
  ~CallRecord();
  CallRecord(const CallRecord&) = delete;
  CallRecord& operator=(const CallRecord&) = delete;

  const std::string& id() const { return id_; }
  void sample_finished(engine::FinishReason reason);
  void finish(const chat::Usage& usage, std::string_view reason);

 private:
  std::atomic<int64_t>& open_;
  Metrics& metrics_;
  bool log_;
  int64_t samples_left_;
  std::string id_;
  int64_t started_us_;
  chat::Usage usage_;
  std::string reason_;
};

}  // namespace minimax::api
