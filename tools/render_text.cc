// Renders lines of JSON for tools/compare_template.py.
//
//   render_text < lines
//
// A line is {"messages": [...], "tools": [...], "keywords": {...}, "template": ...} in the shape the chat
// template takes. With a template that is interpreted, otherwise the family's is written by hand. Each gives
// a line {"text": ..., "of_user":
// [...]} (the texts that came from the conversation), or {"error": ..., "param": ...}.

#include <iostream>

#include "base/error.h"
#include "base/json.h"
#include "chat/render.h"

namespace minimax {
namespace {

bool flag(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value != nullptr && value->is_bool() && value->as_bool();
}

std::optional<std::string> optional_string(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return value->as_string();
}

chat::Role role_of(const std::string& name) {
  if (name == "system") return chat::Role::kSystem;
  if (name == "assistant") return chat::Role::kAssistant;
  return name == "tool" ? chat::Role::kTool : chat::Role::kUser;
}

chat::Message message_of(const Json& json) {
  chat::Message message;
  message.role = role_of(json.find("role")->as_string());
  if (const Json* content = json.find("content")) message.content = *content;
  message.reasoning = optional_string(json, "reasoning_content");
  message.current_date = optional_string(json, "current_date");
  message.current_location = optional_string(json, "current_location");
  if (const Json* calls = json.find("tool_calls")) {
    for (const Json& call : calls->as_array()) {
      const Json* function = call.find("function");
      message.tool_calls.push_back({"", function->find("name")->as_string(), *function->find("arguments")});
    }
  }
  return message;
}

chat::Conversation conversation_of(const Json& json) {
  chat::Conversation conversation;
  for (const Json& message : json.find("messages")->as_array()) {
    conversation.messages.push_back(message_of(message));
  }
  if (const Json* tools = json.find("tools")) {
    for (const Json& tool : tools->as_array()) {
      conversation.tools.push_back({"", *tool.find("function"), Json()});
    }
  }
  conversation.add_generation_prompt = flag(json, "add_generation_prompt");
  conversation.continue_final_message = flag(json, "continue_final_message");
  if (const Json* keywords = json.find("keywords")) conversation.template_kwargs = *keywords;
  return conversation;
}

Result<std::vector<chat::Segment>> rendered(const Json& line) {
  chat::RenderOptions options;
  if (const Json* source = line.find("template")) {
    // Neighbouring lines have the same template more often than not.
    thread_local std::string known;
    thread_local std::optional<chat::jinja::Template> program;
    if (!program || known != source->as_string()) {
      try {
        program = chat::jinja::Template::parse(source->as_string(), "template");
      } catch (const Error& error) {
        return invalid(error.what());
      }
      known = source->as_string();
    }
    options.own =
        chat::OwnTemplate{*program, Json::object({{"bos_token", "]~!b["}, {"eos_token", "[e~["}}), true};
  }
  return chat::render(conversation_of(line), options);
}

int run() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const Result<Json> parsed = parse_json(line);
    if (!parsed) {
      std::cerr << parsed.failure().message << "\n";
      return 1;
    }
    const auto segments = rendered(*parsed);
    Json answer = Json::object();
    if (segments) {
      answer.set("text", chat::joined(*segments));
      Json of_user = Json::array();
      for (const chat::Segment& segment : *segments) {
        if (!segment.from_template) of_user.push_back(segment.text);
      }
      answer.set("of_user", of_user);
    } else {
      answer.set("error", segments.failure().message).set("param", segments.failure().param);
    }
    std::cout << to_string(answer) << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace minimax

int main() {
  return minimax::run();
}
