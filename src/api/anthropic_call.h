#pragma once
// POST /v1/messages, the answer: a stream of Anthropic's events, or one message.

#include <memory>
#include <string>
#include <vector>

#include "api/anthropic_blocks.h"
#include "api/call_record.h"
#include "api/chat_request.h"
#include "api/metrics.h"
#include "api/reply.h"
#include "chat/session.h"

namespace minimax::api {

// {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"}: as in
// Anthropic's, tokens found in the cache are no input tokens.
Json anthropic_usage(const chat::Usage& usage, bool reasoning);

class MessagesCall : public Pending {
 public:
  // `request_id`: of errors in mid-stream.
  MessagesCall(ChatRequest request, std::unique_ptr<chat::Session> session,
               std::unique_ptr<CallRecord> record, const ServiceOptions& options, Metrics& metrics,
               std::string request_id);

  bool streams() const override { return request_.params.stream; }
  bool poll(std::vector<Event>& events) override;
  Reply reply() override;

 private:
  Json message(Json content, const Json& usage) const;
  void begin(std::vector<Event>& events);
  void end(std::vector<Event>& events);
  std::string_view stop_reason() const;
  Json stop_sequence() const;

  ChatRequest request_;
  std::unique_ptr<chat::Session> session_;
  std::unique_ptr<CallRecord> record_;
  const ServiceOptions& options_;
  Metrics& metrics_;
  std::string request_id_;
  bool begun_ = false;
  MessageBlocks blocks_;
  int64_t calls_ = 0;
  std::optional<chat::Finish> finish_;
  std::vector<chat::Update> updates_;
  std::vector<Event> unsent_;  // events of an answer that is not streamed
  std::optional<Failure> failure_;
};

}  // namespace minimax::api
