#include "api/logprobs.h"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include "base/utf8.h"

namespace minimax::api {
namespace {

constexpr float kLowest = -9999.0f;

Json bytes_json(std::string_view bytes) {
  Json out = Json::array();
  for (const char byte : bytes) out.push_back(static_cast<int>(static_cast<unsigned char>(byte)));
  return out;
}

Json entry(tokenizer::TokenId id, float logprob, const LogprobStyle& style) {
  return Json::object({{"token", token_text(id, style)},
                       {"logprob", finite_logprob(logprob)},
                       {"bytes", bytes_json(style.tokenizer.bytes(id))}});
}

}  // namespace

std::string token_text(tokenizer::TokenId id, const LogprobStyle& style) {
  if (style.tokens_as_ids) return fmt::format("token_id:{}", id);
  return utf8::replace_invalid(style.tokenizer.bytes(id));
}

double finite_logprob(float logprob) {
  return static_cast<double>(std::max(logprob, kLowest));
}

Json chat_logprob(const chat::TokenInfo& token, const LogprobStyle& style) {
  Json out = entry(token.id, token.logprobs.logprob, style);
  Json top = Json::array();
  for (const engine::LogprobEntry& item : token.logprobs.top) {
    if (static_cast<int32_t>(top.as_array().size()) == style.top) break;
    top.push_back(entry(item.token, item.logprob, style));
  }
  out.set("top_logprobs", std::move(top));
  return out;
}

void CompletionLogprobs::add(tokenizer::TokenId id, const engine::TokenLogprobs* logprobs, int64_t offset) {
  offsets_.push_back(offset);
  tokens_.push_back(token_text(id, style_));
  if (logprobs == nullptr) {
    token_logprobs_.push_back(nullptr);
    top_.push_back(nullptr);
    return;
  }
  token_logprobs_.push_back(finite_logprob(logprobs->logprob));
  // The token itself comes first, then the likeliest: one more than asked for if it is none of them. Of
  // tokens with the same text (parts of characters) the likeliest stays.
  Json top = Json::object({{token_text(id, style_), finite_logprob(logprobs->logprob)}});
  std::unordered_set<std::string> texts{token_text(id, style_)};
  int32_t shown = 0;
  for (const engine::LogprobEntry& item : logprobs->top) {
    if (shown++ == style_.top) break;
    std::string text = token_text(item.token, style_);
    if (texts.insert(text).second)
      top.as_object().emplace_back(std::move(text), finite_logprob(item.logprob));
  }
  top_.push_back(std::move(top));
}

Json CompletionLogprobs::take() {
  Json out = Json::object({{"text_offset", std::move(offsets_)},
                           {"token_logprobs", std::move(token_logprobs_)},
                           {"tokens", std::move(tokens_)},
                           {"top_logprobs", std::move(top_)}});
  offsets_ = Json::array(), token_logprobs_ = Json::array(), tokens_ = Json::array(), top_ = Json::array();
  return out;
}

Json prompt_logprobs_json(const std::vector<tokenizer::TokenId>& prompt,
                          const std::vector<engine::TokenLogprobs>& logprobs,
                          const tokenizer::Tokenizer& tokenizer) {
  const LogprobStyle style{tokenizer};
  const auto value = [&](tokenizer::TokenId id, float logprob, int32_t rank) {
    return Json::object(
        {{"logprob", finite_logprob(logprob)}, {"rank", rank}, {"decoded_token", token_text(id, style)}});
  };
  Json out = Json::array();
  out.push_back(nullptr);
  for (size_t i = 0; i + 1 < prompt.size() && i < logprobs.size(); ++i) {
    const engine::TokenLogprobs& known = logprobs[i];
    Json item =
        Json::object({{std::to_string(prompt[i + 1]), value(prompt[i + 1], known.logprob, known.rank)}});
    int32_t rank = 0;
    for (const engine::LogprobEntry& top : known.top) {
      ++rank;
      if (top.token != prompt[i + 1])
        item.as_object().emplace_back(std::to_string(top.token), value(top.token, top.logprob, rank));
    }
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace minimax::api
