#include "api/responses_run.h"

#include "api/openai_chat.h"
#include "api/responses_items.h"
#include "base/check.h"
#include "base/clock.h"

namespace minimax::api {
namespace {

Json usage_object(const chat::Usage& usage) {
  return Json::object(
      {{"input_tokens", usage.prompt_tokens},
       {"input_tokens_details",
        Json::object({{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}})},
       {"output_tokens", usage.completion_tokens},
       {"output_tokens_details", Json::object({{"reasoning_tokens", usage.reasoning_tokens}})},
       {"total_tokens", usage.prompt_tokens + usage.completion_tokens}});
}

}  // namespace

std::string_view name_of(ResponseStatus status) {
  switch (status) {
    case ResponseStatus::kQueued:
      return "queued";
    case ResponseStatus::kInProgress:
      return "in_progress";
    case ResponseStatus::kCompleted:
      return "completed";
    case ResponseStatus::kIncomplete:
      return "incomplete";
    case ResponseStatus::kFailed:
      return "failed";
    case ResponseStatus::kCancelled:
      return "cancelled";
  }
  return "failed";
}

ResponseRun::ResponseRun(ResponsesRequest wire, ChatRequest request, std::unique_ptr<chat::Session> session,
                         std::unique_ptr<CallRecord> record, const ServiceOptions& options,
                         const tokenizer::Tokenizer& tokenizer, Metrics& metrics)
    : wire_(std::move(wire)),
      request_(std::move(request)),
      session_(std::move(session)),
      record_(std::move(record)),
      options_(options),
      style_{tokenizer, false, request_.top_logprobs},
      metrics_(metrics),
      id_(record_->id()),
      created_(unix_seconds()),
      status_(wire_.background ? ResponseStatus::kQueued : ResponseStatus::kInProgress),
      output_(request_.params.request_id, {request_.logprobs, wire_.includes.encrypted_content}) {}

void ResponseRun::emit_state(std::string_view type) {
  events_.emit(type, Json::object({{"response", object()}}));
}

void ResponseRun::begin() {
  if (begun_) return;
  begun_ = true;
  emit_state("response.created");
  emit_state(wire_.background ? "response.queued" : "response.in_progress");
}

bool ResponseRun::poll(std::vector<Event>& events) {
  if (session_) {
    begin();
    updates_.clear();
    const bool more = session_->poll(updates_);
    for (chat::Update& update : updates_) {
      if (status_ == ResponseStatus::kQueued) {
        status_ = ResponseStatus::kInProgress;
        emit_state("response.in_progress");
      }
      take(update);
      if (failure_) break;
    }
    usage_ = session_->usage();
    if (failure_) {
      end(ResponseStatus::kFailed, "response.failed");
    } else if (!more) {
      const bool whole = finish_ && finish_->reason == engine::FinishReason::kStop;
      end(whole ? ResponseStatus::kCompleted : ResponseStatus::kIncomplete,
          whole ? "response.completed" : "response.incomplete");
    }
  }
  for (Event& event : events_.take()) events.push_back(std::move(event));
  return !ended();
}

void ResponseRun::take(chat::Update& update) {
  if (update.finish) record_->sample_finished(update.finish->reason);
  if (update.finish && update.finish->reason == engine::FinishReason::kError) {
    failure_ = failure_of(*update.finish);
    return;
  }
  for (const chat::ToolCallDelta& call : update.delta.calls) calls_ += call.begins ? 1 : 0;
  Json logprobs = Json::array();
  if (request_.logprobs) {
    for (const chat::TokenInfo& token : update.tokens) {
      if (token.in_content && token.has_logprobs) logprobs.push_back(chat_logprob(token, style_));
    }
  }
  output_.add(update.delta, std::move(logprobs), events_);
  if (update.finish) finish_ = std::move(update.finish);
}

void ResponseRun::end(ResponseStatus status, std::string_view event) {
  if (status == ResponseStatus::kCompleted && request_.generation.parser &&
      request_.generation.parser->tool_calls) {
    metrics_.on_tool_parse(calls_);
  }
  record_->finish(usage_, finish_ ? finish_reason(*finish_) : name_of(status));
  output_.close(status == ResponseStatus::kCompleted, events_);
  status_ = status;
  completed_ = unix_seconds();
  emit_state(event);
  session_.reset();
  record_.reset();
}

void ResponseRun::cancel() {
  if (ended()) return;
  begin();
  usage_ = session_->usage();
  // The API has no event of its own for it; the object says cancelled.
  end(ResponseStatus::kCancelled, "response.cancelled");
}

Json ResponseRun::object() const {
  Json out = Json::object({{"id", id_}, {"object", "response"}, {"created_at", created_}});
  out.set("status", name_of(status_));
  out.set("completed_at", status_ == ResponseStatus::kCompleted ? Json(completed_) : Json());
  const bool own = failure_ && failure_->kind == FailureKind::kInvalid;
  out.set("error", failure_ ? Json::object({{"code", own ? "invalid_prompt" : "server_error"},
                                            {"message", failure_->message}})
                            : Json());
  out.set("incomplete_details",
          status_ == ResponseStatus::kIncomplete ? Json::object({{"reason", "max_output_tokens"}}) : Json());
  out.set("model", options_.served_names.front());
  out.set("output", output_.items());
  for (const auto& [name, value] : wire_.echo.as_object()) out.set(name, value);
  const Json* temperature = wire_.chat.find("temperature");
  const Json* top_p = wire_.chat.find("top_p");
  out.set("temperature", temperature != nullptr ? *temperature : Json(options_.defaults.temperature));
  out.set("top_p", top_p != nullptr ? *top_p : Json(options_.defaults.top_p));
  out.set("service_tier", "default");
  out.set("usage", ended() ? usage_object(usage_) : Json());
  return out;
}

Json ResponseRun::answer_messages() const {
  Result<Json> messages = messages_of_items(output_.items(), "output");
  CHECK(messages.ok());
  return std::move(*messages);
}

}  // namespace minimax::api
