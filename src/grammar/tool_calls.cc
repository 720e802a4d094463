#include "grammar/tool_calls.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "grammar/regex.h"
#include "grammar/schema.h"

namespace minimax::grammar {
namespace {

// What the parser of the answer takes for the end of a value.
constexpr std::string_view kEndsOfValue = "</parameter>|</invoke>|<parameter";

bool writable(const std::string& name) {
  constexpr size_t kNameBytesMax = 512;  // the parser reads tags of 1024 bytes
  return !name.empty() && name.size() <= kNameBytesMax && name.find_first_of("\"<>\n") == std::string::npos;
}

// What the parameters of all tools have in common: most are strings of which nothing is said.
struct Texts {
  Dfa ends;                           // texts that hold the end of a value
  std::map<std::string, Expr> rules;  // of texts and their end, by the keywords that bind them
};

class CallWriter {
 public:
  CallWriter(Grammar& grammar, JsonRules& rules, Texts& texts, const Json& root, Budget& budget)
      : budget_(budget),
        rules_(rules),
        texts_(texts),
        reader_(grammar, rules, root, {.closed_objects = false}, budget) {}

  Expr parameters(const Json& schema) {
    const Json whole = schema.is_null()
                           ? Json::object({{"additionalProperties", Json::object({{"type", "string"}})}})
                           : reader_.resolved(schema, "");
    if (!whole.is_object()) throw Refusal{"the schema must be that of an object"};
    for (const char* key : {"anyOf", "oneOf", "enum", "const"}) {
      if (whole.find(key) != nullptr)
        throw Refusal{fmt::format("the keyword {} at / is not supported in the parameters of a tool", key)};
    }
    const std::vector<std::string> types = SchemaReader::types_of(whole, "");
    if (std::ranges::find(types, "object") == types.end())
      throw Refusal{"the schema must be that of an object"};
    const Json* properties = whole.find("properties");
    const Json* required = whole.find("required");
    const Json* rest = whole.find("additionalProperties");
    std::vector<Expr> out;
    std::vector<Expr> names;
    if (properties != nullptr && properties->is_object()) {
      for (const auto& [name, value] : properties->as_object()) {
        if (!writable(name))
          throw Refusal{fmt::format("the parameter {} has a name that cannot be written in a tag",
                                    to_string(Json(name)))};
        const bool must = required != nullptr && required->is_array() &&
                          std::ranges::find(required->as_array(), Json(name)) != required->as_array().end();
        const std::string place = "/properties/" + name;
        const Expr one = parameter(text(name), value_of(value, place, 0), place);
        names.push_back(text(name));
        out.push_back(must ? one : optional(one));
      }
    }
    if (required != nullptr && required->is_array()) {
      for (const Json& name : required->as_array()) {
        const bool known =
            name.is_string() && properties != nullptr && properties->find(name.as_string()) != nullptr;
        if (!known)
          throw Refusal{
              fmt::format("required at / names {}, which is none of the properties", to_string(name))};
      }
    }
    const bool open = rest != nullptr && *rest != Json(false);
    if (open) {
      Dfa key = whole_match("[A-Za-z_][A-Za-z0-9_.-]{0,63}", Encoding::kUtf8, budget_);
      if (!names.empty())
        key = difference(key, to_dfa(choice(std::move(names)), Encoding::kUtf8, {}, budget_), budget_);
      out.push_back(repeat(
          parameter(automaton(std::move(key)), value_of(*rest, "/additionalProperties", 0), "/(other names)"),
          0, -1));
    }
    return sequence(std::move(out));
  }

 private:
  Expr parameter(Expr name, Expr value, const std::string& place) {
    const Expr body = sequence({text("<parameter name=\""), std::move(name), text("\">"), std::move(value)});
    return rule(rules_.add_rule("parameter " + place, body));
  }

  static Expr ended(Expr value) { return sequence({std::move(value), text("</parameter>\n")}); }

  Expr plain_text(const Json& schema, const std::string& place) {
    const auto [known, inserted] =
        texts_.rules.try_emplace(to_string(SchemaReader::string_keywords(schema)), nothing());
    if (!inserted) return known->second;
    std::optional<Dfa> body = reader_.string_body(schema, place, Encoding::kUtf8);
    if (!body) body = to_dfa(repeat(set_of(all_chars()), 0, -1), Encoding::kUtf8, {}, budget_);
    Expr whole = ended(automaton(difference(*body, texts_.ends, budget_)));
    return known->second = rule(rules_.add_rule("text " + place, std::move(whole)));
  }

