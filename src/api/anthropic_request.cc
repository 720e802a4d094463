#include "api/anthropic_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace minimax::api {
namespace {

constexpr std::array<std::string_view, 1> kText{"text"};
constexpr std::array kNames{Renamed{"stop", "stop_sequences"},
                            Renamed{"response_format", "output_config.format"},
                            Renamed{"reasoning_effort", "output_config.effort"},
                            Renamed{"thinking_token_budget", "thinking.budget_tokens"},
                            Renamed{"parallel_tool_calls", "tool_choice.disable_parallel_tool_use"}};

// The messages of a chat request as they grow.
class Messages {
 public:
  void add(Json message) {
    if (*message.find("role") == Json("assistant")) calls_ = {};
    if (const Json* calls = message.find("tool_calls")) calls_ = *calls;
    list_.push_back(std::move(message));
  }
  // Whether the assistant's last message has a call with this id.
  bool has_called(const std::string& id) const {
    return calls_.is_array() && std::ranges::any_of(calls_.as_array(), [&](const Json& call) {
             return *call.find("id") == Json(id);
           });
  }
  Json take() { return std::move(list_); }

 private:
  Json list_ = Json::array();
  Json calls_;
};

Failure unreadable(std::string_view type, const std::string& place) {
  return invalid(fmt::format("{} has the type {}, which this server does not read: the model reads text, and "
                             "tools run at the client.",
                             place, to_string(Json(type))),
                 place + ".type");
}

Result<std::string> block_text(const Json& block, std::string_view member, const std::string& place) {
  const Json* text = block.find(member);
  if (text == nullptr || !text->is_string()) {
    return invalid(fmt::format("{}.{} must be a string.", place, member),
                   fmt::format("{}.{}", place, member));
  }
  return text->as_string();
}

// A tool's result is one string: parts of a list are lines of it. is_error has no place in the family's
// template; what went wrong is the text's to say.
Status add_tool_result(const Json& block, const std::string& place, Messages& out) {
  const Result<std::string> id = block_text(block, "tool_use_id", place);
  if (!id.ok()) return id.failure();
  if (!out.has_called(*id)) {
    return invalid(fmt::format("{}.tool_use_id is {}, and the last message of the assistant before it has no "
                               "tool_use with that id.",
                               place, to_string(Json(*id))),
                   place + ".tool_use_id");
  }
  std::string text;
  if (const Json* content = block.find("content"); content != nullptr && !content->is_null()) {
    Result<std::string> read = text_content(*content, kText, "\n", place + ".content");
    if (!read.ok()) return read.failure();
    text = std::move(*read);
  }
  out.add(Json::object({{"role", "tool"}, {"tool_call_id", *id}, {"content", std::move(text)}}));
  return {};
}

// Text and tool results in the order they stand; neighbouring text is one message.
Status add_user(const Json::Array& blocks, const std::string& place, Messages& out) {
  std::optional<std::string> text;
  const auto flush = [&] {
    if (text) out.add(Json::object({{"role", "user"}, {"content", std::move(*text)}}));
    text.reset();
  };
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string here = fmt::format("{}[{}]", place, i);
    const Result<std::string> type = block_text(blocks[i], "type", here);
    if (!type.ok()) return type.failure();
    if (*type == "text") {
      const Result<std::string> more = block_text(blocks[i], "text", here);
      if (!more.ok()) return more.failure();
      text = text.value_or("") + *more;
    } else if (*type == "tool_result") {
      flush();
      if (Status status = add_tool_result(blocks[i], here, out); !status.ok()) return status;
    } else {
      return unreadable(*type, here);
    }
  }
  flush();
  return {};
}

Result<Json> tool_call(const Json& block, const std::string& place) {
  const Result<std::string> id = block_text(block, "id", place);
  if (!id.ok()) return id.failure();
  const Result<std::string> name = block_text(block, "name", place);
  if (!name.ok()) return name.failure();
  const Json* input = block.find("input");
  if (input == nullptr || !input->is_object()) {
    return invalid(place + ".input must be an object.", place + ".input");
  }
  return Json::object({{"id", *id},
                       {"type", "function"},
                       {"function", Json::object({{"name", *name}, {"arguments", *input}})}});
}

