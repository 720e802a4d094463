#include "api/responses_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "api/responses_items.h"

namespace minimax::api {
namespace {

constexpr std::array kNames{Renamed{"max_tokens", "max_output_tokens"},
                            Renamed{"response_format", "text.format"}, Renamed{"messages", "input"},
                            Renamed{"reasoning_effort", "reasoning.effort"}};
constexpr size_t kMetadataPairsMax = 16;
constexpr size_t kMetadataNameMax = 64, kMetadataValueMax = 512;  // characters
constexpr std::string_view kIncludeLogprobs = "message.output_text.logprobs";
constexpr std::string_view kIncludeEncrypted = "reasoning.encrypted_content";
// The rest of the API's: members of items that do not come up here.
constexpr std::array<std::string_view, 6> kIncludesOfOthers{
    "file_search_call.results",       "web_search_call.results",
    "web_search_call.action.sources", "message.input_image.image_url",
    "code_interpreter_call.outputs",  "computer_call_output.output.image_url"};

Result<Json> read_tool(const Json& tool, const std::string& place) {
  if (!tool.is_object()) {
    return invalid(fmt::format("{} must be an object, not {}.", place, tool.type_name()), place);
  }
  Fields fields(tool, place + ".");
  const std::string type = fields.string("type").value_or("");
  if (type != "function") {
    fields.fail("type", fmt::format("{}.type is {}: this server runs no tools of its own, only functions are "
                                    "taken.",
                                    place, to_string(Json(type))));
  }
  const std::optional<std::string> name = fields.string("name");
  if (!name || name->empty()) fields.fail("name", place + " has no name.");
  const std::optional<std::string> description = fields.string("description");
  const Json* parameters = fields.object("parameters");
  const bool strict = fields.boolean("strict").value_or(false);
  if (!fields.ok()) return fields.failure();
  Json function = Json::object({{"name", *name}});
  if (description) function.set("description", *description);
  if (parameters != nullptr) function.set("parameters", *parameters);
  // Beside the function, not in it: it is no business of the model.
  Json out = Json::object({{"type", "function"}, {"function", std::move(function)}});
  if (strict) out.set("strict", true);
  return out;
}

void read_tools(Fields& fields, ResponsesRequest& request) {
  const Json* tools = fields.array("tools");
  request.echo.set("tools", tools != nullptr ? *tools : Json::array());
  if (tools == nullptr || tools->as_array().empty()) return;
  Json out = Json::array();
  for (size_t i = 0; i < tools->as_array().size(); ++i) {
    Result<Json> tool = read_tool(tools->as_array()[i], fmt::format("tools[{}]", i));
    if (!tool.ok()) return fields.adopt(tool.failure());
    out.push_back(std::move(*tool));
  }
  request.chat.set("tools", std::move(out));
}

// {"type": "allowed_tools", "mode", "tools": [{"type": "function", "name"}]}: chat nests both once more.
void read_allowed_tools(Fields& fields, Fields& choice, ResponsesRequest& request) {
  Json tools = Json::array();
  const Json* given = choice.array("tools");
  if (given == nullptr) choice.fail("tools", "tool_choice.tools must list the tools that may be called.");
  for (size_t i = 0; choice.ok() && i < given->as_array().size(); ++i) {
    const Json& tool = given->as_array()[i];
    const Json* type = tool.find("type");
    const Json* name = tool.find("name");
    if (type == nullptr || *type != Json("function") || name == nullptr || !name->is_string()) {
      choice.fail(
          "tools",
          fmt::format("tool_choice.tools[{}] must be {{\"type\": \"function\", \"name\": NAME}}.", i));
      break;
    }
    tools.push_back(Json::object({{"type", "function"}, {"function", Json::object({{"name", *name}})}}));
  }
  const std::string mode = choice.string("mode").value_or("auto");
  if (!choice.ok()) return fields.adopt(choice.failure());
  request.chat.set(
      "tool_choice",
      Json::object({{"type", "allowed_tools"},
                    {"allowed_tools", Json::object({{"mode", mode}, {"tools", std::move(tools)}})}}));
}

void read_tool_choice(Fields& fields, ResponsesRequest& request) {
  const Json* choice = fields.any("tool_choice");
  request.echo.set("tool_choice", choice != nullptr ? *choice : Json("auto"));
  const bool tools = request.chat.find("tools") != nullptr;
  // Clients send auto with an empty list of tools too.
  if (choice == nullptr || (!tools && *choice == Json("auto"))) return;
  if (!choice->is_object()) {
    request.chat.set("tool_choice", *choice);
    return;
  }
  Fields inner(*choice, "tool_choice.");
  const std::string type = inner.string("type").value_or("");
  if (type == "allowed_tools") return read_allowed_tools(fields, inner, request);
  const std::string name = inner.string("name").value_or("");
  if (type != "function") {
    inner.fail("type",
               fmt::format("tool_choice.type is {}; as an object it must be {{\"type\": \"function\", "
                           "\"name\": NAME}} or {{\"type\": \"allowed_tools\", \"mode\": ..., \"tools\": "
                           "[...]}}.",
                           to_string(Json(type))));
    fields.adopt(inner.failure());
    return;
  }
  request.chat.set("tool_choice",
                   Json::object({{"type", "function"}, {"function", Json::object({{"name", name}})}}));
}

void read_text(Fields& fields, ResponsesRequest& request) {
  const Json* text = fields.object("text");
  Json format = Json::object({{"type", "text"}});
  if (text != nullptr) {
    Fields inner(*text, "text.");
    inner.string("verbosity");  // nothing in the template to say it with
    if (const Json* given = inner.object("format")) format = *given;
    if (!inner.ok()) return fields.adopt(inner.failure());
  }
  request.echo.set("text", Json::object({{"format", format}}));
  const Json* type = format.find("type");
  if (type == nullptr || !type->is_string()) return fields.fail("text.format", "text.format has no type.");
  if (*type == Json("text")) return;
  if (*type != Json("json_schema")) {
    request.chat.set("response_format", Json::object({{"type", *type}}));
    return;
  }
  Json schema = Json::object();
  for (const std::string_view name : {"name", "description", "schema", "strict"}) {
    if (const Json* value = format.find(name); value != nullptr && !value->is_null())
      schema.set(name, *value);
  }
  request.chat.set("response_format",
                   Json::object({{"type", "json_schema"}, {"json_schema", std::move(schema)}}));
}

void read_reasoning(Fields& fields, ResponsesRequest& request) {
  Json echo = Json::object({{"effort", nullptr}, {"summary", nullptr}});
  if (const Json* reasoning = fields.object("reasoning")) {
    Fields inner(*reasoning, "reasoning.");
    if (const std::optional<std::string> effort = inner.string("effort")) {
      echo.set("effort", *effort);
      request.chat.set("reasoning_effort", *effort);
    }
    inner.string("summary");  // thinking comes whole, never as a summary
    inner.string("generate_summary");
    if (!inner.ok()) fields.adopt(inner.failure());
  }
  request.echo.set("reasoning", std::move(echo));
}

void read_logprobs(Fields& fields, ResponsesRequest& request) {
  const Result<ResponseIncludes> includes =
      read_includes(fields.strings("include").value_or(std::vector<std::string>{}));
  if (!includes.ok()) return fields.adopt(includes.failure());
  request.includes = *includes;
  const std::optional<int64_t> top = fields.integer("top_logprobs", 0, std::numeric_limits<int32_t>::max());
  request.echo.set("top_logprobs", top.value_or(0));
  request.includes.logprobs |= top.value_or(0) > 0;
  if (!request.includes.logprobs) return;
  request.chat.set("logprobs", true);
  request.chat.set("top_logprobs", top.value_or(0));
}

// Of JSON's strings, which are valid UTF-8.
size_t count_chars(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

void read_metadata(Fields& fields, ResponsesRequest& request) {
  const Json* metadata = fields.object("metadata");
  request.echo.set("metadata", metadata != nullptr ? *metadata : Json::object());
  if (metadata == nullptr) return;
  if (metadata->as_object().size() > kMetadataPairsMax) {
    fields.fail("metadata", fmt::format("metadata may have {} members at most.", kMetadataPairsMax));
  }
  for (const auto& [name, value] : metadata->as_object()) {
    if (count_chars(name) > kMetadataNameMax) {
      fields.fail("metadata",
                  fmt::format("metadata's names may have {} characters at most.", kMetadataNameMax));
    }
    if (!value.is_string() || count_chars(value.as_string()) > kMetadataValueMax) {
      fields.fail("metadata", fmt::format("metadata's values must be strings of at most {} characters.",
                                          kMetadataValueMax));
    }
  }
}

void read_keeping(Fields& fields, ResponsesRequest& request) {
  request.stream = fields.boolean("stream").value_or(false);
  request.store = fields.boolean("store").value_or(true);
  request.background = fields.boolean("background").value_or(false);
  if (request.background && !request.store) {
    fields.fail("background", "background needs store true: the response is fetched later.");
  }
  const std::optional<std::string> previous = fields.string("previous_response_id");
  if (previous && previous->empty()) {
    fields.fail("previous_response_id",
                "previous_response_id is empty: it must be the id of a response; leave it out, or send null, "
                "to begin "
                "anew.");
  }
  request.previous_id = previous.value_or("");
  const std::string truncation = fields.string("truncation").value_or("disabled");
  if (truncation != "auto" && truncation != "disabled") {
    fields.fail("truncation", "truncation must be auto or disabled.");
  }
  request.truncates = truncation == "auto";
  request.echo.set("truncation", truncation);
  request.echo.set("background", request.background);
  request.echo.set("store", request.store);
  request.echo.set("previous_response_id", request.previous_id.empty() ? Json() : Json(request.previous_id));
}

void echo_member(Fields& fields, std::string_view name, ResponsesRequest& request) {
  const Json* value = fields.any(name);
  request.echo.set(name, value != nullptr ? *value : Json());
}

void read_limits(Fields& fields, ResponsesRequest& request) {
  const int64_t max = std::numeric_limits<int32_t>::max();
  if (const std::optional<int64_t> tokens = fields.integer("max_output_tokens", 1, max)) {
    request.chat.set("max_tokens", *tokens);
  }
  // Counts calls of tools that the server runs itself: there are none.
  fields.integer("max_tool_calls", 1, max);
  const bool parallel = fields.boolean("parallel_tool_calls").value_or(true);
  request.echo.set("parallel_tool_calls", parallel);
  if (!parallel) request.chat.set("parallel_tool_calls", false);
  for (const std::string_view name :
       {"max_output_tokens", "max_tool_calls", "user", "safety_identifier", "prompt_cache_key"}) {
    echo_member(fields, name, request);
  }
}

void refuse_what_is_absent(Fields& fields) {
  fields.refuse("prompt", "prompt templates are not kept here; send instructions and input.");
  fields.refuse("conversation",
                "conversations are not kept here; previous_response_id continues a response.");
  for (const char* name : {"max_tokens", "max_completion_tokens"})
    fields.refuse(name, "is a field of chat completions; send max_output_tokens.");
  fields.refuse("response_format", "is a field of chat completions; send text.format.");
  fields.refuse("reasoning_effort", "is a field of chat completions; send reasoning.effort.");
  if (const Json* n = fields.any("n"); n != nullptr && *n != Json(1))
    fields.refuse("n", "a response is one sample; send several requests.");
  if (const Json* logprobs = fields.any("logprobs"); logprobs != nullptr && *logprobs != Json(false))
    fields.refuse("logprobs", "send include with message.output_text.logprobs.");
  fields.refuse("image", "the model writes text only.");
  fields.refuse("access_programs", "there are no programs here.");
  fields.refuse("background_options", "background responses run as soon as there is room.");
  fields.refuse("context_management", "compaction is not offered; truncation auto drops the oldest turns.");
}

}  // namespace

std::span<const Renamed> responses_names() {
  return kNames;
}

Result<ResponseIncludes> read_includes(const std::vector<std::string>& names) {
  ResponseIncludes out;
  for (const std::string& name : names) {
    out.logprobs |= name == kIncludeLogprobs;
    out.encrypted_content |= name == kIncludeEncrypted;
    if (name == kIncludeLogprobs || name == kIncludeEncrypted) continue;
    if (std::ranges::find(kIncludesOfOthers, name) != kIncludesOfOthers.end()) continue;
    return invalid(fmt::format("include holds {}; {} and {} are what can be included.", to_string(Json(name)),
                               kIncludeLogprobs, kIncludeEncrypted),
                   "include");
  }
  return out;
}

Result<ResponsesRequest> read_responses_request(const Json& body, const Json::Array& before) {
  Fields fields(body);
  ResponsesRequest request;
  request.chat = Json::object();
  request.echo = Json::object();
  refuse_what_is_absent(fields);
  const Json* input = fields.any("input");
  if (input == nullptr) fields.fail("input", "The request has no input.");
  if (!fields.ok()) return fields.failure();
  Result<Json> messages = messages_of_items(*input, "input", before);
  if (!messages.ok()) return messages.failure();
  request.input = std::move(*messages);
  request.instructions = fields.string("instructions").value_or("");
  echo_member(fields, "instructions", request);
  copy_members(fields, {"model", "temperature", "top_p", "top_k", "stop", "structured_outputs"},
               request.chat);
  copy_extensions(fields, request.chat);
  read_keeping(fields, request);
  read_tools(fields, request);
  read_tool_choice(fields, request);
  read_text(fields, request);
  read_reasoning(fields, request);
  read_logprobs(fields, request);
  read_metadata(fields, request);
  read_limits(fields, request);
  if (!fields.ok()) return fields.failure();
  return request;
}

Json chat_of_response(const ResponsesRequest& request, const Json::Array& history) {
  Json messages = Json::array();
  if (!request.instructions.empty()) {
    messages.push_back(Json::object({{"role", "system"}, {"content", request.instructions}}));
  }
  for (const Json& message : history) messages.push_back(message);
  for (const Json& message : request.input.as_array()) messages.push_back(message);
  join_leading_system(messages);
  Json chat = request.chat;
  chat.set("messages", std::move(messages));
  return chat;
}

}  // namespace minimax::api
