#pragma once
// POST /v1/chat/completions, the answer: what the session says to chunks or one message.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/call_record.h"
#include "api/chat_request.h"
#include "api/logprobs.h"
#include "api/metrics.h"
#include "api/reply.h"
#include "chat/session.h"

namespace minimax::api {

// "stop", "length", "tool_calls", "abort". A call cut off by the length stays "length": it is not complete.
std::string_view finish_reason(const chat::Finish& finish);

// What to tell the client of a sample that ended with an error.
Failure failure_of(const chat::Finish& finish);

// null, a token id or a string.
Json stop_reason(const chat::Finish& finish);

// {"prompt_tokens", "total_tokens", "completion_tokens", details}; `cached`: with prompt_tokens_details.
Json usage_json(const chat::Usage& usage, bool cached, bool reasoning);

// The members of a delta, without braces; empty if the delta has none.
std::string delta_members(const chat::ParsedDelta& delta, bool include_reasoning);

// The sum of the deltas of one sample: the message of an answer that is not streamed.
class MessageBuilder {
 public:
  void add(const chat::ParsedDelta& delta);
  // `null_content`: an empty content is null (there is a parser, and it found none).
  Json message(std::string_view role, bool include_reasoning, bool null_content) const;

 private:
  struct Call {
    std::string id, name, arguments;
  };
  std::string reasoning_, content_;
  std::vector<Call> calls_;
};

class ChatCall : public Pending {
 public:
  ChatCall(ChatRequest request, std::unique_ptr<chat::Session> session, std::unique_ptr<CallRecord> record,
           const ServiceOptions& options, const tokenizer::Tokenizer& tokenizer, Metrics& metrics);

  bool streams() const override { return request_.params.stream; }
  bool poll(std::vector<Event>& events) override;
  Reply reply() override;

 private:
  struct Choice {
    MessageBuilder message;
    std::vector<chat::TokenInfo> shown;  // tokens whose log-probabilities or ids are told at the end
    std::optional<chat::Finish> finish;
    int64_t tokens = 0;
    int64_t calls = 0;
  };

  void take(chat::Update& update, std::vector<Event>& events);
  void begin_stream(std::vector<Event>& events);
  void stream_update(const chat::Update& update, std::vector<Event>& events);
  void end_stream(std::vector<Event>& events);
  std::string chunk(std::string_view choices, const Json& usage, std::string_view more = {}) const;
  Json running_usage(int64_t completion_tokens) const;
  void append_choice(std::string& out, size_t index) const;

  ChatRequest request_;
  std::unique_ptr<chat::Session> session_;
  std::unique_ptr<CallRecord> record_;
  const ServiceOptions& options_;
  LogprobStyle style_;
  Metrics& metrics_;
  bool show_logprobs_, show_token_ids_;
  int64_t created_;
  std::string chunk_head_;  // what all chunks begin with
  bool begun_ = false;
  std::vector<Choice> choices_;
  std::vector<chat::Update> updates_;
  std::optional<Failure> failure_;
};

}  // namespace minimax::api
