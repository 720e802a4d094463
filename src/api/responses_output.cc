#include "api/responses_output.h"

#include <fmt/format.h>

#include "api/sealed_thinking.h"

namespace minimax::api {

std::string response_of_item(std::string_view item_id) {
  const size_t begin = item_id.find('_');
  const size_t end = item_id.rfind('_');
  if (begin == std::string_view::npos || begin == end) return {};
  return "resp_" + std::string(item_id.substr(begin + 1, end - begin - 1));
}

void ResponseEvents::emit(std::string_view type, Json members) {
  Json out = Json::object({{"type", type}, {"sequence_number", next_++}});
  for (auto& [name, value] : members.as_object()) out.set(name, std::move(value));
  events_.emplace_back(type, to_string(out));
}

void ResponseOutput::add(const chat::ParsedDelta& delta, Json logprobs, ResponseEvents& events) {
  // The order in which a delta says things: parse.h.
  for (const chat::ToolCallDelta& call : delta.calls) {
    if (!call.begins) add_call(call, events);
  }
  if (!delta.reasoning.empty()) {
    if (open_ != Kind::kReasoning) {
      begin(Kind::kReasoning, Json::object({{"type", "reasoning"}, {"summary", Json::array()}}), events);
    }
    say("response.reasoning_text.delta", delta.reasoning, Json(), events);
  }
  if (!delta.content.empty()) {
    if (open_ != Kind::kMessage) {
      begin(Kind::kMessage, Json::object({{"type", "message"}, {"role", "assistant"}}), events);
    }
    say("response.output_text.delta", delta.content, std::move(logprobs), events);
  }
  for (const chat::ToolCallDelta& call : delta.calls) {
    if (call.begins) add_call(call, events);
  }
}

void ResponseOutput::add_call(const chat::ToolCallDelta& call, ResponseEvents& events) {
  if (call.begins) {
    begin(Kind::kCall, Json::object({{"type", "function_call"}, {"call_id", call.id}, {"name", call.name}}),
          events);
  }
  if (!call.arguments.empty()) say("response.function_call_arguments.delta", call.arguments, Json(), events);
}

// What every event of the open item begins with.
Json ResponseOutput::place(bool of_part) const {
  Json out = Json::object(
      {{"item_id", *head_.find("id")}, {"output_index", static_cast<int64_t>(done_.as_array().size())}});
  if (of_part) out.set("content_index", 0);
  return out;
}

Json ResponseOutput::part() const {
  if (open_ == Kind::kReasoning) return Json::object({{"type", "reasoning_text"}, {"text", text_}});
  return Json::object({{"type", "output_text"},
                       {"text", text_},
                       {"annotations", Json::array()},
                       {"logprobs", options_.logprobs ? logprobs_ : Json::array()}});
}

Json ResponseOutput::item(std::string_view status) const {
  Json out = head_;
  if (open_ == Kind::kCall) {
    out.set("arguments", text_);
  } else {
    out.set("content", text_.empty() ? Json::array() : Json(Json::Array{part()}));
  }
  if (open_ == Kind::kReasoning) {
    const bool sealed = options_.encrypted_content && status != "in_progress";
    out.set("encrypted_content", sealed ? Json(sealed_thinking(text_)) : Json());
  }
  out.set("status", status);
  return out;
}

Json ResponseOutput::items() const {
  Json out = done_;
  if (open_ != Kind::kNone) out.push_back(item("in_progress"));
  return out;
}

void ResponseOutput::begin(Kind kind, Json head, ResponseEvents& events) {
  close(true, events);
  open_ = kind;
  const std::string_view prefix = kind == Kind::kReasoning ? "rs" : kind == Kind::kMessage ? "msg" : "fc";
  head_ = Json::object({{"id", fmt::format("{}_{}_{}", prefix, id_, done_.as_array().size())}});
  for (auto& [name, value] : head.as_object()) head_.set(name, std::move(value));
  events.emit("response.output_item.added",
              Json::object({{"output_index", static_cast<int64_t>(done_.as_array().size())},
                            {"item", item("in_progress")}}));
  if (kind == Kind::kCall) return;
  Json members = place(true);
  members.set("part", part());
  events.emit(kind == Kind::kReasoning ? "response.reasoning_part.added" : "response.content_part.added",
              std::move(members));
}

void ResponseOutput::say(std::string_view type, std::string_view text, Json logprobs,
                         ResponseEvents& events) {
  text_ += text;
  Json members = place(open_ != Kind::kCall);
  members.set("delta", text);
  if (open_ == Kind::kMessage) {
    for (const Json& entry : logprobs.as_array()) logprobs_.push_back(entry);
    members.set("logprobs", std::move(logprobs));
  }
  events.emit(type, std::move(members));
}

void ResponseOutput::close(bool complete, ResponseEvents& events) {
  if (open_ == Kind::kNone) return;
  Json members = place(open_ != Kind::kCall);
  if (open_ == Kind::kCall) {
    members.set("name", *head_.find("name"));
    members.set("arguments", text_);
    events.emit("response.function_call_arguments.done", std::move(members));
  } else {
    const bool thinks = open_ == Kind::kReasoning;
    Json end = members;
    members.set("text", text_);
    if (!thinks) members.set("logprobs", options_.logprobs ? logprobs_ : Json::array());
    events.emit(thinks ? "response.reasoning_text.done" : "response.output_text.done", std::move(members));
    end.set("part", part());
    events.emit(thinks ? "response.reasoning_part.done" : "response.content_part.done", std::move(end));
  }
  Json finished = item(complete ? "completed" : "incomplete");
  events.emit(
      "response.output_item.done",
      Json::object({{"output_index", static_cast<int64_t>(done_.as_array().size())}, {"item", finished}}));
  done_.push_back(std::move(finished));
  open_ = Kind::kNone;
  text_.clear();
  logprobs_ = Json::array();
}

}  // namespace minimax::api
