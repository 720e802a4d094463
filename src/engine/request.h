#pragma once
// What a client of the engine asks for and gets: token ids in, token ids out.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/guide.h"
#include "executor/step.h"

namespace minimax::engine {

using executor::TokenId;

struct Request {
  std::string id;               // for logs; unique by the caller's care
  std::vector<TokenId> prompt;  // at least one
  int32_t max_tokens = 0;       // output tokens of each sample, at least 1
  int32_t n = 1;                // samples; sample i draws with spec.sample_idx = i
  executor::SampleSpec spec;
  int32_t prompt_logprobs = -1;  // -1 none, k: of each prompt token but the first, with the k likeliest
  int32_t priority = 0;          // lower runs earlier, with SchedulingPolicy::kPriority
  std::string cache_salt;        // prefix blocks are shared only among requests of the same salt
  // Limits what is drawn; none: anything. Shared by the copies of a request.
  std::shared_ptr<const GuideSource> guide;
};

enum class FinishReason : uint8_t {
  kNone,       // goes on
  kStop,       // a stop id; TokenEvent::stop_token says which
  kLength,     // max_tokens, or the end of the context
  kCancelled,  // by the caller
  kError,      // not-a-number in the logits, or the executor's refusal: TokenEvent::error says what
};

struct LogprobEntry {
  TokenId token = 0;
  float logprob = 0;

  bool operator==(const LogprobEntry&) const = default;
};

struct TokenLogprobs {
  float logprob = 0;
  int32_t rank = 0;
  std::vector<LogprobEntry> top;

  bool operator==(const TokenLogprobs&) const = default;
};

// One event of one sample: a token, or the end, or both.
struct TokenEvent {
  int32_t sample_idx = 0;
  bool has_token = false;
  TokenId token = 0;
  bool has_logprobs = false;
  TokenLogprobs logprobs;
  FinishReason finish = FinishReason::kNone;
  TokenId stop_token = -1;  // with kStop; -1: the guide let nothing follow the token
  std::string error;        // with kError
  // With kError, whose fault it is: kInvalid if what the request itself allows leaves nothing to draw.
  FailureKind error_kind = FailureKind::kInternal;
};

// Facts that are known once the prompt has run.
struct PromptInfo {
  int32_t cached_tokens = 0;                   // prompt tokens found in the prefix cache
  std::vector<TokenLogprobs> prompt_logprobs;  // [prompt - 1] if asked for
};

}  // namespace minimax::engine
