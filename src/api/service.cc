#include "api/service.h"

#include <random>

#include "api/anthropic_call.h"
#include "api/anthropic_request.h"
#include "api/call_record.h"
#include "api/chat_request.h"
#include "api/errors.h"
#include "api/models.h"
#include "api/openai_chat.h"
#include "api/openai_completions.h"
#include "api/openapi.h"
#include "api/query.h"
#include "api/responses.h"
#include "api/tokenize.h"
#include "base/check.h"
#include "base/clock.h"
#include "chat/guide.h"
#include "grammar/compiler.h"

namespace minimax::api {
namespace {

// A bijection that spreads its bits (the finaliser of SplitMix64): neighbouring counts give unrelated seeds.
uint64_t spread(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

Reply json_reply(const Result<Json>& result) {
  if (!result.ok()) return error_reply(result.failure());
  Reply reply;
  reply.body = to_string(*result);
  return reply;
}

}  // namespace

struct Service::Impl {
  Impl(ServiceOptions given, const tokenizer::Tokenizer& tokens, engine::Engine& motor, Metrics& numbers)
      : options(std::move(given)),
        tokenizer(tokens),
        engine(motor),
        metrics(numbers),
        compiler(chat::text_tokens(tokens)),
        created(unix_seconds()),
        responses(
            std::in_place, options, tokenizer, metrics,
            [this](const ChatRequest& request, Notify notify) { return begin(request, std::move(notify)); }) {
    CHECK(!options.served_names.empty());
  }

  uint64_t next_seed() {
    if (options.seed) return spread(*options.seed + spread(seed_count++));
    thread_local std::mt19937_64 random = [] {
      std::random_device device;
      std::seed_seq sequence{device(), device(), device(), device()};
      return std::mt19937_64(sequence);
    }();
    return random();
  }

  RequestContext context(const std::string& header_id) {
    return {options,   tokenizer, engine.context_tokens_max(), [this] { return next_seed(); },
            header_id, &compiler};
  }

  Reply tokens_reply(const Call& call, Result<Json> (*handler)(const Json&, const RequestContext&)) {
    const Result<Json> body = parse_body(call.body);
    if (!body.ok()) return error_reply(body.failure());
    return json_reply(handler(*body, context(call.request_id)));
  }

  // Begins what a chat request asks for; the record counts it from here on.
  Result<Begun> begin(const ChatRequest& request, Notify notify) {
    Result<std::unique_ptr<chat::Session>> session =
        chat::Session::start(engine, tokenizer, request.generation, std::move(notify));
    if (!session.ok()) return session.failure();
    metrics.on_request(request.params.n, request.generation.request.max_tokens);
    return Begun{std::move(*session),
                 std::make_unique<CallRecord>(open_calls, metrics, options.log_requests,
                                              request.generation.request.id, request.params.n)};
  }

  const ServiceOptions options;
  const tokenizer::Tokenizer& tokenizer;
  engine::Engine& engine;
  Metrics& metrics;
  grammar::Compiler compiler;
  const int64_t created;
  std::atomic<int64_t> open_calls{0};
  std::atomic<uint64_t> seed_count{0};
  std::atomic<bool> draining{false};
  const std::string no_header_id;
  std::optional<Responses> responses;  // the last to be built, the first to go
};

Service::Service(ServiceOptions options, const tokenizer::Tokenizer& tokenizer, engine::Engine& engine,
                 Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), tokenizer, engine, metrics)) {}

Service::~Service() {
  impl_->responses.reset();
  CHECK_EQ(impl_->open_calls.load(), 0);
}

Answer Service::chat_completions(const Call& call, Notify notify) {
  const Result<Json> body = parse_body(call.body);
  if (!body.ok()) return error_reply(body.failure());
  Result<ChatRequest> request = read_chat_request(*body, impl_->context(call.request_id));
  if (!request.ok()) return error_reply(request.failure());
  Result<Begun> begun = impl_->begin(*request, std::move(notify));
  if (!begun.ok()) return error_reply(begun.failure());
  return std::make_unique<ChatCall>(std::move(*request), std::move(begun->session), std::move(begun->record),
                                    impl_->options, impl_->tokenizer, impl_->metrics);
}

Answer Service::messages(const Call& call, Notify notify) {
  const Result<Json> body = parse_body(call.body);
  if (!body.ok()) return error_reply(body.failure());
  const Result<Json> chat = chat_of_messages(*body, false);
  if (!chat.ok()) return error_reply(chat.failure());
  Result<ChatRequest> request =
      read_chat_request(*chat, impl_->context(call.request_id), {"msg_", "/v1/messages", true});
  if (!request.ok()) return error_reply(in_words_of(anthropic_names(), request.failure()));
  Result<Begun> begun = impl_->begin(*request, std::move(notify));
  if (!begun.ok()) return error_reply(begun.failure());
  return std::make_unique<MessagesCall>(std::move(*request), std::move(begun->session),
                                        std::move(begun->record), impl_->options, impl_->metrics,
                                        call.request_id);
}

