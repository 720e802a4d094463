#include "api/conversation.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

namespace minimax::api {
namespace {

using chat::Conversation;
using chat::Message;
using chat::Role;
using chat::Tool;
using chat::ToolCall;

// Kinds of content parts that are text, and the member that holds it.
struct TextPart {
  std::string_view type, member;
};
constexpr std::array kTextParts{TextPart{"text", "text"}, TextPart{"input_text", "text"},
                                TextPart{"output_text", "text"}, TextPart{"refusal", "refusal"}};
constexpr std::array<std::string_view, 7> kEfforts{"none", "minimal", "low", "medium",
                                                   "high", "xhigh",   "max"};

std::optional<Role> role_of(std::string_view name) {
  if (name == "system" || name == "developer") return Role::kSystem;
  if (name == "user") return Role::kUser;
  if (name == "assistant") return Role::kAssistant;
  if (name == "tool") return Role::kTool;
  return {};
}

Result<Json> read_part(const Json& part, Role role, const std::string& place) {
  if (part.is_string()) return part;
  if (!part.is_object()) {
    return invalid(
        fmt::format("{} must be a string or an object with a type, not {}.", place, part.type_name()), place);
  }
  // What a tool gave back, as the template knows it.
  if (role == Role::kTool && part.find("output") != nullptr) return part;
  const Json* type = part.find("type");
  if (type == nullptr || !type->is_string())
    return invalid(fmt::format("{} has no type.", place), place + ".type");
  for (const TextPart& kind : kTextParts) {
    if (type->as_string() != kind.type) continue;
    const Json* text = part.find(kind.member);
    if (text == nullptr || !text->is_string()) {
      return invalid(fmt::format("{}.{} must be a string.", place, kind.member),
                     fmt::format("{}.{}", place, kind.member));
    }
    return Json::object({{"type", "text"}, {"text", *text}});
  }
  return invalid(fmt::format("{} has the type {}, but this model reads text only.", place, to_string(*type)),
                 place + ".type");
}

Result<Json> read_content(const Json* content, Role role, const std::string& place) {
  if (content == nullptr) return Json("");
  if (content->is_string()) return *content;
  if (!content->is_array()) {
    return invalid(
        fmt::format("{} must be a string, a list of parts or null, not {}.", place, content->type_name()),
        place);
  }
  Json parts = Json::array();
  for (size_t i = 0; i < content->as_array().size(); ++i) {
    Result<Json> part = read_part(content->as_array()[i], role, fmt::format("{}[{}]", place, i));
    if (!part.ok()) return part.failure();
    parts.push_back(std::move(*part));
  }
  return parts;
}

// An object, or a string that holds the JSON of one; empty and null stand for no arguments.
Result<Json> read_arguments(const Json* arguments, const std::string& place) {
  if (arguments == nullptr || *arguments == Json("")) return Json::object();
  if (arguments->is_object()) return *arguments;
  if (!arguments->is_string()) {
    return invalid(
        fmt::format("{} must be a string that holds a JSON object, not {}.", place, arguments->type_name()),
        place);
  }
  Result<Json> parsed = parse_json(arguments->as_string());
  if (!parsed.ok()) {
    return invalid(fmt::format("{} must hold a JSON object: {}", place, parsed.failure().message), place);
  }
  if (!parsed->is_object()) {
    return invalid(fmt::format("{} must hold a JSON object, not {}.", place, parsed->type_name()), place);
  }
  return parsed;
}

Result<ToolCall> read_tool_call(const Json& value, const std::string& place) {
  if (!value.is_object()) {
    return invalid(fmt::format("{} must be an object, not {}.", place, value.type_name()), place);
  }
  Fields fields(value, place + ".");
  ToolCall call;
  call.id = fields.string("id").value_or("");
  const std::string type = fields.string("type").value_or("function");
  if (type != "function") fields.fail("type", fmt::format("{}.type must be function, not {}.", place, type));
  const Json* function = fields.object("function");
  if (function == nullptr) fields.fail("function", fmt::format("{} has no function.", place));
  if (!fields.ok()) return fields.failure();
  Fields inner(*function, place + ".function.");
  const std::optional<std::string> name = inner.string("name");
  if (!name || name->empty()) inner.fail("name", fmt::format("{}.function has no name.", place));
  if (!inner.ok()) return inner.failure();
  call.name = *name;
  Result<Json> arguments = read_arguments(inner.any("arguments"), place + ".function.arguments");
  if (!arguments.ok()) return arguments.failure();
  call.arguments = std::move(*arguments);
  return call;
}

Status read_assistant(Fields& fields, const std::string& place, Message& message) {
  // Older servers and clients say reasoning_content.
  const std::optional<std::string> older = fields.string("reasoning_content");
  message.reasoning = fields.string("reasoning");
  if (!message.reasoning) message.reasoning = older;
  fields.refuse("function_call", "the deprecated form of tool_calls is not read; send tool_calls.");
  const Json* calls = fields.array("tool_calls");
  if (!fields.ok()) return fields.failure();
  if (calls == nullptr) return {};
  for (size_t i = 0; i < calls->as_array().size(); ++i) {
    Result<ToolCall> call = read_tool_call(calls->as_array()[i], fmt::format("{}.tool_calls[{}]", place, i));
    if (!call.ok()) return call.failure();
    message.tool_calls.push_back(std::move(*call));
  }
  return {};
}

Result<Message> read_message(const Json& value, const std::string& place) {
  if (!value.is_object()) {
    return invalid(
        fmt::format("{} must be an object with role and content, not {}.", place, value.type_name()), place);
  }
  Fields fields(value, place + ".");
  const std::string name = fields.string("role").value_or("");
  const std::optional<Role> role = role_of(name);
  if (fields.ok() && !role) {
    fields.fail("role", fmt::format("{}.role must be system, developer, user, assistant or tool, not {}.",
                                    place, to_string(Json(name))));
  }
  if (!fields.ok()) return fields.failure();
  Message message;
  message.role = *role;
  Result<Json> content = read_content(fields.any("content"), *role, place + ".content");
  if (!content.ok()) return content.failure();
  message.content = std::move(*content);
  if (*role == Role::kAssistant) {
    if (Status status = read_assistant(fields, place, message); !status.ok()) return status.failure();
  } else if (*role == Role::kTool) {
    message.tool_call_id = fields.string("tool_call_id").value_or("");
  } else if (*role == Role::kSystem) {
    message.current_date = fields.string("current_date");
    message.current_location = fields.string("current_location");
  }
  if (!fields.ok()) return fields.failure();
  return message;
}

Result<Tool> read_tool(const Json& value, const std::string& place) {
  if (!value.is_object()) {
    return invalid(fmt::format("{} must be an object, not {}.", place, value.type_name()), place);
  }
  Fields fields(value, place + ".");
  const std::string type = fields.string("type").value_or("function");
  if (type != "function") {
    fields.fail("type", fmt::format("{}.type must be function, not {}: other tools are not offered.", place,
                                    to_string(Json(type))));
  }
  const Json* function = fields.object("function");
  if (function == nullptr) fields.fail("function", fmt::format("{} has no function.", place));
  if (!fields.ok()) return fields.failure();
  Fields inner(*function, place + ".function.");
  const std::optional<std::string> name = inner.string("name");
  if (!name || name->empty()) inner.fail("name", fmt::format("{}.function has no name.", place));
  inner.string("description");
  const Json* parameters = inner.object("parameters");
  if (!inner.ok()) return inner.failure();
  // Translated requests say it beside the function, so that it is not in the prompt.
  const auto says_strict = [](const Json& object) {
    const Json* strict = object.find("strict");
    return strict != nullptr && *strict == Json(true);
  };
  return Tool{*name, *function, parameters != nullptr ? *parameters : Json(),
              says_strict(*function) || says_strict(value)};
}

Json merged_kwargs(Fields& fields, const ConversationLimits& limits, const Json& defaults) {
  Json merged = defaults.is_object() ? defaults : Json();
  const Json* own = fields.object("chat_template_kwargs");
  if (own != nullptr && std::ssize(own->as_object()) > limits.template_kwargs_max) {
    fields.fail("chat_template_kwargs",
                fmt::format("chat_template_kwargs has {} entries; the limit is {} (template_kwargs_max).",
                            own->as_object().size(), limits.template_kwargs_max));
  } else if (own != nullptr) {
    for (const auto& [name, value] : own->as_object()) merged.set(name, value);
  }
  // As in the peer, the effort is the template's to use; the family's does not.
  if (const std::optional<std::string> effort = fields.string("reasoning_effort")) {
    bool known = false;
    for (const std::string_view name : kEfforts) known = known || *effort == name;
    if (!known) {
      fields.fail("reasoning_effort",
                  "reasoning_effort must be none, minimal, low, medium, high, xhigh or max.");
    }
    merged.set("reasoning_effort", *effort);
  }
  return merged;
}

std::string text_of(const Json& content) {
  if (content.is_string()) return content.as_string();
  std::string out;
  if (content.is_array()) {
    for (const Json& part : content.as_array()) {
      if (const Json* text = part.find("text"); text != nullptr && text->is_string())
        out += text->as_string();
    }
  }
  return out;
}

// The family's template reads one message of the system, the first; those right behind it would be lost.
void join_leading_system(std::vector<Message>& messages) {
  const auto end =
      std::ranges::find_if(messages, [](const Message& one) { return one.role != Role::kSystem; });
  if (end - messages.begin() < 2) return;
  Message& first = messages.front();
  std::string text = text_of(first.content);
  for (auto next = messages.begin() + 1; next != end; ++next) {
    text += "\n\n" + text_of(next->content);
    if (!first.current_date) first.current_date = next->current_date;
    if (!first.current_location) first.current_location = next->current_location;
  }
  first.content = std::move(text);
  messages.erase(messages.begin() + 1, end);
}

// The template shows the first of them only. What the system says later would be lost; as the user's words it
// is read, and stands where it was said.
void show_later_system(std::vector<Message>& messages) {
  for (size_t i = 1; i < messages.size(); ++i) {
    if (messages[i].role == Role::kSystem) messages[i].role = Role::kUser;
  }
}

// The template shows results without their ids, so they must stand in the order of the calls. Clients run
// tools side by side and send what is ready first. Where calls have no ids of their own, the order is the
// client's.
void order_results(std::vector<Message>& messages, Fields& fields) {
  for (size_t at = 0; at < messages.size(); ++at) {
    const std::vector<ToolCall>& calls = messages[at].tool_calls;
    const auto begin = messages.begin() + static_cast<std::ptrdiff_t>(at) + 1;
    const auto end =
        std::find_if(begin, messages.end(), [](const Message& one) { return one.role != Role::kTool; });
    const auto place_of = [&](const std::string& id) {
      return std::ranges::find(calls, id, &ToolCall::id) - calls.begin();
    };
    const bool named = std::ranges::all_of(calls, [&](const ToolCall& call) {
      return !call.id.empty() && std::ranges::count(calls, call.id, &ToolCall::id) == 1;
    });
    if (calls.empty() || begin == end || !named) continue;
    if (std::any_of(begin, end, [](const Message& result) { return result.tool_call_id.empty(); })) continue;
    for (auto result = begin; result != end; ++result) {
      if (place_of(result->tool_call_id) < std::ssize(calls)) continue;
      const std::string place = fmt::format("messages[{}].tool_call_id", result - messages.begin());
      fields.fail(place, fmt::format("{} is {}, which is the id of no call of the message before.", place,
                                     to_string(Json(result->tool_call_id))));
      return;
    }
    std::stable_sort(begin, end, [&](const Message& a, const Message& b) {
      return place_of(a.tool_call_id) < place_of(b.tool_call_id);
    });
  }
}

}  // namespace

Result<std::vector<Tool>> parse_tools(const Json& tools, const ConversationLimits& limits) {
  if (!tools.is_array())
    return invalid(fmt::format("tools must be a list, not {}.", tools.type_name()), "tools");
  if (static_cast<int64_t>(tools.as_array().size()) > limits.tools_max) {
    return invalid(fmt::format("The request has {} tools; the limit is {} (tools_max).",
                               tools.as_array().size(), limits.tools_max),
                   "tools");
  }
  std::vector<Tool> out;
  for (size_t i = 0; i < tools.as_array().size(); ++i) {
    Result<Tool> tool = read_tool(tools.as_array()[i], fmt::format("tools[{}]", i));
    if (!tool.ok()) return tool.failure();
    out.push_back(std::move(*tool));
  }
  return out;
}

Conversation read_conversation(Fields& fields, const ConversationLimits& limits, const Json& default_kwargs) {
  Conversation conversation;
  const Json* messages = fields.array("messages");
  if (messages == nullptr) {
    fields.fail("messages", "The request has no messages.");
  } else if (messages->as_array().empty()) {
    fields.fail("messages", "messages must hold at least one message.");
  } else if (static_cast<int64_t>(messages->as_array().size()) > limits.messages_max) {
    fields.fail("messages", fmt::format("The request has {} messages; the limit is {} (messages_max).",
                                        messages->as_array().size(), limits.messages_max));
  } else {
    for (size_t i = 0; i < messages->as_array().size() && fields.ok(); ++i) {
      Result<Message> message = read_message(messages->as_array()[i], fmt::format("messages[{}]", i));
      if (message.ok()) {
        conversation.messages.push_back(std::move(*message));
      } else {
        fields.adopt(message.failure());
      }
    }
    if (fields.ok()) {
      order_results(conversation.messages, fields);
      join_leading_system(conversation.messages);
      show_later_system(conversation.messages);
    }
  }
  if (const Json* tools = fields.array("tools")) {
    Result<std::vector<Tool>> read = parse_tools(*tools, limits);
    if (!read.ok()) {
      fields.adopt(read.failure());
    } else if (read->empty()) {
      fields.fail("tools", "tools must not be an empty list; leave it out if there are none.");
    } else {
      conversation.tools = std::move(*read);
    }
  }
  const std::optional<bool> generation_prompt = fields.boolean("add_generation_prompt");
  conversation.continue_final_message = fields.boolean("continue_final_message").value_or(false);
  conversation.add_generation_prompt = generation_prompt.value_or(!conversation.continue_final_message);
  if (conversation.continue_final_message && conversation.add_generation_prompt) {
    fields.fail(
        "continue_final_message",
        "continue_final_message and add_generation_prompt exclude each other: the last message is either "
        "continued or answered.");
  }
  conversation.template_kwargs = merged_kwargs(fields, limits, default_kwargs);
  return conversation;
}

Result<Conversation> parse_conversation(const Json& request, const ConversationLimits& limits) {
  if (!request.is_object()) {
    return invalid(fmt::format("A chat request is a JSON object, not {}.", request.type_name()));
  }
  Fields fields(request);
  Conversation conversation = read_conversation(fields, limits, {});
  if (!fields.ok()) return fields.failure();
  return conversation;
}

}  // namespace minimax::api
