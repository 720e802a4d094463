#pragma once
// A conversation in native terms: what the template renders and what the parser yields. Wire formats are
// api/'s.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace minimax::chat {

enum class Role { kSystem, kUser, kAssistant, kTool };

struct ToolCall {
  std::string id;
  std::string name;
  Json arguments = Json::object();  // always an object
};

// A part of a message's content that is no plain string. Rendered as the official template does.
struct Message {
  Role role = Role::kUser;
  // A string, or an array of parts as the client sent them ({"type": "text", "text": ...}, strings, tool
  // outputs). Null is normalised to the empty string by api/.
  Json content = Json("");
  std::optional<std::string> reasoning;                       // assistant: thinking passed back
  std::vector<ToolCall> tool_calls;                           // assistant
  std::string tool_call_id;                                   // tool
  std::optional<std::string> current_date, current_location;  // system: fields the official template knows
};

struct Tool {
  std::string name;
  Json function;  // the function object as sent: name, description, parameters, in the client's order of keys
  Json parameters;      // its JSON schema; null if absent
  bool strict = false;  // arguments must be valid by the schema
};

struct Conversation {
  std::vector<Message> messages;
  std::vector<Tool> tools;
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  Json template_kwargs;  // chat_template_kwargs: null or an object
};

}  // namespace minimax::chat
