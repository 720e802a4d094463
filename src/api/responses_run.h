#pragma once
// One response from its creation to its end: the session behind it, its events and its object.

#include <memory>
#include <string>
#include <vector>

#include "api/call_record.h"
#include "api/chat_request.h"
#include "api/logprobs.h"
#include "api/metrics.h"
#include "api/responses_output.h"
#include "api/responses_request.h"
#include "chat/session.h"

namespace minimax::api {

enum class ResponseStatus { kQueued, kInProgress, kCompleted, kIncomplete, kFailed, kCancelled };
std::string_view name_of(ResponseStatus status);

// Not thread-safe: one thread at a time.
class ResponseRun {
 public:
  ResponseRun(ResponsesRequest wire, ChatRequest request, std::unique_ptr<chat::Session> session,
              std::unique_ptr<CallRecord> record, const ServiceOptions& options,
              const tokenizer::Tokenizer& tokenizer, Metrics& metrics);

  const std::string& id() const { return id_; }
  const ResponsesRequest& wire() const { return wire_; }
  ResponseStatus status() const { return status_; }
  bool ended() const { return status_ != ResponseStatus::kQueued && status_ != ResponseStatus::kInProgress; }

  // Appends the events that became known; returns false once nothing more will come. Never blocks.
  bool poll(std::vector<Event>& events);
  // Ends a response that has not ended; what was generated so far stays in it.
  void cancel();

  // Why it failed; nullopt: it did not.
  const std::optional<Failure>& failure() const { return failure_; }
  // The response object as it stands.
  Json object() const;
  // The messages the answer leaves for the next turn.
  Json answer_messages() const;

 private:
  void begin();
  void take(chat::Update& update);
  void end(ResponseStatus status, std::string_view event);
  void emit_state(std::string_view type);

  ResponsesRequest wire_;
  ChatRequest request_;
  std::unique_ptr<chat::Session> session_;  // none once it ended
  std::unique_ptr<CallRecord> record_;
  const ServiceOptions& options_;
  LogprobStyle style_;
  Metrics& metrics_;
  std::string id_;
  int64_t created_;
  int64_t completed_ = 0;
  ResponseStatus status_;
  bool begun_ = false;
  int64_t calls_ = 0;
  ResponseOutput output_;
  ResponseEvents events_;
  chat::Usage usage_;
  std::optional<chat::Finish> finish_;
  std::optional<Failure> failure_;
  std::vector<chat::Update> updates_;
};

}  // namespace minimax::api