Status add_assistant(const Json::Array& blocks, const std::string& place, Messages& out) {
  std::string thinking, text;
  bool thinks = false;
  Json calls;
  const auto flush = [&] {
    Json message = Json::object({{"role", "assistant"}, {"content", std::exchange(text, {})}});
    if (thinks) message.set("reasoning", std::exchange(thinking, {}));
    if (!calls.is_null()) message.set("tool_calls", std::exchange(calls, {}));
    thinks = false;
    out.add(std::move(message));
  };
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string here = fmt::format("{}[{}]", place, i);
    const Result<std::string> type = block_text(blocks[i], "type", here);
    if (!type.ok()) return type.failure();
    if (*type == "text" || *type == "thinking") {
      const Result<std::string> more = block_text(blocks[i], *type, here);
      if (!more.ok()) return more.failure();
      // Thought again after a text: another message, as the items of Responses have it.
      if (*type == "thinking" && !text.empty() && calls.is_null()) flush();
      (*type == "text" ? text : thinking) += *more;
      thinks = thinks || *type == "thinking";
    } else if (*type == "tool_use") {
      Result<Json> call = tool_call(blocks[i], here);
      if (!call.ok()) return call.failure();
      calls.push_back(std::move(*call));
    } else if (*type != "redacted_thinking") {  // sealed by another server: nobody here can read it
      return unreadable(*type, here);
    }
  }
  flush();
  return {};
}

Status add_message(const Json& message, const std::string& place, Messages& out) {
  if (!message.is_object()) {
    return invalid(
        fmt::format("{} must be an object with role and content, not {}.", place, message.type_name()),
        place);
  }
  const Json* role = message.find("role");
  const bool known =
      role != nullptr && (*role == Json("user") || *role == Json("assistant") || *role == Json("system"));
  if (!known) return invalid(place + ".role must be user, assistant or system.", place + ".role");
  Fields fields(message, place + ".");
  const std::optional<std::string> clear_at = fields.string("clear_at");
  if (clear_at && *clear_at != "never")
    fields.refuse("clear_at", "a message that is sent is shown; leave it out when its turn has passed.");
  if (const Json* config = fields.object("output_config"); config != nullptr && !config->as_object().empty())
    fields.refuse("output_config", "is taken for the request as a whole.");
  if (!fields.ok()) return fields.failure();
  const Json* content = message.find("content");
  if (content != nullptr && content->is_string()) {
    out.add(Json::object({{"role", *role}, {"content", *content}}));
    return {};
  }
  if (content == nullptr || !content->is_array()) {
    return invalid(place + ".content must be a string or a list of blocks.", place + ".content");
  }
  if (*role == Json("user")) return add_user(content->as_array(), place + ".content", out);
  if (*role == Json("assistant")) return add_assistant(content->as_array(), place + ".content", out);
  Result<std::string> text = text_content(*content, kText, "", place + ".content");
  if (!text.ok()) return text.failure();
  out.add(Json::object({{"role", "system"}, {"content", std::move(*text)}}));
  return {};
}

Status read_messages(Fields& fields, Messages& out) {
  if (const Json* system = fields.any("system")) {
    Result<std::string> text = text_content(*system, kText, "", "system");
    if (!text.ok()) return text.failure();
    out.add(Json::object({{"role", "system"}, {"content", std::move(*text)}}));
  }
  const Json* messages = fields.array("messages");
  if (messages == nullptr) return {};  // the chat request says what is missing
  for (size_t i = 0; i < messages->as_array().size(); ++i) {
    if (Status status = add_message(messages->as_array()[i], fmt::format("messages[{}]", i), out);
        !status.ok())
      return status;
  }
  return {};
}

Result<Json> read_tool(const Json& tool, const std::string& place) {
  if (!tool.is_object()) {
    return invalid(fmt::format("{} must be an object, not {}.", place, tool.type_name()), place);
  }
  Fields fields(tool, place + ".");
  const std::string type = fields.string("type").value_or("custom");
  if (type != "custom") {
    fields.fail("type", fmt::format("{}.type is {}: this server runs no tools of its own, only tools with an "
                                    "input_schema are taken.",
                                    place, to_string(Json(type))));
  }
  const std::optional<std::string> name = fields.string("name");
  if (!name || name->empty()) fields.fail("name", place + " has no name.");
  const Json* schema = fields.object("input_schema");
  if (schema == nullptr) fields.fail("input_schema", place + " has no input_schema.");
  const std::optional<std::string> description = fields.string("description");
  const bool strict = fields.boolean("strict").value_or(false);
  const std::optional<std::vector<std::string>> callers = fields.strings("allowed_callers");
  if (callers && std::ranges::find(*callers, "direct") == callers->end())
    fields.refuse("allowed_callers", "no code is run here that could call the tool; the model does.");
  if (!fields.ok()) return fields.failure();
  Json function = Json::object({{"name", *name}});
  if (description) function.set("description", *description);
  function.set("parameters", *schema);
  // Beside the function, not in it: it is no business of the model.
  Json out = Json::object({{"type", "function"}, {"function", std::move(function)}});
  if (strict) out.set("strict", true);
  return out;
}