  // A value as it stands between its tags, with the second of them.
  Expr value_of(const Json& schema, const std::string& place, int depth) {
    const Json whole = reader_.resolved(schema, place, depth);
    if (whole == Json(true)) return choice({plain_text(Json::object(), place), ended(rules_.value())});
    if (whole.is_bool()) return nothing();
    for (const char* key : {"anyOf", "oneOf"}) {
      const Json* branches = whole.find(key);
      if (branches == nullptr || !branches->is_array()) continue;
      // The reader checks the branches of oneOf.
      if (std::string_view(key) == "oneOf") reader_.read(whole, place, depth);
      Json rest = whole;
      std::erase_if(rest.as_object(), [&](const Json::Member& m) { return m.first == key; });
      std::vector<Expr> all;
      for (const Json& branch : branches->as_array()) {
        const std::string inner = fmt::format("{}/{}/{}", place, key, all.size());
        all.push_back(
            value_of(merged(rest, reader_.resolved(branch, inner, depth + 1), inner), inner, depth + 1));
      }
      return choice(std::move(all));
    }
    if (const std::optional<std::vector<Json>> values = reader_.values_of(whole, place, depth))
      return ended(values_to_choice(*values, place));
    std::vector<std::string> types = SchemaReader::types_of(whole, place);
    std::vector<Expr> all;
    if (std::erase(types, "string") > 0) all.push_back(plain_text(whole, place));
    if (!types.empty()) {
      Json others = whole;
      others.set("type", Json(Json::Array(types.begin(), types.end())));
      all.push_back(ended(reader_.read(others, place, depth + 1)));
    }
    return choice(std::move(all));
  }

  Expr values_to_choice(const std::vector<Json>& values, const std::string& place) {
    std::vector<Expr> all;
    for (const Json& value : values) {
      const std::string written = value.is_string() ? value.as_string() : to_string(value);
      for (const char* end : {"</parameter>", "</invoke>", "<parameter"}) {
        if (written.find(end) != std::string::npos)
          throw Refusal{fmt::format("enum at {}/ holds {}, which cannot be written in a parameter", place,
                                    to_string(value).substr(0, 100))};
      }
      all.push_back(value.is_string() ? text(written) : rules_.literal(value));
    }
    return choice(std::move(all));
  }

  Budget& budget_;
  JsonRules& rules_;
  Texts& texts_;
  SchemaReader reader_;
};

}  // namespace

std::string ToolCallRules::key() const {
  std::string out = fmt::format("{}.{}.{}", begin_id, end_id, parallel);
  for (const Tool& tool : tools) {
    out += fmt::format(":{}:{}{}:", tool.name.size(), tool.name, tool.checked);
    if (!tool.parameters.is_null()) append_json(out, tool.parameters);
  }
  return out;
}

Expr tool_calls(const ToolCallRules& calls, Grammar& grammar, JsonRules& rules, Budget& budget) {
  std::vector<Expr> invokes;
  // Inside JSON too the end of a parameter would end it.
  rules.ban(found_in(kEndsOfValue, Encoding::kJsonString, budget));
  Texts texts{found_in(kEndsOfValue, Encoding::kUtf8, budget), {}};
  for (const ToolCallRules::Tool& tool : calls.tools) {
    if (!writable(tool.name))
      throw Refusal{
          fmt::format("the tool {} has a name that cannot be written in a tag", to_string(Json(tool.name)))};
    const Json any = Json::object({{"additionalProperties", true}});
    // A function that names no parameters has none.
    const Json none = Json::object({{"type", "object"}, {"additionalProperties", false}});
    const Json& own = tool.parameters.is_null() ? none : tool.parameters;
    const Json& schema = tool.checked ? own : any;
    try {
      Expr parameters = CallWriter(grammar, rules, texts, schema, budget).parameters(schema);
      const Expr invoke = sequence(
          {text("<invoke name=\"" + tool.name + "\">\n"), std::move(parameters), text("</invoke>\n")});
      invokes.push_back(rule(rules.add_rule("tool " + tool.name, invoke)));
    } catch (const Refusal& refusal) {
      throw Refusal{fmt::format("the parameters of tool {}: {}", tool.name, refusal.message)};
    }
  }
  const Expr one = choice(std::move(invokes));
  // The template puts a line break before the block.
  return sequence({optional(text("\n")), token(calls.begin_id), text("\n"),
                   repeat(one, 1, calls.parallel ? -1 : 1), token(calls.end_id)});
}

}  // namespace minimax::grammar
