#pragma once
// One generation: prompt ids in, deltas out. Ties engine stream, incremental decode, stop strings and parser
// together for the n samples of a request. Destroying it cancels what still runs.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "chat/parse.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace minimax::chat {

struct GenerationRequest {
  engine::Request request;                  // ids, limits and sampling
  std::vector<std::string> stop;            // stop strings: text is cut before the first that appears
  std::vector<tokenizer::TokenId> eos_ids;  // stop ids that are not reported as stop_reason
  bool include_stop_str = false;            // or after it
  bool skip_special_tokens = true;          // forced to false while a parser is at work, as in the peer
  std::optional<ParserOptions> parser;      // none: all text is content (completions)
};

struct TokenInfo {
  tokenizer::TokenId id = 0;
  bool has_logprobs = false;
  engine::TokenLogprobs logprobs;
  bool in_content = false;  // part of the content, not of thinking, a call or their marks
};

struct Finish {
  engine::FinishReason reason = engine::FinishReason::kNone;
  // What stopped it, for the wire's stop_reason: nothing (EOS or length), a stop id of the request, a stop
  // string.
  std::variant<std::monostate, tokenizer::TokenId, std::string> stop_reason;
  bool any_calls = false;  // the parser saw at least one tool call
  std::string error;       // with kError
  FailureKind error_kind = FailureKind::kInternal;
};

// What became known of one sample since the last poll.
struct Update {
  int32_t sample_idx = 0;
  ParsedDelta delta;
  std::vector<TokenInfo> tokens;  // all ids drawn, those that decode to nothing included
  std::optional<Finish> finish;   // last update of this sample
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;  // over all samples
  int64_t reasoning_tokens = 0;
};

class Session {
 public:
  // engine and tokenizer must outlive the session. notify: as in Engine::submit.
  static Result<std::unique_ptr<Session>> start(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer,
                                                GenerationRequest request, std::function<void()> notify = {});
  ~Session();

  // Appends one Update per sample that has news, or several where one delta could not keep the order; returns
  // false once all samples have finished. Never blocks.
  bool poll(std::vector<Update>& updates);
  void wait();  // blocks until poll has something to say
  Usage usage() const;
  // As engine::Stream::prompt_info.
  engine::PromptInfo prompt_info() const;

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::chat
