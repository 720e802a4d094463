#include "api/chat_request.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "api/conversation.h"
#include "api/guided.h"
#include "base/log.h"

namespace minimax::api {
namespace {

using chat::Conversation;

bool has_tool(const Conversation& conversation, const std::string& name) {
  return std::any_of(conversation.tools.begin(), conversation.tools.end(),
                     [&](const chat::Tool& tool) { return tool.name == name; });
}

// A choice of one function: {"type": "function", "function": {"name": NAME}}.
std::string read_named_choice(Fields& fields, const Json& choice, const Conversation& conversation) {
  Fields inner(choice, "tool_choice.");
  const Json* function = inner.object("function");
  if (function == nullptr) {
    inner.fail("function",
               "tool_choice as an object must be {\"type\": \"function\", \"function\": {\"name\": NAME}}.");
    fields.adopt(inner.failure());
    return {};
  }
  Fields named(*function, "tool_choice.function.");
  const std::optional<std::string> name = named.string("name");
  if (named.ok() && (!name || !has_tool(conversation, *name))) {
    named.fail("name", "tool_choice.function.name must be the name of one of the request's tools.");
  }
  if (!named.ok()) fields.adopt(named.failure());
  return name.value_or("");
}

// {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required", "tools": [{"type": "function",
// "function": {"name"}}]}}: the prompt shows all tools, so that the cache holds, and only these may be
// called.
ToolChoice read_allowed_tools(Fields& fields, const Json& choice, const Conversation& conversation) {
  ToolChoice out{ToolChoice::Kind::kAuto, {}, std::vector<std::string>{}};
  Fields outer(choice, "tool_choice.");
  const Json* allowed = outer.object("allowed_tools");
  if (allowed == nullptr) outer.fail("allowed_tools", "tool_choice.allowed_tools must have mode and tools.");
  if (!outer.ok()) {
    fields.adopt(outer.failure());
    return out;
  }
  Fields inner(*allowed, "tool_choice.allowed_tools.");
  const std::string mode = inner.string("mode").value_or("auto");
  if (mode != "auto" && mode != "required")
    inner.fail("mode", "tool_choice.allowed_tools.mode must be auto or required.");
  if (mode == "required") out.kind = ToolChoice::Kind::kRequired;
  const Json* tools = inner.array("tools");
  if (tools == nullptr || tools->as_array().empty())
    inner.fail("tools", "tool_choice.allowed_tools.tools must list at least one tool.");
  for (size_t i = 0; inner.ok() && i < tools->as_array().size(); ++i) {
    const Json* function = tools->as_array()[i].find("function");
    const Json* name = function == nullptr ? nullptr : function->find("name");
    if (name == nullptr || !name->is_string() || !has_tool(conversation, name->as_string())) {
      inner.fail("tools",
                 fmt::format("tool_choice.allowed_tools.tools[{}] must name one of the request's tools, as "
                             "{{\"type\": \"function\", \"function\": {{\"name\": NAME}}}}.",
                             i));
    } else {
      out.allowed->push_back(name->as_string());
    }
  }
  if (!inner.ok()) fields.adopt(inner.failure());
  return out;
}

ToolChoice read_tool_choice(Fields& fields, const Conversation& conversation, const ServiceOptions& options) {
  using Kind = ToolChoice::Kind;
  const bool tools = !conversation.tools.empty();
  const Json* choice = fields.any("tool_choice");
  if (choice == nullptr) {
    if (!tools) return {};
  } else if (*choice == Json("none")) {
    return {};
  } else if (!tools) {
    fields.fail("tool_choice", "tool_choice needs tools, and the request has none.");
    return {};
  }
  ToolChoice out{Kind::kAuto, {}, {}};
  if (choice != nullptr && *choice == Json("required")) {
    out.kind = Kind::kRequired;
  } else if (const Json* type = choice == nullptr ? nullptr : choice->find("type");
             type != nullptr && *type == Json("allowed_tools")) {
    out = read_allowed_tools(fields, *choice, conversation);
  } else if (choice != nullptr && choice->is_object()) {
    out = {Kind::kNamed, read_named_choice(fields, *choice, conversation), {}};
  } else if (choice != nullptr && *choice != Json("auto")) {
    fields.fail("tool_choice",
                "tool_choice must be none, auto, required, {\"type\": \"function\", ...} or {\"type\": "
                "\"allowed_tools\", ...}.");
  }
  if (out.kind != Kind::kAuto && !options.tool_parser) {
    fields.fail("tool_choice",
                "a demanded call needs a server that was started with --tool-call-parser minimax_m2.");
  }
  if (out.kind == Kind::kAuto && (!options.tool_parser || !options.auto_tool_choice)) {
    fields.fail("tool_choice",
                "tools with tool_choice auto (the default) need a server that was started with "
                "--enable-auto-tool-choice and --tool-call-parser minimax_m2.");
  }
  return out;
}

// Whether the prompt, of which the first `bytes` are kept, ends inside a thinking block that the template
// opened.
bool ends_in_thinking(const std::vector<chat::Segment>& segments, size_t bytes) {
  bool open = false;
  for (const chat::Segment& segment : segments) {
    const std::string_view text = std::string_view(segment.text).substr(0, bytes);
    bytes -= text.size();
    if (!segment.from_template) continue;
    const size_t begin = text.rfind("<think>");
    const size_t end = text.rfind("</think>");
    if (begin != std::string::npos) open = end == std::string::npos || end < begin;
    if (begin == std::string::npos && end != std::string::npos) open = false;
  }
  return open;
}

void read_logprobs(Fields& fields, const RequestContext& context, ChatRequest& request) {
  request.logprobs = fields.boolean("logprobs").value_or(false);
  const std::optional<int64_t> top = fields.integer("top_logprobs", -1, std::numeric_limits<int32_t>::max());
  if (top && *top != 0 && !request.logprobs) {
    fields.fail("top_logprobs", "top_logprobs needs logprobs true.");
  }
  if (!request.logprobs) return;
  request.top_logprobs = logprob_count(fields, "top_logprobs", top.value_or(0), context);
  request.params.spec.logprobs = request.top_logprobs;
}

void read_max_tokens(Fields& fields, GenerationParams& params) {
  const int64_t max = std::numeric_limits<int32_t>::max();
  const std::optional<int64_t> older = fields.integer("max_tokens", 1, max);
  params.max_tokens = fields.integer("max_completion_tokens", 1, max);
  if (!params.max_tokens) params.max_tokens = older;
}

std::string text_of(const Json& content) {
  if (content.is_string()) return content.as_string();
  std::string text;
  for (const Json& part : content.as_array()) {
    const Json* inner = part.find("text");
    if (part.is_string()) text += part.as_string();
    if (inner != nullptr && inner->is_string()) text += inner->as_string();
  }
  return text;
}

std::string_view role_name(chat::Role role) {
  switch (role) {
    case chat::Role::kSystem:
      return "system";
    case chat::Role::kUser:
      return "user";
    case chat::Role::kTool:
      return "tool";
    case chat::Role::kAssistant:
      break;
  }
  return "assistant";
}

// Who speaks in the answer, and what it repeats.
void settle_voice(const Conversation& conversation, ChatRequest& request) {
  if (conversation.add_generation_prompt) return;
  const chat::Message& last = conversation.messages.back();
  request.role = role_name(last.role);
  if (request.params.echo) request.echo = text_of(last.content);
}

// Where the text of the prompt begins and ends of which truncate_prompt_tokens left these ids.
struct Kept {
  size_t begin = 0, end = 0;
};
Kept kept_of(const std::vector<chat::Segment>& segments, const std::vector<tokenizer::TokenId>& ids,
             const GenerationParams& params, const tokenizer::Tokenizer& tokenizer) {
  const auto whole = static_cast<size_t>(bytes_of(segments));
  if (!params.truncate_prompt_tokens) return {0, whole};
  size_t bytes = 0;
  for (const tokenizer::TokenId id : ids) bytes += tokenizer.bytes(id).size();
  return params.truncate_right ? Kept{0, bytes} : Kept{whole - std::min(whole, bytes), whole};
}

// What the answer shows of the prompt is what was run.
void show_kept(const std::vector<chat::Segment>& segments, const Kept& kept, ChatRequest& request) {
  if (!request.return_prompt_text && request.echo.empty()) return;
  const std::string text = chat::joined(segments);
  if (request.return_prompt_text) request.prompt_text = text.substr(kept.begin, kept.end - kept.begin);
  if (request.echo.empty() || kept.end - kept.begin == text.size()) return;
  const size_t at = text.rfind(request.echo);
  const size_t from = std::max(at, kept.begin), to = std::min(at + request.echo.size(), kept.end);
  request.echo = at == std::string::npos || from >= to ? "" : text.substr(from, to - from);
}

}  // namespace

int64_t bytes_of(const std::vector<chat::Segment>& segments) {
  int64_t bytes = 0;
  for (const chat::Segment& segment : segments) bytes += std::ssize(segment.text);
  return bytes;
}

Result<Json> parse_body(const std::string& body) {
  Result<Json> parsed = parse_json(body);
  if (!parsed.ok()) return invalid("The request's body is no JSON: " + parsed.failure().message);
  if (!parsed->is_object()) {
    return invalid(fmt::format("The request's body must be a JSON object, not {}.", parsed->type_name()));
  }
  return parsed;
}

void log_unread(const Fields& fields, std::string_view endpoint) {
  if (!log::enabled(log::Level::kDebug)) return;
  const std::vector<std::string> names = fields.unread();
  if (!names.empty()) log::debug("{}: fields without effect: {}", endpoint, fmt::join(names, ", "));
}

Result<std::vector<chat::Segment>> render_prompt(const Conversation& conversation,
                                                 const ServiceOptions& options) {
  return chat::render(conversation, options.render);
}

Result<ChatRequest> read_chat_request(const Json& body, const RequestContext& context,
                                      const ChatReading& reading) {
  const ServiceOptions& options = context.options;
  Fields fields(body);
  ChatRequest request;
  request.params = read_generation_params(fields, context);
  request.params.caps_max_tokens = reading.caps_max_tokens;
  Conversation conversation =
      read_conversation(fields, {options.messages_max, options.tools_max}, options.default_template_kwargs);
  const ToolChoice choice = read_tool_choice(fields, conversation, options);
  const bool parallel = fields.boolean("parallel_tool_calls").value_or(true);
  request.include_reasoning = fields.boolean("include_reasoning").value_or(true);
  request.return_prompt_text = fields.boolean("return_prompt_text").value_or(false);
  read_logprobs(fields, context, request);
  read_max_tokens(fields, request.params);
  fields.refuse("functions", "the deprecated form of tools is not read; send tools.");
  fields.refuse("function_call", "the deprecated form of tool_choice is not read; send tool_choice.");
  fields.refuse("documents", "the family's template has no place for documents; put them into a message.");
  fields.refuse("chat_template", "templates are not taken from requests.");
  if (fields.ok()) {
    add_tool_constraint(fields, choice, conversation.tools, parallel, context, request.params.constraint);
  }
  if (!fields.ok()) return fields.failure();
  request.named_call = choice.kind == ToolChoice::Kind::kNamed;
  log_unread(fields, reading.endpoint);

  const bool has_tools = !conversation.tools.empty();
  chat::ParserOptions parser;
  parser.reasoning = options.reasoning;
  parser.tool_calls = options.tool_parser && has_tools;
  parser.suppress_calls = parser.tool_calls && choice.kind == ToolChoice::Kind::kNone;
  if (parser.suppress_calls) {  // an answer in words is wanted, not one that is made of a call and dropped
    if (const auto call = context.tokenizer.added_id("<minimax:tool_call>"))
      request.params.spec.bad_words.push_back({*call});
  }
  parser.single_call = !parallel;
  std::vector<chat::Tool> callable = conversation.tools;
  if (choice.allowed)
    std::erase_if(callable, [&](const chat::Tool& tool) { return !choice.allows(tool.name); });
  parser.tools = std::make_shared<const std::vector<chat::Tool>>(std::move(callable));
  if (choice.kind == ToolChoice::Kind::kNone && options.exclude_tools_when_none) conversation.tools.clear();

  Result<std::vector<chat::Segment>> segments = render_prompt(conversation, options);
  if (!segments.ok()) return segments.failure();
  settle_voice(conversation, request);
  if (const Status fits = check_prompt_bytes(request.params, bytes_of(*segments), context); !fits.ok())
    return fits.failure();
  Result<chat::GenerationRequest> generation =
      make_generation(request.params, chat::encode(context.tokenizer, *segments), {}, context);
  if (!generation.ok()) return generation.failure();
  request.generation = std::move(*generation);
  const Kept kept = kept_of(*segments, request.generation.request.prompt, request.params, context.tokenizer);
  parser.starts_in_reasoning = ends_in_thinking(*segments, kept.end);
  show_kept(*segments, kept, request);
  request.generation.request.id = std::string(reading.id_prefix) + request.params.request_id;
  const bool after_thinking = parser.starts_in_reasoning && parser.reasoning != chat::ReasoningFormat::kNone;
  if (const Status guided = add_guide(request.params, after_thinking, context, request.generation);
      !guided.ok()) {
    return guided.failure();
  }
  if (parser.reasoning != chat::ReasoningFormat::kNone || parser.tool_calls) {
    request.generation.parser = std::move(parser);
  }
  return request;
}

}  // namespace minimax::api
