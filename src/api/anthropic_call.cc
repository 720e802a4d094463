#include "api/anthropic_call.h"

#include "api/anthropic_errors.h"
#include "api/errors.h"
#include "api/openai_chat.h"

namespace minimax::api {
namespace {

Event named(std::string_view type, const Json& event) {
  return {type, to_string(event)};
}

}  // namespace

Json anthropic_usage(const chat::Usage& usage, bool reasoning) {
  Json out = Json::object({{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
                           {"cache_creation_input_tokens", 0},
                           {"cache_read_input_tokens", usage.cached_tokens},
                           {"output_tokens", usage.completion_tokens}});
  if (reasoning) {
    out.set("output_tokens_details", Json::object({{"thinking_tokens", usage.reasoning_tokens}}));
  }
  return out;
}

MessagesCall::MessagesCall(ChatRequest request, std::unique_ptr<chat::Session> session,
                           std::unique_ptr<CallRecord> record, const ServiceOptions& options,
                           Metrics& metrics, std::string request_id)
    : request_(std::move(request)),
      session_(std::move(session)),
      record_(std::move(record)),
      options_(options),
      metrics_(metrics),
      request_id_(std::move(request_id)),
      blocks_(request_.include_reasoning) {}

bool MessagesCall::poll(std::vector<Event>& events) {
  if (!session_) return false;
  updates_.clear();
  const bool more = session_->poll(updates_);
  std::vector<Event>& out = streams() ? events : unsent_;
  for (chat::Update& update : updates_) {
    if (update.finish) record_->sample_finished(update.finish->reason);
    if (update.finish && update.finish->reason == engine::FinishReason::kError) {
      failure_ = failure_of(*update.finish);
      record_->finish(session_->usage(), "error");
      if (streams())
        events.push_back(
            named("error", anthropic_error(http_status(failure_->kind), failure_->message, request_id_)));
      session_.reset();
      return false;
    }
    begin(out);
    for (const chat::ToolCallDelta& call : update.delta.calls) calls_ += call.begins ? 1 : 0;
    blocks_.add(update.delta, out);
    if (update.finish) finish_ = std::move(update.finish);
    if (!streams()) unsent_.clear();
  }
  if (more) return true;
  if (request_.generation.parser && request_.generation.parser->tool_calls) metrics_.on_tool_parse(calls_);
  record_->finish(session_->usage(), finish_ ? finish_reason(*finish_) : "none");
  end(out);
  return false;
}

std::string_view MessagesCall::stop_reason() const {
  if (finish_->reason == engine::FinishReason::kLength) {
    const bool asked = request_.params.max_tokens == request_.generation.request.max_tokens;
    return asked ? "max_tokens" : "model_context_window_exceeded";
  }
  if (!stop_sequence().is_null()) return "stop_sequence";
  return finish_->any_calls ? "tool_use" : "end_turn";
}

Json MessagesCall::stop_sequence() const {
  const auto* text = std::get_if<std::string>(&finish_->stop_reason);
  return text == nullptr ? Json() : Json(*text);
}

Json MessagesCall::message(Json content, const Json& usage) const {
  return Json::object({{"id", record_->id()},
                       {"type", "message"},
                       {"role", "assistant"},
                       {"model", options_.served_names.front()},
                       {"content", std::move(content)},
                       {"stop_reason", finish_ ? Json(stop_reason()) : Json()},
                       {"stop_sequence", finish_ ? stop_sequence() : Json()},
                       {"usage", usage}});
}

void MessagesCall::begin(std::vector<Event>& events) {
  if (begun_) return;
  begun_ = true;
  chat::Usage usage = session_->usage();
  usage.completion_tokens = 0;
  events.push_back(named("message_start",
                         Json::object({{"type", "message_start"},
                                       {"message", message(Json::array(), anthropic_usage(usage, false))}})));
  events.push_back(named("ping", Json::object({{"type", "ping"}})));
}

void MessagesCall::end(std::vector<Event>& events) {
  blocks_.close(events);
  if (!streams() || !finish_) return;
  const bool reasoning = options_.reasoning != chat::ReasoningFormat::kNone;
  events.push_back(
      named("message_delta", Json::object({{"type", "message_delta"},
                                           {"delta", Json::object({{"stop_reason", stop_reason()},
                                                                   {"stop_sequence", stop_sequence()}})},
                                           {"usage", anthropic_usage(session_->usage(), reasoning)}})));
  events.push_back(named("message_stop", Json::object({{"type", "message_stop"}})));
}

Reply MessagesCall::reply() {
  Reply reply;
  if (failure_) return anthropic_reply(error_reply(*failure_), request_id_);
  const bool reasoning = options_.reasoning != chat::ReasoningFormat::kNone;
  reply.body = to_string(message(blocks_.take(), anthropic_usage(session_->usage(), reasoning)));
  return reply;
}

}  // namespace minimax::api
