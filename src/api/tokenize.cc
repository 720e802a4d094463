#include "api/tokenize.h"

#include <fmt/format.h>

#include "api/chat_request.h"
#include "api/conversation.h"
#include "api/logprobs.h"

namespace minimax::api {
namespace {

using tokenizer::TokenId;

Status check_bytes(int64_t bytes, const RequestContext& context) {
  if (bytes <= context.options.tokenize_bytes_max) return {};
  return Failure{FailureKind::kTooLarge,
                 fmt::format("The text has {} bytes; the limit is {} (tokenize_bytes_max).", bytes,
                             context.options.tokenize_bytes_max),
                 {}};
}

Result<std::vector<TokenId>> prompt_ids(Fields& fields, const RequestContext& context) {
  if (fields.any("messages") == nullptr) {
    const std::optional<std::string> prompt = fields.string("prompt");
    if (!prompt) fields.fail("prompt", "The request has neither prompt nor messages.");
    if (!fields.ok()) return fields.failure();
    if (const Status fits = check_bytes(std::ssize(*prompt), context); !fits.ok()) return fits.failure();
    return context.tokenizer.encode(*prompt, true);
  }
  return chat_prompt_ids(fields, context);
}

}  // namespace

Result<std::vector<TokenId>> chat_prompt_ids(Fields& fields, const RequestContext& context) {
  const ServiceOptions& options = context.options;
  const chat::Conversation conversation =
      read_conversation(fields, {options.messages_max, options.tools_max}, options.default_template_kwargs);
  fields.refuse("chat_template", "templates are not taken from requests.");
  if (!fields.ok()) return fields.failure();
  const Result<std::vector<chat::Segment>> segments = render_prompt(conversation, options);
  if (!segments.ok()) return segments.failure();
  if (const Status fits = check_bytes(bytes_of(*segments), context); !fits.ok()) return fits.failure();
  return chat::encode(context.tokenizer, *segments);
}

Result<Json> render_chat(const Json& body, const RequestContext& context) {
  Json shown = body;
  shown.set("return_prompt_text", true);
  Result<ChatRequest> request =
      read_chat_request(shown, context, {"chatcmpl-", "/v1/chat/completions/render", true});
  if (!request.ok()) return request.failure();
  const std::vector<TokenId>& ids = request->generation.request.prompt;
  return Json::object({{"prompt", request->prompt_text},
                       {"prompt_token_ids", Json(Json::Array(ids.begin(), ids.end()))},
                       {"count", static_cast<int64_t>(ids.size())},
                       {"max_model_len", context.context_tokens_max}});
}

Result<Json> tokenize(const Json& body, const RequestContext& context) {
  Fields fields(body);
  read_model(fields, context.options);
  const bool strings = fields.boolean("return_token_strs").value_or(false);
  fields.boolean("add_special_tokens");  // the family's tokenizer adds none
  if (!fields.ok()) return fields.failure();
  const Result<std::vector<TokenId>> ids = prompt_ids(fields, context);
  if (!ids.ok()) return ids.failure();
  log_unread(fields, "/tokenize");
  Json texts;
  if (strings) {
    texts = Json::array();
    for (const TokenId id : *ids) texts.push_back(token_text(id, {context.tokenizer}));
  }
  return Json::object({{"count", static_cast<int64_t>(ids->size())},
                       {"max_model_len", context.context_tokens_max},
                       {"tokens", Json(Json::Array(ids->begin(), ids->end()))},
                       {"token_strs", std::move(texts)}});
}

Result<Json> detokenize(const Json& body, const RequestContext& context) {
  Fields fields(body);
  read_model(fields, context.options);
  const std::optional<std::vector<int64_t>> given =
      fields.integers("tokens", 0, context.tokenizer.size() - 1);
  if (!given) fields.fail("tokens", "The request has no tokens.");
  if (!fields.ok()) return fields.failure();
  std::vector<TokenId> ids;
  for (const int64_t id : *given) ids.push_back(static_cast<TokenId>(id));
  return Json::object({{"prompt", context.tokenizer.decode(ids, false)}});
}

}  // namespace minimax::api