Reply Service::count_tokens(const Call& call) const {
  const Result<Json> body = parse_body(call.body);
  if (!body.ok()) return error_reply(body.failure());
  const Result<Json> chat = chat_of_messages(*body, true);
  if (!chat.ok()) return error_reply(chat.failure());
  Fields fields(*chat);
  read_model(fields, impl_->options);
  const Result<std::vector<tokenizer::TokenId>> ids =
      chat_prompt_ids(fields, impl_->context(call.request_id));
  if (!ids.ok()) return error_reply(in_words_of(anthropic_names(), ids.failure()));
  Reply reply;
  reply.body = to_string(Json::object({{"input_tokens", static_cast<int64_t>(ids->size())}}));
  return reply;
}

Answer Service::completions(const Call& call, Notify notify) {
  const Result<Json> body = parse_body(call.body);
  if (!body.ok()) return error_reply(body.failure());
  Result<CompletionRequest> request = read_completion_request(*body, impl_->context(call.request_id));
  if (!request.ok()) return error_reply(request.failure());
  std::vector<std::unique_ptr<chat::Session>> sessions;
  for (const CompletionPrompt& prompt : request->prompts) {
    Result<std::unique_ptr<chat::Session>> session =
        chat::Session::start(impl_->engine, impl_->tokenizer, prompt.generation, notify);
    if (!session.ok()) return error_reply(session.failure());
    sessions.push_back(std::move(*session));
    impl_->metrics.on_request(request->params.n, prompt.generation.request.max_tokens);
  }
  auto record = std::make_unique<CallRecord>(impl_->open_calls, impl_->metrics, impl_->options.log_requests,
                                             "cmpl-" + request->params.request_id,
                                             request->params.n * static_cast<int64_t>(sessions.size()));
  return std::make_unique<CompletionCall>(std::move(*request), std::move(sessions), std::move(record),
                                          impl_->options, impl_->tokenizer);
}

Answer Service::responses(const Call& call, Notify notify) {
  const Result<Json> body = parse_body(call.body);
  if (!body.ok()) return error_reply(body.failure());
  return impl_->responses->create(*body, impl_->context(impl_->no_header_id), std::move(notify));
}

Answer Service::response(const Call& call, const std::string& id, Notify notify) {
  Query query(call.query);
  const bool stream = query.boolean("stream").value_or(false) && call.method != "HEAD";
  const Responses::Getting getting{stream, query.integer("starting_after").value_or(-1),
                                   query.strings("include")};
  if (!query.ok()) return error_reply(query.failure());
  return impl_->responses->get(id, getting, std::move(notify));
}

Reply Service::delete_response(const std::string& id) {
  return impl_->responses->remove(id);
}

Reply Service::cancel_response(const std::string& id) {
  return impl_->responses->cancel(id);
}

Reply Service::render_chat(const Call& call) const {
  return impl_->tokens_reply(call, api::render_chat);
}

Reply Service::openapi() const {
  if (!impl_->options.openapi)
    return error_reply(404, "/openapi.json is not served (--disable-fastapi-docs).");
  Reply reply;
  reply.body = to_string(openapi_document(impl_->options.version));
  return reply;
}

Reply Service::models() const {
  return models_reply(impl_->options, impl_->engine.context_tokens_max(), impl_->created);
}

Reply Service::model(const std::string& name) const {
  return model_reply(impl_->options, impl_->engine.context_tokens_max(), impl_->created, name);
}

Reply Service::tokenize(const Call& call) const {
  return impl_->tokens_reply(call, api::tokenize);
}

Reply Service::detokenize(const Call& call) const {
  return impl_->tokens_reply(call, api::detokenize);
}

Reply Service::health() const {
  if (const std::string reason = impl_->engine.failure(); !reason.empty()) return error_reply(503, reason);
  if (impl_->draining) return error_reply(503, "The server is shutting down.");
  return {};
}

Reply Service::version() const {
  Reply reply;
  reply.body = to_string(Json::object({{"version", impl_->options.version}}));
  return reply;
}

Reply Service::load() const {
  Reply reply;
  reply.body = to_string(Json::object({{"server_load", impl_->open_calls.load()}}));
  return reply;
}

Reply Service::metrics() const {
  Reply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = impl_->metrics.text(impl_->engine.stats());
  return reply;
}

void Service::drain() {
  impl_->draining = true;
  impl_->engine.drain();
}

void Service::abort() {
  impl_->engine.abort("The server is shutting down.");
}

const ServiceOptions& Service::options() const {
  return impl_->options;
}

}  // namespace minimax::api
