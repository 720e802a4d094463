#pragma once
// Text of a wanted number of tokens, by the tokenizer of the model or by that of the server.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "net/fetch.h"
#include "tokenizer/tokenizer.h"

namespace minimax::bench {

using tokenizer::TokenId;

class TokenText {
 public:
  virtual ~TokenText() = default;
  // No token is added that the text does not hold.
  virtual std::vector<TokenId> encode(const std::string& text) const = 0;
  virtual std::string decode(const std::vector<TokenId>& ids) const = 0;
  // Ids that prompts are made of: special ones are not among them.
  virtual const std::vector<TokenId>& allowed() const = 0;
  // Tokens the server puts before a prompt by itself.
  virtual int64_t added_tokens() const = 0;
  virtual std::string name() const = 0;
};

// `name`: for the record.
std::unique_ptr<TokenText> local_token_text(tokenizer::Tokenizer tokenizer, std::string name);

// Asks the server's /tokenize and /detokenize (beside, not below, /v1). Which ids are special it does not
// say: of vocabularies above kEdgeIds * 4, the first and last kEdgeIds are left out, where special ids lie.
// Throws Error if the server does not answer these paths.
std::unique_ptr<TokenText> server_token_text(const net::Url& url, const net::HeaderList& headers,
                                             std::string model, double timeout_s);
inline constexpr TokenId kEdgeIds = 512;

// Text that has `tokens` tokens when it is encoded, or nearly so: ids are decoded and encoded again, and cut
// or lengthened until the count fits, at most kFitTries times (vllm/benchmarks/datasets.py). `tokens` becomes
// what it is.
inline constexpr int kFitTries = 10;
std::string fit_text(const TokenText& text, std::vector<TokenId> ids, int64_t& tokens,
                     std::mt19937_64& random);

}  // namespace minimax::bench
