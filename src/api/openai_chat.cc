#include "api/openai_chat.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "api/errors.h"
#include "base/clock.h"

namespace minimax::api {
namespace {

constexpr std::string_view kDone = "[DONE]";

Json ids_json(const std::vector<tokenizer::TokenId>& ids) {
  Json::Array out(ids.begin(), ids.end());
  return Json(std::move(out));
}

Json ids_json(const std::vector<chat::TokenInfo>& tokens) {
  Json::Array out;
  for (const chat::TokenInfo& token : tokens) out.emplace_back(token.id);
  return Json(std::move(out));
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  if (!out.empty()) out += ',';
  append_json_string(out, name);
  out += ':';
  append_json_string(out, text);
}

void append_call(std::string& out, const chat::ToolCallDelta& call) {
  out += fmt::format("{{\"index\":{},", call.index);
  if (call.begins) {
    out += "\"id\":";
    append_json_string(out, call.id);
    out += ",\"type\":\"function\",\"function\":{\"name\":";
    append_json_string(out, call.name);
    out += ",\"arguments\":";
  } else {
    out += "\"function\":{\"arguments\":";
  }
  append_json_string(out, call.arguments);
  out += "}}";
}

// The last delta of a call may say only that it ends, which the wire has no word for.
bool says_something(const chat::ToolCallDelta& call) {
  return call.begins || !call.arguments.empty();
}

}  // namespace

std::string_view finish_reason(const chat::Finish& finish) {
  switch (finish.reason) {
    case engine::FinishReason::kStop:
      return finish.any_calls ? "tool_calls" : "stop";
    case engine::FinishReason::kLength:
      return "length";
    case engine::FinishReason::kCancelled:
      return "abort";
    case engine::FinishReason::kError:
    case engine::FinishReason::kNone:
      break;
  }
  return "error";
}

Failure failure_of(const chat::Finish& finish) {
  if (finish.error_kind != FailureKind::kInternal) return {finish.error_kind, finish.error, {}};
  return {FailureKind::kInternal, "The generation failed: " + finish.error, {}};
}

Json stop_reason(const chat::Finish& finish) {
  if (const auto* id = std::get_if<tokenizer::TokenId>(&finish.stop_reason)) return *id;
  if (const auto* text = std::get_if<std::string>(&finish.stop_reason)) return *text;
  return {};
}

Json usage_json(const chat::Usage& usage, bool cached, bool reasoning) {
  Json out = Json::object({{"prompt_tokens", usage.prompt_tokens},
                           {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                           {"completion_tokens", usage.completion_tokens}});
  out.set("prompt_tokens_details", cached ? Json::object({{"cached_tokens", usage.cached_tokens}}) : Json());
  if (reasoning) {
    out.set("completion_tokens_details", Json::object({{"reasoning_tokens", usage.reasoning_tokens}}));
  }
  return out;
}

std::string delta_members(const chat::ParsedDelta& delta, bool include_reasoning) {
  std::string out;
  if (include_reasoning && !delta.reasoning.empty()) append_member(out, "reasoning", delta.reasoning);
  if (!delta.content.empty()) append_member(out, "content", delta.content);
  std::string calls;
  for (const chat::ToolCallDelta& call : delta.calls) {
    if (!says_something(call)) continue;
    if (!calls.empty()) calls += ',';
    append_call(calls, call);
  }
  if (!calls.empty()) {
    if (!out.empty()) out += ',';
    out += "\"tool_calls\":[" + calls + "]";
  }
  return out;
}

void MessageBuilder::add(const chat::ParsedDelta& delta) {
  reasoning_ += delta.reasoning;
  content_ += delta.content;
  for (const chat::ToolCallDelta& call : delta.calls) {
    const auto index = static_cast<size_t>(call.index);
    if (calls_.size() <= index) calls_.resize(index + 1);
    if (call.begins) {
      calls_[index].id = call.id;
      calls_[index].name = call.name;
    }
    calls_[index].arguments += call.arguments;
  }
}

Json MessageBuilder::message(std::string_view role, bool include_reasoning, bool null_content) const {
  Json out = Json::object({{"role", role},
                           {"content", content_.empty() && null_content ? Json() : Json(content_)},
                           {"refusal", nullptr},
                           {"annotations", nullptr},
                           {"audio", nullptr},
                           {"function_call", nullptr}});
  if (!calls_.empty()) {
    Json calls = Json::array();
    for (const Call& call : calls_) {
      calls.push_back(
          Json::object({{"id", call.id},
                        {"type", "function"},
                        {"function", Json::object({{"name", call.name}, {"arguments", call.arguments}})}}));
    }
    out.set("tool_calls", std::move(calls));
  }
  out.set("reasoning", include_reasoning && !reasoning_.empty() ? Json(reasoning_) : Json());
  return out;
}

ChatCall::ChatCall(ChatRequest request, std::unique_ptr<chat::Session> session,
                   std::unique_ptr<CallRecord> record, const ServiceOptions& options,
                   const tokenizer::Tokenizer& tokenizer, Metrics& metrics)
    : request_(std::move(request)),
      session_(std::move(session)),
      record_(std::move(record)),
      options_(options),
      style_{tokenizer, request_.params.tokens_as_token_ids, request_.top_logprobs},
      metrics_(metrics),
      show_logprobs_(request_.logprobs && !request_.hides_tokens()),
      show_token_ids_(request_.params.return_token_ids && !request_.hides_tokens()),
      created_(unix_seconds()),
      choices_(static_cast<size_t>(request_.params.n)) {
  if (!streams() && !request_.echo.empty()) {
    chat::ParsedDelta echo;
    echo.content = request_.echo;
    for (Choice& choice : choices_) choice.message.add(echo);
  }
  chunk_head_ = "{\"id\":";
  append_json_string(chunk_head_, record_->id());
  chunk_head_ += fmt::format(",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":", created_);
  append_json_string(chunk_head_, options_.served_names.front());
  chunk_head_ += ",\"choices\":[";
}

bool ChatCall::poll(std::vector<Event>& events) {
  if (!session_) return false;
  updates_.clear();
  const bool more = session_->poll(updates_);
  for (chat::Update& update : updates_) {
    take(update, events);
    if (failure_) {
      // One sample that failed fails the request; the others are cancelled with the session.
      record_->finish(session_->usage(), "error");
      if (streams()) {
        events.push_back(error_event(*failure_));
        events.emplace_back(kDone);
      }
      session_.reset();
      return false;
    }
  }
  if (more) return true;
  std::string_view reason = "none";
  for (const Choice& choice : choices_) {
    if (choice.finish) reason = finish_reason(*choice.finish);
  }
  record_->finish(session_->usage(), reason);
  if (streams()) end_stream(events);
  return false;
}

void ChatCall::take(chat::Update& update, std::vector<Event>& events) {
  Choice& choice = choices_[static_cast<size_t>(update.sample_idx)];
  choice.tokens += static_cast<int64_t>(update.tokens.size());
  for (const chat::ToolCallDelta& call : update.delta.calls) choice.calls += call.begins ? 1 : 0;
  if (update.finish && request_.named_call) update.finish->any_calls = false;
  if (update.finish) record_->sample_finished(update.finish->reason);
  if (update.finish && update.finish->reason == engine::FinishReason::kError) {
    failure_ = failure_of(*update.finish);
    return;
  }
  if (update.finish && request_.generation.parser && request_.generation.parser->tool_calls) {
    metrics_.on_tool_parse(choice.calls);
  }
  if (streams()) {
    begin_stream(events);
    stream_update(update, events);
  } else {
    choice.message.add(update.delta);
    if (show_logprobs_ || show_token_ids_) {
      std::ranges::move(update.tokens, std::back_inserter(choice.shown));
    }
  }
  if (update.finish) choice.finish = std::move(update.finish);
}

// ---------------------------------------------------------------------------------------------------------------
// Streamed.

std::string ChatCall::chunk(std::string_view choices, const Json& usage, std::string_view more) const {
  std::string out;
  out.reserve(chunk_head_.size() + choices.size() + more.size() + 128);
  out.append(chunk_head_).append(choices).append("]").append(more);
  if (!usage.is_null()) {
    out += ",\"usage\":";
    append_json(out, usage);
  }
  out += '}';
  return out;
}

Json ChatCall::running_usage(int64_t completion_tokens) const {
  if (!request_.params.continuous_usage) return {};
  chat::Usage usage;
  usage.prompt_tokens = static_cast<int64_t>(session_->usage().prompt_tokens);
  usage.completion_tokens = completion_tokens;
  return usage_json(usage, false, false);
}

void ChatCall::begin_stream(std::vector<Event>& events) {
  if (begun_) return;
  begun_ = true;
  std::string more;
  if (request_.params.return_token_ids) {
    more += ",\"prompt_token_ids\":";
    append_json(more, ids_json(request_.generation.request.prompt));
  }
  if (request_.return_prompt_text) {
    more += ",\"prompt_text\":";
    append_json_string(more, request_.prompt_text);
  }
  for (size_t i = 0; i < choices_.size(); ++i) {
    events.push_back(
        chunk(fmt::format("{{\"index\":{},\"delta\":{{\"role\":\"{}\",\"content\":\"\"}},\"logprobs\":"
                          "null,\"finish_reason\":null}}",
                          i, request_.role),
              running_usage(0), more));
    if (request_.echo.empty()) continue;
    std::string echo;
    append_json_string(echo, request_.echo);
    events.push_back(chunk(fmt::format("{{\"index\":{},\"delta\":{{\"content\":{}}},\"logprobs\":null,"
                                       "\"finish_reason\":null}}",
                                       i, echo),
                           running_usage(0)));
  }
}

void ChatCall::stream_update(const chat::Update& update, std::vector<Event>& events) {
  const Choice& choice = choices_[static_cast<size_t>(update.sample_idx)];
  const std::string members = delta_members(update.delta, request_.include_reasoning);
  const bool tells_tokens = (show_logprobs_ || show_token_ids_) && !update.tokens.empty();
  // Tokens that said nothing yet (half a character, a tag) make no chunk, unless the client counts them.
  if (members.empty() && !update.finish && !tells_tokens) return;
  std::string out = fmt::format("{{\"index\":{},\"delta\":{{{}}},\"logprobs\":", update.sample_idx, members);
  if (show_logprobs_ && !update.tokens.empty()) {
    append_chat_logprobs(out, update.tokens, style_);
  } else {
    out += "null";
  }
  if (update.finish) {
    out += fmt::format(",\"finish_reason\":\"{}\",\"stop_reason\":", finish_reason(*update.finish));
    append_json(out, stop_reason(*update.finish));
  } else {
    out += ",\"finish_reason\":null";
  }
  if (show_token_ids_) {
    out += ",\"token_ids\":";
    append_json(out, ids_json(update.tokens));
  }
  out += '}';
  events.push_back(chunk(out, running_usage(choice.tokens)));
}

void ChatCall::end_stream(std::vector<Event>& events) {
  if (request_.params.include_usage) {
    const bool reasoning = options_.reasoning != chat::ReasoningFormat::kNone;
    events.push_back(chunk("", usage_json(session_->usage(), options_.prompt_tokens_details, reasoning)));
  }
  events.emplace_back(kDone);
}

// ---------------------------------------------------------------------------------------------------------------
// Whole.

// Written piece by piece: log-probabilities of many samples would be a large tree of JSON.
void ChatCall::append_choice(std::string& out, size_t index) const {
  const Choice& choice = choices_[index];
  out += fmt::format("{{\"index\":{},\"message\":", index);
  append_json(out, choice.message.message(request_.role, request_.include_reasoning,
                                          request_.generation.parser.has_value()));
  out += ",\"logprobs\":";
  if (show_logprobs_) {
    append_chat_logprobs(out, choice.shown, style_);
  } else {
    out += "null";
  }
  out += ",\"finish_reason\":";
  append_json(out, choice.finish ? Json(finish_reason(*choice.finish)) : Json());
  out += ",\"stop_reason\":";
  append_json(out, choice.finish ? stop_reason(*choice.finish) : Json());
  out += ",\"token_ids\":";
  append_json(out, show_token_ids_ ? ids_json(choice.shown) : Json());
  out += '}';
}

Reply ChatCall::reply() {
  if (failure_) return error_reply(*failure_);
  const bool reasoning = options_.reasoning != chat::ReasoningFormat::kNone;
  Reply reply;
  std::string& out = reply.body;
  out += "{\"id\":";
  append_json_string(out, record_->id());
  out += fmt::format(",\"object\":\"chat.completion\",\"created\":{},\"model\":", created_);
  append_json_string(out, options_.served_names.front());
  out += ",\"choices\":[";
  for (size_t i = 0; i < choices_.size(); ++i) {
    if (i > 0) out += ',';
    append_choice(out, i);
    choices_[i] = {};
  }
  out += "],\"service_tier\":null,\"system_fingerprint\":null,\"usage\":";
  append_json(out, usage_json(session_->usage(), options_.prompt_tokens_details, reasoning));
  const auto& prompt = request_.generation.request.prompt;
  out += ",\"prompt_logprobs\":";
  if (request_.params.prompt_logprobs >= 0) {
    append_prompt_logprobs(out, prompt, session_->prompt_info().prompt_logprobs, style_.tokenizer);
  } else {
    out += "null";
  }
  out += ",\"prompt_token_ids\":";
  append_json(out, request_.params.return_token_ids ? ids_json(prompt) : Json());
  if (request_.return_prompt_text) {
    out += ",\"prompt_text\":";
    append_json_string(out, request_.prompt_text);
  }
  out += ",\"kv_transfer_params\":null}";
  return reply;
}

}  // namespace minimax::api
