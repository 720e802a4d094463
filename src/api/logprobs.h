#pragma once
// Log-probabilities in the words of the API.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "chat/session.h"
#include "tokenizer/tokenizer.h"

namespace minimax::api {

struct LogprobStyle {
  const tokenizer::Tokenizer& tokenizer;
  bool tokens_as_ids = false;  // "token_id:17" instead of the text
  int32_t top = 0;             // alternatives to show
};

// The text of one token; bytes that are no whole characters become U+FFFD.
std::string token_text(tokenizer::TokenId id, const LogprobStyle& style);

// JSON knows no minus infinity: as in the peer, nothing is below -9999.
double finite_logprob(float logprob);

// {"token", "logprob", "bytes", "top_logprobs": [...]}: an item of choices[].logprobs.content.
Json chat_logprob(const chat::TokenInfo& token, const LogprobStyle& style);
// Appends {"content": [...]} of the tokens that have log-probabilities.
void append_chat_logprobs(std::string& out, const std::vector<chat::TokenInfo>& tokens,
                          const LogprobStyle& style);

// choices[].logprobs of completions, filled token by token. Kept as numbers until it is written: as JSON each
// alternative would take a hundred times as much.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(const LogprobStyle& style) : style_(style) {}
  // `logprobs` may be nullptr: the first token of a prompt has none. `offset`: where the token's text begins,
  // in characters of prompt (if echoed) and answer.
  void add(tokenizer::TokenId id, const engine::TokenLogprobs* logprobs, int64_t offset);
  bool empty() const { return items_.empty(); }
  // Appends the JSON object of all tokens added since the last call.
  void take(std::string& out);

 private:
  struct Item {
    tokenizer::TokenId id = 0;
    int64_t offset = 0;
    std::optional<engine::TokenLogprobs> logprobs;
  };
  void append_top(std::string& out, const Item& item) const;

  LogprobStyle style_;
  std::vector<Item> items_;
};

// Appends [null, {"17": {"logprob", "rank", "decoded_token"}, ...}, ...]: one item per token of the prompt.
void append_prompt_logprobs(std::string& out, const std::vector<tokenizer::TokenId>& prompt,
                            const std::vector<engine::TokenLogprobs>& logprobs,
                            const tokenizer::Tokenizer& tokenizer);

}  // namespace minimax::api
