#include "api/logprobs.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

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

void append_chat_logprobs(std::string& out, const std::vector<chat::TokenInfo>& tokens,
                          const LogprobStyle& style) {
  out += "{\"content\":[";
  bool first = true;
  for (const chat::TokenInfo& token : tokens) {
    if (!token.has_logprobs) continue;
    if (!std::exchange(first, false)) out += ',';
    append_json(out, chat_logprob(token, style));
  }
  out += "]}";
}

void CompletionLogprobs::add(tokenizer::TokenId id, const engine::TokenLogprobs* logprobs, int64_t offset) {
  Item& item = items_.emplace_back(Item{id, offset, {}});
  if (logprobs != nullptr) item.logprobs = *logprobs;
}

// The token itself comes first, then the likeliest: one more than asked for if it is none of them. Of tokens
// with the same text (parts of characters) the likeliest stays.
void CompletionLogprobs::append_top(std::string& out, const Item& item) const {
  const auto member = [&](std::string_view text, float logprob) {
    append_json_string(out, text);
    out += ':';
    append_json_double(out, finite_logprob(logprob));
  };
  const std::string own = token_text(item.id, style_);
  out += '{';
  member(own, item.logprobs->logprob);
  std::unordered_set<std::string> texts{own};
  int32_t shown = 0;
  for (const engine::LogprobEntry& entry : item.logprobs->top) {
    if (shown++ == style_.top) break;
    const auto [text, is_new] = texts.insert(token_text(entry.token, style_));
    if (!is_new) continue;
    out += ',';
    member(*text, entry.logprob);
  }
  out += '}';
}

void CompletionLogprobs::take(std::string& out) {
  const auto list = [&](std::string_view name, const auto& append) {
    append_json_string(out, name);
    out += ":[";
    for (size_t i = 0; i < items_.size(); ++i) {
      if (i > 0) out += ',';
      append(items_[i]);
    }
    out += ']';
  };
  out += '{';
  list("text_offset", [&](const Item& item) { out += std::to_string(item.offset); });
  out += ',';
  list("token_logprobs", [&](const Item& item) {
    if (item.logprobs) {
      append_json_double(out, finite_logprob(item.logprobs->logprob));
    } else {
      out += "null";
    }
  });
  out += ',';
  list("tokens", [&](const Item& item) { append_json_string(out, token_text(item.id, style_)); });
  out += ',';
  list("top_logprobs", [&](const Item& item) {
    if (item.logprobs) {
      append_top(out, item);
    } else {
      out += "null";
    }
  });
  out += '}';
  items_ = {};
}

void append_prompt_logprobs(std::string& out, const std::vector<tokenizer::TokenId>& prompt,
                            const std::vector<engine::TokenLogprobs>& logprobs,
                            const tokenizer::Tokenizer& tokenizer) {
  const LogprobStyle style{tokenizer};
  const auto value = [&](tokenizer::TokenId id, float logprob, int32_t rank) {
    return Json::object(
        {{"logprob", finite_logprob(logprob)}, {"rank", rank}, {"decoded_token", token_text(id, style)}});
  };
  out += "[null";
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
    out += ',';
    append_json(out, item);
  }
  out += ']';
}

}  // namespace minimax::api
