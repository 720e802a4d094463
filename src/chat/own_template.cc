#include "chat/own_template.h"

#include <ctime>

#include "chat/template/python_text.h"

namespace minimax::chat {
namespace {

std::string_view name_of(Role role) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kUser:
      return "user";
    case Role::kAssistant:
      return "assistant";
    case Role::kTool:
      return "tool";
  }
  return "user";
}

// The texts of a list of parts, one a line.
Json joined_parts(const Json& content) {
  if (!content.is_array()) return content;
  std::string text;
  bool first = true;
  for (const Json& part : content.as_array()) {
    const Json* shown = part.is_string() ? &part : part.find("text");
    if (shown == nullptr || !shown->is_string()) return content;  // no text: the template's to deal with
    if (!first) text += '\n';
    first = false;
    text += shown->as_string();
  }
  return Json(std::move(text));
}

Json calls_of(const Message& message) {
  Json calls = Json::array();
  for (const ToolCall& call : message.tool_calls) {
    calls.push_back(
        Json::object({{"id", call.id},
                      {"type", "function"},
                      {"function", Json::object({{"name", call.name}, {"arguments", call.arguments}})}}));
  }
  return calls;
}

Json message_of(const Message& message, bool reads_parts) {
  Json out = Json::object({{"role", name_of(message.role)}});
  // Null stands beside tool calls and means no text; a template would print the word None.
  if (message.content.is_null()) {
    out.set("content", "");
  } else {
    out.set("content", reads_parts ? message.content : joined_parts(message.content));
  }
  if (message.reasoning) {
    out.set("reasoning_content", *message.reasoning);
    out.set("reasoning", *message.reasoning);
  }
  if (!message.tool_calls.empty()) out.set("tool_calls", calls_of(message));
  if (!message.tool_call_id.empty()) out.set("tool_call_id", message.tool_call_id);
  if (message.current_date) out.set("current_date", *message.current_date);
  if (message.current_location) out.set("current_location", *message.current_location);
  return out;
}

Json tools_of(const Conversation& conversation) {
  if (conversation.tools.empty()) return {};
  Json tools = Json::array();
  for (const Tool& tool : conversation.tools) {
    tools.push_back(Json::object({{"type", "function"}, {"function", tool.function}}));
  }
  return tools;
}

std::vector<jinja::Input> inputs_of(const Conversation& conversation, const OwnTemplate& own) {
  std::vector<jinja::Input> inputs;
  if (own.special_tokens.is_object()) {
    for (const auto& [name, text] : own.special_tokens.as_object()) inputs.push_back({name, text, true});
  }
  inputs.push_back({"documents", Json(), false});
  if (conversation.template_kwargs.is_object()) {
    for (const auto& [name, value] : conversation.template_kwargs.as_object())
      inputs.push_back({name, value, false});
  }
  Json messages = Json::array();
  for (const Message& message : conversation.messages)
    messages.push_back(message_of(message, own.reads_parts));
  inputs.push_back({"messages", std::move(messages), false, "role"});
  inputs.push_back({"tools", tools_of(conversation), false});
  inputs.push_back({"add_generation_prompt",
                    conversation.add_generation_prompt && !conversation.continue_final_message, false});
  return inputs;
}

// The last text of the message that is to be continued.
std::string final_text(const Json& content) {
  if (content.is_string()) return content.as_string();
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content.as_array()) {
    const Json* shown = part.is_string() ? &part : part.find("text");
    if (shown != nullptr && shown->is_string()) text = shown->as_string();
  }
  return text;
}

// Cuts the prompt behind the text of its last message, as transformers does: with the space the text ends
// with, if the template kept it.
Status cut_behind(const std::string& text, size_t messages, jinja::Text& prompt) {
  const std::string field = fmt::format("messages[{}].content", messages - 1);
  const jinja::Range bare = jinja::stripped(text, true, true);
  const std::string_view whole = text;
  const std::string_view core = whole.substr(bare.begin, bare.end - bare.begin);
  // The last place where the conversation wrote it: the template's own end of a message may look the same.
  size_t at = core.empty() ? std::string::npos : prompt.bytes().rfind(core);
  while (at != std::string::npos && prompt.from_template(at)) {
    at = at == 0 ? std::string::npos : prompt.bytes().rfind(core, at - 1);
  }
  if (at == std::string::npos) {
    return invalid("The chat template changes the last message's text, so it cannot be continued.", field);
  }
  const std::string_view with_tail = whole.substr(bare.begin);
  const bool kept = std::string_view(prompt.bytes()).substr(at).starts_with(with_tail);
  prompt = prompt.slice(0, at + (kept ? with_tail : core).size());
  return {};
}

}  // namespace

Result<std::vector<Segment>> render_own(const Conversation& conversation, const OwnTemplate& own) {
  Result<jinja::Text> prompt = own.program.render(inputs_of(conversation, own), std::time(nullptr));
  if (!prompt.ok()) {
    Failure failure = prompt.failure();
    failure.param = "messages";
    return failure;
  }
  if (conversation.continue_final_message) {
    const std::string text = final_text(conversation.messages.back().content);
    if (Status status = cut_behind(text, conversation.messages.size(), *prompt); !status.ok()) {
      return status.failure();
    }
  }
  std::vector<Segment> segments;
  size_t begin = 0;
  for (const jinja::Text::Run& run : prompt->runs()) {
    segments.push_back({prompt->bytes().substr(begin, run.end - begin), run.from_template});
    begin = run.end;
  }
  return segments;
}

}  // namespace minimax::chat
