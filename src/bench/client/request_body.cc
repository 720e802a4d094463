#include "bench/client/request_body.h"

namespace minimax::bench {
namespace {

std::string finished_body(const BodyOptions& options, Json body, int64_t output_tokens) {
  body.set("max_tokens", output_tokens);
  body.set("repetition_penalty", 1.0);
  body.set("stream", true);
  body.set("stream_options", Json::object({{"include_usage", true}}));
  if (options.ignore_eos) body.set("ignore_eos", true);
  if (options.extra.is_object()) {
    for (const auto& [name, value] : options.extra.as_object()) {
      if (value.is_null()) {
        std::erase_if(body.as_object(), [&](const Json::Member& member) { return member.first == name; });
      } else {
        body.set(name, value);
      }
    }
  }
  return to_string(body);
}

}  // namespace

std::string chat_body(const BodyOptions& options, const Json& messages, const Json& tools,
                      int64_t output_tokens) {
  Json body = Json::object({{"model", options.model}, {"messages", messages}});
  if (!tools.is_null()) body.set("tools", tools);
  if (options.logprobs >= 0) body.set("logprobs", true).set("top_logprobs", options.logprobs);
  return finished_body(options, std::move(body), output_tokens);
}

std::string request_body(const BodyOptions& options, const Script& script) {
  if (options.chat) return chat_body(options, first_messages(script), script.tools, script.output_tokens);
  Json body = Json::object({{"model", options.model}, {"prompt", script.prompt}});
  if (options.logprobs >= 0) body.set("logprobs", options.logprobs);
  return finished_body(options, std::move(body), script.output_tokens);
}

Json first_messages(const Script& script) {
  if (!script.messages.is_null()) return script.messages;
  return Json(Json::Array{Json::object({{"role", "user"}, {"content", script.prompt}})});
}

void add_turn(Json& messages, const Outcome& answer, const FollowUp& next) {
  Json message = Json::object({{"role", "assistant"}, {"content", answer.text}});
  // Thinking is given back: the family's template shows it to the model within one task.
  if (!answer.reasoning.empty()) message.set(answer.reasoning_field, answer.reasoning);
  if (answer.tool_calls.empty()) {
    messages.push_back(std::move(message));
    messages.push_back(Json::object({{"role", "user"}, {"content", next.text}}));
    return;
  }
  message.set("tool_calls", Json(Json::Array(answer.tool_calls.begin(), answer.tool_calls.end())));
  messages.push_back(std::move(message));
  bool first = true;
  for (const Json& call : answer.tool_calls) {
    messages.push_back(Json::object(
        {{"role", "tool"}, {"tool_call_id", *call.find("id")}, {"content", first ? next.text : ""}}));
    first = false;
  }
}

}  // namespace minimax::bench
