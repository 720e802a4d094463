#include "api/anthropic_blocks.h"

#include <fmt/format.h>

#include "base/check.h"

namespace minimax::api {
namespace {

Event event(std::string_view type, Json members) {
  Json out = Json::object({{"type", type}});
  for (auto& [name, value] : members.as_object()) out.set(name, std::move(value));
  return {type, to_string(out)};
}

// The digits of the parser's "call_..." after the prefix that clients of this API know.
std::string tool_use_id(const std::string& call_id) {
  const size_t digits = call_id.find('_');
  return "toolu_" + (digits == std::string::npos ? call_id : call_id.substr(digits + 1));
}

}  // namespace

std::string thinking_signature(std::string_view thinking) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a, 64 bits
  for (const char c : thinking) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return fmt::format("minimax-{:016x}", hash);
}

void MessageBlocks::add(const chat::ParsedDelta& delta, std::vector<Event>& events) {
  // The order in which a delta says things: parse.h.
  for (const chat::ToolCallDelta& call : delta.calls) {
    if (!call.begins) add_call(call, events);
  }
  if (show_thinking_ && !delta.reasoning.empty()) {
    if (open_ != Kind::kThinking) {
      begin(Kind::kThinking, Json::object({{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}),
            events);
    }
    say("thinking_delta", "thinking", delta.reasoning, events);
  }
  if (!delta.content.empty()) {
    if (open_ != Kind::kText) begin(Kind::kText, Json::object({{"type", "text"}, {"text", ""}}), events);
    say("text_delta", "text", delta.content, events);
  }
  for (const chat::ToolCallDelta& call : delta.calls) {
    if (call.begins) add_call(call, events);
  }
}

void MessageBlocks::add_call(const chat::ToolCallDelta& call, std::vector<Event>& events) {
  if (call.begins) {
    begin(Kind::kToolUse,
          Json::object({{"type", "tool_use"},
                        {"id", tool_use_id(call.id)},
                        {"name", call.name},
                        {"input", Json::object()}}),
          events);
  }
  if (!call.arguments.empty()) say("input_json_delta", "partial_json", call.arguments, events);
}

void MessageBlocks::begin(Kind kind, Json block, std::vector<Event>& events) {
  close(events);
  open_ = kind;
  ++index_;
  events.push_back(event("content_block_start", Json::object({{"index", index_}, {"content_block", block}})));
  block_ = std::move(block);
}

void MessageBlocks::say(std::string_view type, std::string_view member, std::string_view text,
                        std::vector<Event>& events) {
  text_ += text;
  events.push_back(
      event("content_block_delta",
            Json::object({{"index", index_},
                          {"delta", Json::object({{"type", type}, {std::string(member), text}})}})));
}

void MessageBlocks::close(std::vector<Event>& events) {
  if (open_ == Kind::kNone) return;
  switch (open_) {
    case Kind::kThinking: {
      const std::string signature = thinking_signature(text_);
      events.push_back(event(
          "content_block_delta",
          Json::object({{"index", index_},
                        {"delta", Json::object({{"type", "signature_delta"}, {"signature", signature}})}})));
      block_.set("thinking", std::move(text_));
      block_.set("signature", signature);
      break;
    }
    case Kind::kText:
      block_.set("text", std::move(text_));
      break;
    case Kind::kToolUse: {
      // The parser closes what was cut off, so the arguments are always an object.
      Result<Json> input = parse_json(text_.empty() ? "{}" : text_);
      CHECK(input.ok());
      block_.set("input", std::move(*input));
      break;
    }
    case Kind::kNone:
      break;
  }
  events.push_back(event("content_block_stop", Json::object({{"index", index_}})));
  blocks_.push_back(std::move(block_));
  text_.clear();
  open_ = Kind::kNone;
}

}  // namespace minimax::api
