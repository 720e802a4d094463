#include "api/guided.h"

#include <algorithm>

#include <fmt/format.h>

namespace minimax::api {
namespace {

using grammar::Constraint;
using grammar::JsonSpacing;

constexpr size_t kChoicesMax = 4096;

// What stands between </think> and the content, as the template writes it; the parser takes it away again.
constexpr std::string_view kAfterThinking = "\n\n";

// A schema as an object or a boolean, or the same as text.
Json schema_of(Fields& fields, std::string_view name) {
  const Json* given = fields.any(name);
  if (given == nullptr) {
    fields.fail(name, fmt::format("{} must be given.", name));
    return {};
  }
  if (!given->is_string()) {
    if (!given->is_object() && !given->is_bool()) {
      fields.fail(name, fmt::format("{} must be an object, not {}.", name, given->type_name()));
    }
    return *given;
  }
  Result<Json> parsed = parse_json(given->as_string());
  if (!parsed.ok()) fields.fail(name, fmt::format("{} is no JSON: {}", name, parsed.failure().message));
  return parsed.ok() ? std::move(*parsed) : Json();
}

std::optional<RequestedConstraint> read_response_schema(Fields& fields, Fields& format) {
  const Json* outer = format.object("json_schema");
  if (outer == nullptr) {
    fields.fail("response_format.json_schema",
                "response_format of type json_schema needs json_schema, an object with a schema.");
    return {};
  }
  Fields inner(*outer, "response_format.json_schema.");
  RequestedConstraint out;
  out.field = "response_format.json_schema";
  out.constraint.kind = Constraint::Kind::kJsonSchema;
  out.constraint.schema = schema_of(inner, "schema");
  out.constraint.schema_options.closed_objects = inner.boolean("strict").value_or(false);
  if (inner.ok()) return out;
  fields.adopt(inner.failure());
  return {};
}

std::optional<RequestedConstraint> read_response_format(Fields& fields) {
  const Json* format = fields.object("response_format");
  if (format == nullptr) return {};
  Fields inner(*format, "response_format.");
  const std::string type = inner.string("type").value_or("");
  RequestedConstraint out;
  out.field = "response_format";
  if (!inner.ok()) {
    fields.adopt(inner.failure());
  } else if (type == "json_object") {
    out.constraint.kind = Constraint::Kind::kJsonObject;
    return out;
  } else if (type == "json_schema") {
    return read_response_schema(fields, inner);
  } else if (type == "structural_tag") {
    out.constraint.kind = Constraint::Kind::kTags;
    out.constraint.schema = *format;
    return out;
  } else if (type != "text") {
    fields.fail("response_format",
                "response_format.type must be text, json_object, json_schema or structural_tag.");
  }
  return {};
}

void read_choices(Fields& inner, Constraint& constraint) {
  constraint.choices = inner.strings("choice").value_or(std::vector<std::string>{});
  if (constraint.choices.empty()) {
    inner.fail("choice", "structured_outputs.choice must hold at least one string.");
  }
  if (constraint.choices.size() > kChoicesMax) {
    inner.fail("choice",
               fmt::format("structured_outputs.choice holds {} strings; the limit is {} (kChoicesMax).",
                           constraint.choices.size(), kChoicesMax));
  }
  const bool empty =
      std::ranges::any_of(constraint.choices, [](const std::string& one) { return one.empty(); });
  if (empty) inner.fail("choice", "structured_outputs.choice must not hold an empty string.");
}

JsonSpacing read_spacing(Fields& inner) {
  JsonSpacing spacing;
  if (inner.boolean("disable_any_whitespace").value_or(false)) spacing.kind = JsonSpacing::Kind::kFixed;
  if (const std::optional<std::string> pattern = inner.string("whitespace_pattern")) {
    spacing.kind = JsonSpacing::Kind::kPattern;
    spacing.pattern = *pattern;
  }
  return spacing;
}

std::optional<RequestedConstraint> read_structured_outputs(Fields& fields) {
  const Json* outputs = fields.object("structured_outputs");
  if (outputs == nullptr) return {};
  Fields inner(*outputs, "structured_outputs.");
  RequestedConstraint out;
  Constraint& constraint = out.constraint;
  int given = 0;
  const auto take = [&](std::string_view name, Constraint::Kind kind) {
    if (inner.any(name) == nullptr) return false;
    ++given;
    constraint.kind = kind;
    out.field = fmt::format("structured_outputs.{}", name);
    return true;
  };
  if (take("regex", Constraint::Kind::kRegex)) constraint.text = inner.string("regex").value_or("");
  if (take("choice", Constraint::Kind::kChoice)) read_choices(inner, constraint);
  if (take("grammar", Constraint::Kind::kEbnf)) constraint.text = inner.string("grammar").value_or("");
  if (take("json", Constraint::Kind::kJsonSchema)) constraint.schema = schema_of(inner, "json");
  if (take("structural_tag", Constraint::Kind::kTags)) constraint.schema = schema_of(inner, "structural_tag");
  if (inner.boolean("json_object").value_or(false)) take("json_object", Constraint::Kind::kJsonObject);
  constraint.schema_options.closed_objects = inner.boolean("disable_additional_properties").value_or(false);
  constraint.spacing = read_spacing(inner);
  if (given != 1) {
    fields.fail("structured_outputs",
                fmt::format("structured_outputs must hold exactly one of json, json_object, regex, choice, "
                            "grammar and structural_tag, not {}.",
                            given));
  }
  for (const std::string& name : inner.unread()) {
    inner.fail(name, fmt::format("structured_outputs.{} is not known here.", name));
  }
  if (inner.ok()) return out;
  fields.adopt(inner.failure());
  return {};
}

}  // namespace

std::optional<RequestedConstraint> read_constraint(Fields& fields) {
  std::optional<RequestedConstraint> format = read_response_format(fields);
  std::optional<RequestedConstraint> outputs = read_structured_outputs(fields);
  if (format && outputs) {
    fields.fail("structured_outputs",
                "response_format and structured_outputs both constrain the answer; send one of them.");
  }
  return format ? format : outputs;
}

bool ToolChoice::allows(const std::string& tool) const {
  if (kind == Kind::kNamed) return tool == name;
  return kind != Kind::kNone && (!allowed || std::ranges::find(*allowed, tool) != allowed->end());
}

void add_tool_constraint(Fields& fields, const ToolChoice& choice, const std::vector<chat::Tool>& tools,
                         bool parallel, const RequestContext& context,
                         std::optional<RequestedConstraint>& constraint) {
  const bool named = choice.kind == ToolChoice::Kind::kNamed;
  const bool forced = named || choice.kind == ToolChoice::Kind::kRequired;
  grammar::ToolCallRules rules;
  bool strict = choice.allowed.has_value();
  for (const chat::Tool& tool : tools) {
    if (!choice.allows(tool.name)) continue;
    strict = strict || tool.strict;
    rules.tools.push_back({tool.name, tool.parameters, forced || tool.strict});
  }
  if (choice.kind == ToolChoice::Kind::kNone || rules.tools.empty()) return;
  if (!forced && !strict && !constraint) return;
  if (forced && constraint) {
    return fields.fail(
        "tool_choice",
        "tool_choice demands a call and another field constrains the answer; send one of them.");
  }
  const std::optional<engine::TokenId> begin = context.tokenizer.added_id("<minimax:tool_call>");
  const std::optional<engine::TokenId> end = context.tokenizer.added_id("</minimax:tool_call>");
  if (!begin || !end) return fields.fail("tools", "this model has no tokens for tool calls.");
  rules.begin_id = *begin;
  rules.end_id = *end;
  rules.parallel = parallel && !named;
  if (!constraint) {
    constraint.emplace();
    constraint->constraint.kind = Constraint::Kind::kToolCalls;
    constraint->field = forced ? "tool_choice" : "tools";
    constraint->free_text = !forced;
  }
  constraint->constraint.tools = std::move(rules);
}

namespace {

// Whether the prompt opens thinking and does not end it.
bool ends_in_thinking(const std::vector<engine::TokenId>& prompt, const RequestContext& context) {
  const std::optional<engine::TokenId> begin = context.tokenizer.added_id("<think>");
  const std::optional<engine::TokenId> end = context.tokenizer.added_id("</think>");
  const auto last = std::ranges::find_if(prompt.rbegin(), prompt.rend(),
                                         [&](engine::TokenId id) { return id == begin || id == end; });
  return end && last != prompt.rend() && *last == begin;
}

}  // namespace

Status add_guide(const GenerationParams& params, bool after_thinking, const RequestContext& context,
                 chat::GenerationRequest& generation) {
  chat::GuideOptions options;
  options.think_end = context.tokenizer.added_id("</think>");
  options.tool_begin = context.tokenizer.added_id("<minimax:tool_call>");
  options.thinking_tokens_max = params.thinking_token_budget;
  if (!params.constraint) {
    options.after_thinking = ends_in_thinking(generation.request.prompt, context);
    if (params.thinking_token_budget && options.after_thinking)
      generation.request.guide = chat::make_guide(std::move(options));
    return {};
  }
  CHECK(context.compiler != nullptr);
  const RequestedConstraint& wanted = *params.constraint;
  Constraint constraint = wanted.constraint;
  if (after_thinking && !wanted.free_text) constraint.prefix = kAfterThinking;
  Result<std::shared_ptr<grammar::Machine>> machine = context.compiler->compile(constraint);
  if (!machine.ok() && machine.failure().kind == FailureKind::kOverloaded) {
    return Failure{
        FailureKind::kOverloaded,
        fmt::format("{} cannot be used now: {}; try again later.", wanted.field, machine.failure().message),
        wanted.field};
  }
  if (!machine.ok()) {
    return invalid(fmt::format("{} cannot be used: {}.", wanted.field, machine.failure().message),
                   wanted.field);
  }
  options.machine = std::move(*machine);
  options.after_thinking = after_thinking;
  options.free_text = wanted.free_text;
  for (const engine::TokenId id : context.options.eos_ids) {
    if (std::ranges::find(params.spec.stop_ids, id) != params.spec.stop_ids.end()) {
      options.end_ids.push_back(id);
    }
  }
  if (after_thinking && !options.think_end) {
    return invalid(fmt::format("{} needs a model with the token </think>.", wanted.field), wanted.field);
  }
  generation.request.guide = chat::make_guide(std::move(options));
  return {};
}

}  // namespace minimax::api