void read_tools(Fields& fields, Json& chat) {
  const Json* tools = fields.array("tools");
  if (tools == nullptr || tools->as_array().empty()) return;
  Json out = Json::array();
  for (size_t i = 0; i < tools->as_array().size(); ++i) {
    Result<Json> tool = read_tool(tools->as_array()[i], fmt::format("tools[{}]", i));
    if (!tool.ok()) return fields.adopt(tool.failure());
    out.push_back(std::move(*tool));
  }
  chat.set("tools", std::move(out));
}

void read_tool_choice(Fields& fields, Json& chat) {
  const Json* choice = fields.object("tool_choice");
  if (choice == nullptr) return;
  Fields inner(*choice, "tool_choice.");
  const std::string type = inner.string("type").value_or("");
  if (type == "auto" || type == "none") {
    chat.set("tool_choice", type);
  } else if (type == "any") {
    chat.set("tool_choice", "required");
  } else if (type == "tool") {
    const std::optional<std::string> name = inner.string("name");
    if (!name) inner.fail("name", "tool_choice.name must say which tool to use.");
    chat.set("tool_choice",
             Json::object({{"type", "function"}, {"function", Json::object({{"name", name.value_or("")}})}}));
  } else {
    inner.fail("type", "tool_choice.type must be auto, any, tool or none.");
  }
  if (inner.boolean("disable_parallel_tool_use").value_or(false)) chat.set("parallel_tool_calls", false);
  if (!inner.ok()) fields.adopt(inner.failure());
}

// The family always thinks. What a client can settle is whether it sees it, and for how many tokens at most.
void read_thinking(Fields& fields, Json& chat) {
  const Json* thinking = fields.object("thinking");
  if (thinking == nullptr) return;
  Fields inner(*thinking, "thinking.");
  const std::string type = inner.string("type").value_or("");
  if (type != "enabled" && type != "adaptive" && type != "between_tools" && type != "disabled") {
    inner.fail("type", "thinking.type must be enabled, adaptive, between_tools or disabled.");
  }
  const std::optional<std::string> display = inner.string("display");
  if (display && *display != "summarized" && *display != "omitted") {
    inner.fail("display", "thinking.display must be summarized or omitted.");
  }
  if (type == "disabled" || display == "omitted") chat.set("include_reasoning", false);
  const std::optional<int64_t> budget =
      inner.integer("budget_tokens", 1, std::numeric_limits<int32_t>::max());
  if (budget && type != "disabled") chat.set("thinking_token_budget", *budget);
  if (!inner.ok()) fields.adopt(inner.failure());
}

void read_output_config(Fields& fields, Json& chat) {
  const Json* format = fields.object("output_format");  // where it stood before output_config
  if (const Json* config = fields.object("output_config")) {
    Fields inner(*config, "output_config.");
    if (const std::optional<std::string> effort = inner.string("effort"))
      chat.set("reasoning_effort", *effort);
    if (const Json* newer = inner.object("format")) format = newer;
    inner.refuse("task_budget", "the family's template has no place for it; max_tokens bounds an answer.");
    if (!inner.ok()) fields.adopt(inner.failure());
  }
  if (format == nullptr) return;
  const Json* type = format->find("type");
  const Json* schema = format->find("schema");
  if (type == nullptr || *type != Json("json_schema") || schema == nullptr || !schema->is_object()) {
    fields.fail("output_config.format",
                "output_config.format must be {\"type\": \"json_schema\", \"schema\": {...}}.");
    return;
  }
  chat.set("response_format",
           Json::object(
               {{"type", "json_schema"},
                {"json_schema", Json::object({{"name", "output"}, {"schema", *schema}, {"strict", true}})}}));
}

