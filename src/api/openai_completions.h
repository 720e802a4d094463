#pragma once
// POST /v1/completions: prompts as text or ids, answers as text. Several prompts are several sessions; choice
// i of prompt p has the index p * n + i.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/call_record.h"
#include "api/logprobs.h"
#include "api/metrics.h"
#include "api/reply.h"
#include "api/sampling_params.h"
#include "chat/session.h"

namespace minimax::api {

struct CompletionPrompt {
  chat::GenerationRequest generation;
  std::string text;  // if it is to be echoed
};

struct CompletionRequest {
  GenerationParams params;
  std::vector<CompletionPrompt> prompts;
  std::optional<int32_t> logprobs;  // alternatives of each token
  bool echo_only = false;           // max_tokens 0: what is generated is dropped
};

Result<CompletionRequest> read_completion_request(const Json& body, const RequestContext& context);

class CompletionCall : public Pending {
 public:
  // `sessions`: one per prompt, in their order.
  CompletionCall(CompletionRequest request, std::vector<std::unique_ptr<chat::Session>> sessions,
                 std::unique_ptr<CallRecord> record, const ServiceOptions& options,
                 const tokenizer::Tokenizer& tokenizer);

  bool streams() const override { return request_.params.stream; }
  bool poll(std::vector<Event>& events) override;
  Reply reply() override;

 private:
  struct Choice {
    explicit Choice(const LogprobStyle& style) : logprobs(style) {}
    std::string text;  // not yet sent, or all of it
    CompletionLogprobs logprobs;
    std::vector<tokenizer::TokenId> token_ids;
    std::optional<chat::Finish> finish;
    int64_t offset = 0;  // characters so far
    int64_t tokens = 0;
    bool begun = false;
  };

  void take(size_t prompt_idx, const chat::Update& update, std::vector<Event>& events);
  void begin_choice(size_t prompt_idx, Choice& choice);
  void add_tokens(const chat::Update& update, Choice& choice);
  // Moves what the choice has gathered since the last chunk into one.
  std::string chunk(size_t prompt_idx, size_t index, bool first);
  void append_choice(std::string& out, size_t prompt_idx, size_t index);
  chat::Usage total_usage() const;
  void end(std::string_view reason);

  CompletionRequest request_;
  std::vector<std::unique_ptr<chat::Session>> sessions_;
  std::vector<bool> running_;
  std::unique_ptr<CallRecord> record_;
  const ServiceOptions& options_;
  LogprobStyle style_;
  int64_t created_;
  std::string chunk_head_;
  std::vector<Choice> choices_;
  std::vector<chat::Update> updates_;
  std::optional<Failure> failure_;
  bool ended_ = false;
};

}  // namespace minimax::api
