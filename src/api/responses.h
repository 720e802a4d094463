#pragma once
// The Responses API's handlers: what service.h offers under /v1/responses.

#include <functional>
#include <string>

#include "api/call_record.h"
#include "api/chat_request.h"
#include "api/reply.h"
#include "api/responses_background.h"
#include "api/responses_run.h"
#include "api/responses_store.h"

namespace minimax::api {

// A generation that began, and the record that counts it.
struct Begun {
  std::unique_ptr<chat::Session> session;
  std::unique_ptr<CallRecord> record;
};

class Responses {
 public:
  // `begin` starts what a chat request asks for. All that is borrowed outlives this.
  using Begin = std::function<Result<Begun>(const ChatRequest& request, Notify notify)>;
  Responses(const ServiceOptions& options, const tokenizer::Tokenizer& tokenizer, Metrics& metrics,
            Begin begin);
  // Background responses that still run are cancelled.
  ~Responses();

  Answer create(const Json& body, const RequestContext& context, Notify notify);
  struct Getting {
    bool stream = false;
    int64_t starting_after = -1;
    std::vector<std::string> include;
  };
  Answer get(const std::string& id, const Getting& getting, Notify notify);
  Reply cancel(const std::string& id);
  Reply remove(const std::string& id);

 private:
  Result<ResponseHistory> history_of(const std::string& id);
  // The chat request of the turn; with truncation auto without the oldest turns, as far as it must be.
  Result<Json> with_references(const Json& body);
  Result<ChatRequest> read(const ResponsesRequest& wire, const ResponseHistory& history,
                           const RequestContext& context);

  const ServiceOptions& options_;
  const tokenizer::Tokenizer& tokenizer_;
  Metrics& metrics_;
  Begin begin_;
  ResponseStore store_;
  BackgroundRunner background_{store_};
};

}  // namespace minimax::api
