#include "bench/client/token_text.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "bench/client/chunk.h"

namespace minimax::bench {
namespace {

constexpr TokenId kVocabularyMax = 1 << 21;

class LocalText final : public TokenText {
 public:
  LocalText(tokenizer::Tokenizer tokenizer, std::string name)
      : tokenizer_(std::move(tokenizer)), name_(std::move(name)) {
    for (TokenId id = 0; id < tokenizer_.size(); ++id) {
      if (tokenizer_.valid(id) && !tokenizer_.is_added(id)) allowed_.push_back(id);
    }
  }
  std::vector<TokenId> encode(const std::string& text) const override {
    return tokenizer_.encode(text, /*added_tokens=*/true);
  }
  std::string decode(const std::vector<TokenId>& ids) const override { return tokenizer_.decode(ids, false); }
  const std::vector<TokenId>& allowed() const override { return allowed_; }
  int64_t added_tokens() const override { return 0; }  // the family's tokenizer adds none
  std::string name() const override { return name_; }

 private:
  tokenizer::Tokenizer tokenizer_;
  std::string name_;
  std::vector<TokenId> allowed_;
};

class ServerText final : public TokenText {
 public:
  ServerText(net::Url url, net::HeaderList headers, std::string model, double timeout_s)
      : url_(std::move(url)), headers_(std::move(headers)), model_(std::move(model)), timeout_s_(timeout_s) {
    if (url_.path.ends_with("/v1")) url_.path.resize(url_.path.size() - 3);
    added_ = std::ssize(tokenize("a", true)) - std::ssize(tokenize("a", false));
    // The first id the server refuses.
    TokenId known = 0, refused = kVocabularyMax;
    while (refused - known > 1) {
      const TokenId middle = known + (refused - known) / 2;
      (accepts(middle) ? known : refused) = middle;
    }
    const TokenId edge = refused > 4 * kEdgeIds ? kEdgeIds : 0;
    for (TokenId id = edge; id < refused - edge; ++id) allowed_.push_back(id);
  }
  std::vector<TokenId> encode(const std::string& text) const override { return tokenize(text, false); }
  std::string decode(const std::vector<TokenId>& ids) const override {
    const Json body =
        Json::object({{"model", model_}, {"tokens", Json(Json::Array(ids.begin(), ids.end()))}});
    const Json answer = ask("/detokenize", body);
    const Json* prompt = answer.find("prompt");
    if (prompt == nullptr || !prompt->is_string()) throw Error("/detokenize: expected the string prompt");
    return prompt->as_string();
  }
  const std::vector<TokenId>& allowed() const override { return allowed_; }
  int64_t added_tokens() const override { return added_; }
  std::string name() const override { return model_ + " (the server's)"; }

 private:
  Json ask(const char* target, const Json& body) const {
    const net::FetchReply reply = net::fetch(url_, target, to_string(body), headers_, timeout_s_);
    if (reply.status != 200) {
      throw Error(
          "no tokenizer: the model is not on this disk, and the server's {} says {}; give a directory with "
          "--tokenizer",
          target,
          reply.status == 0 ? reply.error
                            : "HTTP " + std::to_string(reply.status) + ": " + error_sentence(reply.body));
    }
    Result<Json> answer = parse_json(reply.body);
    if (!answer.ok()) throw Error("{}: {}", target, answer.failure().message);
    return std::move(*answer);
  }
  std::vector<TokenId> tokenize(const std::string& text, bool add_special) const {
    const Json answer =
        ask("/tokenize",
            Json::object({{"model", model_}, {"prompt", text}, {"add_special_tokens", add_special}}));
    const Json* tokens = answer.find("tokens");
    if (tokens == nullptr || !tokens->is_array()) throw Error("/tokenize: expected the list tokens");
    std::vector<TokenId> ids;
    for (const Json& id : tokens->as_array()) {
      if (!id.is_int64()) throw Error("/tokenize: tokens holds {}, no id", id.type_name());
      ids.push_back(static_cast<TokenId>(id.as_int64()));
    }
    return ids;
  }
  bool accepts(TokenId id) const {
    const Json body = Json::object({{"model", model_}, {"tokens", Json(Json::Array{Json(int64_t{id})})}});
    const net::FetchReply reply = net::fetch(url_, "/detokenize", to_string(body), headers_, timeout_s_);
    const Result<Json> answer = parse_json(reply.body);
    const Json* prompt = answer.ok() ? answer->find("prompt") : nullptr;
    return reply.status == 200 && prompt != nullptr && prompt->is_string() && !prompt->as_string().empty();
  }

  net::Url url_;
  net::HeaderList headers_;
  std::string model_;
  double timeout_s_;
  int64_t added_ = 0;
  std::vector<TokenId> allowed_;
};

}  // namespace

std::unique_ptr<TokenText> local_token_text(tokenizer::Tokenizer tokenizer, std::string name) {
  return std::make_unique<LocalText>(std::move(tokenizer), std::move(name));
}

std::unique_ptr<TokenText> server_token_text(const net::Url& url, const net::HeaderList& headers,
                                             std::string model, double timeout_s) {
  return std::make_unique<ServerText>(url, headers, std::move(model), timeout_s);
}

std::string fit_text(const TokenText& text, std::vector<TokenId> ids, int64_t& tokens,
                     std::mt19937_64& random) {
  const auto wanted = static_cast<size_t>(tokens);
  const std::vector<TokenId>& allowed = text.allowed();
  std::uniform_int_distribution<size_t> any(0, allowed.size() - 1);
  std::string out;
  for (int i = 0; i < kFitTries; ++i) {
    out = text.decode(ids);
    ids = text.encode(out);
    tokens = std::ssize(ids);
    if (ids.size() == wanted) break;
    ids.resize(std::min(ids.size(), wanted));
    while (ids.size() < wanted) ids.push_back(allowed[any(random)]);
  }
  return out;
}

}  // namespace minimax::bench