// Thinking of turns that ended is not in the prompt anyhow; that alone is what an edit may ask for.
void read_context_management(Fields& fields) {
  const Json* management = fields.object("context_management");
  if (management == nullptr) return;
  Fields inner(*management, "context_management.");
  if (const Json* edits = inner.array("edits")) {
    for (size_t i = 0; i < edits->as_array().size(); ++i) {
      const Json* type = edits->as_array()[i].find("type");
      if (type != nullptr && *type == Json("clear_thinking_20251015")) continue;
      inner.fail(fmt::format("edits[{}].type", i),
                 fmt::format("context_management.edits[{}] has the type {}; the conversation is taken as it "
                             "is sent, clear_thinking_20251015 alone is taken.",
                             i, type == nullptr ? "null" : to_string(*type)));
    }
  }
  if (!inner.ok()) fields.adopt(inner.failure());
}

// Fields of the API that would change the answer, or promise what this server does not keep.
void refuse_what_is_absent(Fields& fields) {
  fields.refuse("thread", "threads are not kept here; send the whole conversation.");
  fields.refuse("container", "there are no containers here; tools run at the client.");
  if (const Json* servers = fields.array("mcp_servers"); servers != nullptr && !servers->as_array().empty())
    fields.refuse("mcp_servers", "this server calls no other servers; tools run at the client.");
  fields.refuse("compaction", "conversations are not summarised here; ask for a summary in a message.");
  fields.refuse("inference_geo", "where this server runs is not a request's to choose.");
  if (const Json* fallbacks = fields.any("fallbacks"); fallbacks != nullptr && *fallbacks != Json("default"))
    fields.refuse("fallbacks", "there is one model here, and it declines nothing on its own.");
  if (const std::optional<std::string> speed = fields.string("speed"); speed && *speed != "standard")
    fields.refuse("speed", "there is one speed here: standard.");
  const std::optional<std::string> tier = fields.string("service_tier");
  if (tier && *tier != "auto" && *tier != "standard_only")
    fields.fail("service_tier", "service_tier must be auto or standard_only.");
  fields.refuse("stop", "is a field of chat completions; send stop_sequences.");
  fields.refuse("max_completion_tokens", "is a field of chat completions; send max_tokens.");
  fields.refuse("response_format", "is a field of chat completions; send output_config.format.");
  fields.refuse("reasoning_effort", "is a field of chat completions; send output_config.effort.");
  fields.object("metadata");  // for the client's own records
}

// An answer that begins where the last message of the assistant ends.
Status settle_end(Json& messages, Json& chat) {
  if (!messages.is_array() || messages.as_array().empty()) return {};
  const Json& last = messages.as_array().back();
  if (*last.find("role") != Json("assistant")) return {};
  if (last.find("tool_calls") != nullptr) {
    return invalid("The last message has a tool_use without a tool_result to follow.", "messages");
  }
  chat.set("add_generation_prompt", false);
  chat.set("continue_final_message", true);
  return {};
}

}  // namespace

std::span<const Renamed> anthropic_names() {
  return kNames;
}

Result<Json> chat_of_messages(const Json& body, bool counts) {
  Fields fields(body);
  Json chat = Json::object();
  Messages messages;
  if (Status status = read_messages(fields, messages); !status.ok()) return status.failure();
  Json list = messages.take();
  if (Status status = settle_end(list, chat); !status.ok()) return status.failure();
  if (fields.any("messages") != nullptr) chat.set("messages", std::move(list));
  copy_members(fields, {"model", "temperature", "top_p", "top_k", "stream", "structured_outputs"}, chat);
  if (const Json* stops = fields.array("stop_sequences"); stops != nullptr && !stops->as_array().empty()) {
    chat.set("stop", *stops);
  }
  read_tools(fields, chat);
  read_tool_choice(fields, chat);
  read_thinking(fields, chat);
  read_output_config(fields, chat);
  const std::optional<int64_t> max_tokens =
      fields.integer("max_tokens", 1, std::numeric_limits<int32_t>::max());
  if (!max_tokens && !counts) fields.fail("max_tokens", "The request has no max_tokens.");
  if (max_tokens) chat.set("max_tokens", *max_tokens);
  copy_extensions(fields, chat);
  read_context_management(fields);
  refuse_what_is_absent(fields);
  if (!fields.ok()) return fields.failure();
  return chat;
}

}  // namespace minimax::api
