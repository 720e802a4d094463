#include "grammar/schema.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "grammar/machine.h"
#include "grammar/regex.h"
#include "grammar/schema_values.h"

namespace minimax::grammar {
namespace {

constexpr const char* kTypes[] = {"object", "array", "string", "number", "integer", "boolean", "null"};

bool has(const std::vector<std::string>& types, std::string_view type) {
  return std::ranges::find(types, type) != types.end();
}

Json without(const Json& schema, std::initializer_list<std::string_view> keys) {
  Json out = schema;
  std::erase_if(out.as_object(),
                [&](const Json::Member& m) { return std::ranges::find(keys, m.first) != keys.end(); });
  return out;
}

const Json::Array& list_of(const Json& schema, const std::string& key, const std::string& place) {
  const Json* found = schema.find(key);
  if (!found->is_array() || found->as_array().empty()) {
    throw Refusal{fmt::format("{} at {}/ must be a list that is not empty", key, place)};
  }
  return found->as_array();
}

void check_depth(int depth, const std::string& place) {
  if (depth > kNestingMax) {
    throw Refusal{fmt::format("the schema nests, or refers to itself, more than {} deep at {}/ (kNestingMax)",
                              kNestingMax, place.substr(0, 200))};
  }
}

bool is_integral(const Json& value) {
  return value.is_integer() ||
         (value.is_double() &&
          value.as_double() == static_cast<double>(static_cast<int64_t>(value.as_double())));
}

bool has_type(const Json& value, const std::vector<std::string>& types) {
  if (value.is_number()) return has(types, "number") || (has(types, "integer") && is_integral(value));
  return has(types, value.is_bool() ? "boolean" : value.type_name());
}

}  // namespace

std::vector<std::string> SchemaReader::types_of(const Json& schema, const std::string& place) {
  std::vector<std::string> out;
  const Json* type = schema.is_object() ? schema.find("type") : nullptr;
  if (type == nullptr) return {std::begin(kTypes), std::end(kTypes)};
  const Json::Array one{*type};
  for (const Json& name : type->is_array() ? type->as_array() : one) {
    if (!name.is_string() || std::ranges::find(kTypes, name.as_string()) == std::end(kTypes)) {
      throw Refusal{
          fmt::format("type at {}/ must be one of object, array, string, number, integer, boolean and null, "
                      "or a list of them",
                      place)};
    }
    if (!has(out, name.as_string())) out.push_back(name.as_string());
  }
  if (schema.find("nullable") != nullptr && *schema.find("nullable") == Json(true) && !has(out, "null"))
    out.emplace_back("null");
  return out;
}

Json SchemaReader::resolved(const Json& schema, const std::string& place, int depth) {
  check_depth(depth, place);
  check_keywords(schema, place);
  budget_.spend(16);
  if (schema.is_bool()) return schema;
  const Json* ref = schema.find("$ref");
  const Json* all = schema.find("allOf");
  if (ref == nullptr && all == nullptr) return schema;
  Json out = without(schema, {"$ref", "allOf", "$defs", "definitions"});
  // Siblings say something too, unless they are mere descriptions.
  if (ref != nullptr) {
    const Json* target = ref->is_string() ? find_pointer(root_, ref->as_string()) : nullptr;
    if (target == nullptr) {
      throw Refusal{fmt::format(
          "$ref at {}/ must point into the same document (\"#/...\"), and something must be there; it is {}",
          place, to_string(*ref).substr(0, 200))};
    }
    out = merged(out, resolved(*target, place, depth + 1), place);
  }
  if (all != nullptr) {
    size_t i = 0;
    for (const Json& part : list_of(schema, "allOf", place)) {
      out = merged(out, resolved(part, fmt::format("{}/allOf/{}", place, i++), depth + 1), place);
    }
  }
  return out;
}

Expr SchemaReader::as_rule(Expr body, const std::string& place) {
  if (body.kind == Expr::Kind::kRule) return body;
  return rule(rules_.add_rule(place.empty() ? "schema" : place, std::move(body)));
}

Expr SchemaReader::read(const Json& schema, const std::string& place, int depth) {
  check_depth(depth, place);
  check_keywords(schema, place);
  if (schema.is_object()) {
    const Json* ref = schema.find("$ref");
    const bool alone = ref != nullptr && ref->is_string() &&
                       merged(without(schema, {"$ref", "$defs", "definitions"}), Json::object(), place)
                           .as_object()
                           .empty() &&
                       schema.find("allOf") == nullptr;
    if (alone) return read_ref(ref->as_string(), place, depth);
  }
  return read_resolved(resolved(schema, place, depth), place, depth);
}

// A rule for each target: that is how a schema is recursive.
Expr SchemaReader::read_ref(const std::string& ref, const std::string& place, int depth) {
  const auto known = std::ranges::find(refs_, ref, &std::pair<std::string, int32_t>::first);
  if (known != refs_.end()) return rule(known->second);
  const Json* target = find_pointer(root_, ref);
  if (target == nullptr) {
    throw Refusal{fmt::format(
        "$ref at {}/ must point into the same document (\"#/...\"), and something must be there; it is {}",
        place, ref.substr(0, 200))};
  }
  const int32_t number = rules_.add_rule(ref, nothing());
  refs_.emplace_back(ref, number);
  Expr body = read(*target, ref == "#" ? "" : ref.substr(1), depth + 1);
  grammar_.rules[static_cast<size_t>(number)].body = std::move(body);
  return rule(number);
}

Expr SchemaReader::read_resolved(const Json& schema, const std::string& place, int depth) {
  if (schema.is_bool()) return schema.as_bool() ? rules_.value() : nothing();
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (schema.find(keyword) != nullptr) return read_branches(schema, keyword, place, depth);
  }
  if (const std::optional<std::vector<Json>> values = values_of(schema, place, depth)) {
    std::vector<Expr> all;
    for (const Json& value : *values) all.push_back(rules_.literal(value));
    return all.size() == 1 ? std::move(all.front()) : choice(std::move(all));
  }
  const std::vector<std::string> types = types_of(schema, place);
  std::vector<Expr> all;
  for (const std::string& type : types) {
    if (type == "integer" && has(types, "number")) continue;
    all.push_back(read_type(type, schema, place, depth));
  }
  return all.size() == 1 ? std::move(all.front()) : choice(std::move(all));
}

Expr SchemaReader::read_branches(const Json& schema, const std::string& keyword, const std::string& place,
                                 int depth) {
  const Json rest = without(schema, {keyword});
  std::vector<Json> branches;
  size_t i = 0;
  // Most often nothing stands beside the branches; then a $ref stays a rule of its own.
  const bool alone = merged(rest, Json::object(), place).as_object().empty();
  std::vector<Expr> all;
  for (const Json& branch : list_of(schema, keyword, place)) {
    const std::string inner = fmt::format("{}/{}/{}", place, keyword, i++);
    Json whole = merged(rest, resolved(branch, inner, depth + 1), inner);
    all.push_back(alone ? read(branch, inner, depth + 1)
                        : read_resolved(resolved(whole, inner, depth + 1), inner, depth + 1));
    branches.push_back(std::move(whole));
  }
  if (keyword == "oneOf") check_disjoint(branches, place, depth);
  return choice(std::move(all));
}

std::optional<std::vector<Json>> SchemaReader::values_of(const Json& schema, const std::string& place,
                                                         int depth) {
  const Json* list = schema.find("enum");
  const Json* one = schema.find("const");
  if (list == nullptr && one == nullptr) return {};
  std::vector<Json> values;
  if (list != nullptr) values = list_of(schema, "enum", place);
  if (one != nullptr) {
    if (list != nullptr) std::erase_if(values, [&](const Json& v) { return v != *one; });
    if (list == nullptr) values.push_back(*one);
  }
  const Json rest = without(schema, {"enum", "const"});
  const std::vector<std::string> types = types_of(rest, place);
  std::erase_if(values, [&](const Json& v) { return !has_type(v, types); });
  const bool typed_only =
      merged(without(rest, {"type", "nullable"}), Json::object(), place).as_object().empty();
  if (!typed_only) std::erase_if(values, [&](const Json& v) { return !fits(v, rest, place, depth); });
  return values;
}

// Asks a grammar of the schema alone.
bool SchemaReader::fits(const Json& value, const Json& schema, const std::string& place, int depth) {
  Grammar grammar;
  grammar.rules.push_back({"root", nothing()});
  JsonRules rules(grammar, {JsonSpacing::Kind::kFixed, ""}, budget_);
  SchemaReader reader(grammar, rules, root_, options_, budget_);
  Expr body = reader.read(schema, place, depth + 1);
  grammar.rules.front().body = std::move(body);
  static const Vocabulary kNoTokens{{}};
  try {
    Machine machine(Automaton(grammar, budget_), kNoTokens);
    const ConfigId end = machine.after_bytes(machine.start(), to_string(value, kPythonStyle));
    return end != kDead && machine.accepting(end);
  } catch (const Refusal&) {
    budget_.spend(0);
    return false;  // nothing fits
  }
}

Expr SchemaReader::read_type(const std::string& type, const Json& schema, const std::string& place,
                             int depth) {
  if (type == "object") return read_object(schema, place, depth);
  if (type == "array") return read_array(schema, place, depth);
  if (type == "string") return read_string(schema, place);
  if (type == "number") return read_number(false, schema, place);
  if (type == "integer") return read_number(true, schema, place);
  if (type == "null") return text("null");
  return choice({text("true"), text("false")});
}

Expr SchemaReader::read_object(const Json& schema, const std::string& place, int depth) {
  const Json* properties = schema.find("properties");
  const Json* required = schema.find("required");
  const Json* additional = schema.find("additionalProperties");
  if (properties == nullptr && required == nullptr && additional == nullptr && !options_.closed_objects)
    return rules_.object();
  if (properties != nullptr && !properties->is_object())
    throw Refusal{fmt::format("properties at {}/ must be an object", place)};
  const Json open = Json(!options_.closed_objects);
  const Json& rest = additional == nullptr ? open : *additional;
  std::vector<std::string> must;
  if (required != nullptr) {
    if (!required->is_array()) throw Refusal{fmt::format("required at {}/ must be a list of strings", place)};
    for (const Json& name : required->as_array()) {
      if (!name.is_string()) throw Refusal{fmt::format("required at {}/ must be a list of strings", place)};
      if (!has(must, name.as_string())) must.push_back(name.as_string());
    }
  }
  struct Property {
    std::string name;
    const Json* schema;
    bool optional;
  };
  std::vector<Property> all;
  if (properties != nullptr) {
    for (const auto& [name, value] : properties->as_object()) all.push_back({name, &value, !has(must, name)});
  }
  for (const std::string& name : must) {
    if (std::ranges::find(all, name, &Property::name) == all.end()) all.push_back({name, &rest, false});
  }

  // before(i): a member must follow, the first that may is property i. behind(i): one was written, the next
  // that may follow a comma is property i.
  const size_t count = all.size();
  Expr out;
  out.kind = Expr::Kind::kGraph;
  const auto before = [](size_t i) { return static_cast<int>(1 + i); };
  const auto behind = [&](size_t i) { return static_cast<int>(2 + count + i); };
  const int end = behind(count + 1);
  const auto add = [&](int from, int to, Expr item) {
    out.graph.push_back({from, to, static_cast<int>(out.items.size())});
    out.items.push_back(std::move(item));
  };
  std::vector<Expr> names;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string inner = fmt::format("{}/properties/{}", place, all[i].name);
    Expr value = read(*all[i].schema, inner, depth + 1);
    // A constant stays what it is: by it branches of an anyOf are told apart.
    if (value.kind != Expr::Kind::kText) value = as_rule(std::move(value), inner);
    names.push_back(text(all[i].name));
    add(before(i), behind(i + 1),
        sequence({rules_.literal(Json(all[i].name)), rules_.colon(), std::move(value)}));
    if (all[i].optional) out.graph.push_back({before(i), before(i + 1), -1});
  }
  if (rest != Json(false)) {
    Expr key = rules_.string();
    if (!all.empty()) {
      const Dfa known = to_dfa(choice(std::move(names)), Encoding::kJsonString, {}, budget_);
      key = as_rule(JsonRules::quoted(automaton(
                        rules_.allowed(difference(JsonRules::characters(0, -1, budget_), known, budget_)))),
                    place + "/(other names)");
    }
    const std::string inner = place + "/additionalProperties";
    add(before(count), behind(count),
        sequence({key, rules_.colon(), as_rule(read(rest, inner, depth + 1), inner)}));
  }
  // What is left may be left out.
  size_t last = count;
  while (last > 0 && all[last - 1].optional) --last;
  for (size_t i = 0; i <= count; ++i) add(behind(i), before(i), rules_.comma());
  for (size_t i = last; i <= count; ++i) add(behind(i), end, rules_.close());
  out.graph.push_back({0, before(0), -1});
  if (last == 0) out.graph.push_back({0, end, -1});
  out.ends = {end};
  return as_rule(sequence({text("{"), rules_.open(), std::move(out), text("}")}), place);
}

Expr SchemaReader::read_array(const Json& schema, const std::string& place, int depth) {
  const Json* prefix = schema.find("prefixItems");
  const Json* items = schema.find("items");
  std::string prefix_key = "prefixItems", items_key = "items";
  if (items != nullptr && items->is_array()) {  // draft 2019-09 and before
    prefix = items;
    prefix_key = "items";
    items = schema.find("additionalItems");
    items_key = "additionalItems";
  }
  const Json* least = schema.find("minItems");
  const Json* most = schema.find("maxItems");
  if (prefix == nullptr && items == nullptr && least == nullptr && most == nullptr) return rules_.array();
  const int min = least == nullptr ? 0 : bounded_count(*least, "minItems", place);
  const int max = most == nullptr ? -1 : bounded_count(*most, "maxItems", place);
  std::vector<Expr> first;
  if (prefix != nullptr) {
    for (const Json& one : list_of(schema, prefix_key, place)) {
      const std::string inner = fmt::format("{}/{}/{}", place, prefix_key, first.size());
      first.push_back(as_rule(read(one, inner, depth + 1), inner));
    }
  }
  const std::string inner = fmt::format("{}/{}", place, items_key);
  const Expr rest = items == nullptr ? rules_.value() : as_rule(read(*items, inner, depth + 1), inner);

  // Node i: so many items were written.
  Expr out;
  out.kind = Expr::Kind::kGraph;
  const auto add = [&](int from, int to, const Expr& item) {
    out.items.push_back(from == 0 ? item : sequence({rules_.comma(), item}));
    out.graph.push_back({from, to, static_cast<int>(out.items.size()) - 1});
  };
  // Without a maximum the last node repeats itself.
  const int last = max >= 0 ? max : std::max({min, static_cast<int>(first.size()), 1});
  for (int i = 0; i < last; ++i)
    add(i, i + 1, static_cast<size_t>(i) < first.size() ? first[static_cast<size_t>(i)] : rest);
  if (max < 0) add(last, last, rest);
  out.items.push_back(rules_.close());
  for (int i = min; i <= last; ++i)
    out.graph.push_back({i, last + 1, i == 0 ? -1 : static_cast<int>(out.items.size()) - 1});
  out.ends = {last + 1};
  if (min > last) return nothing();
  return as_rule(sequence({text("["), rules_.open(), std::move(out), text("]")}), place);
}

// minLength and maxLength; -1: there is none.
std::pair<int, int> SchemaReader::lengths_of(const Json& schema, const std::string& place) {
  const Json* least = schema.find("minLength");
  const Json* most = schema.find("maxLength");
  const int min = least == nullptr ? 0 : bounded_count(*least, "minLength", place);
  const int max = most == nullptr ? -1 : bounded_count(*most, "maxLength", place);
  if (max >= 0 && min > max) throw Refusal{fmt::format("minLength at {}/ is above maxLength", place)};
  return {min, max};
}

std::optional<Dfa> SchemaReader::string_body(const Json& schema, const std::string& place,
                                             Encoding encoding) {
  std::optional<Dfa> out;
  const auto add = [&](Dfa more) { out = out ? intersection(*out, more, budget_) : std::move(more); };
  const auto [min, max] = lengths_of(schema, place);
  if (min > 0 || max >= 0) {
    if (encoding == Encoding::kJsonString) {
      add(JsonRules::characters(min, max, budget_));
    } else {
      const Expr any = set_of(all_chars());
      add(to_dfa(repeat(any, min, max), encoding, {}, budget_));
    }
  }
  std::vector<Json> patterns;
  if (const Json* one = schema.find("pattern")) patterns.push_back(*one);
  if (const Json* more = schema.find("&patterns"); more != nullptr && more->is_array())
    patterns.insert(patterns.end(), more->as_array().begin(), more->as_array().end());
  for (const Json& pattern : patterns) {
    if (!pattern.is_string()) throw Refusal{fmt::format("pattern at {}/ must be a string", place)};
    try {
      add(found_in(pattern.as_string(), encoding, budget_));
    } catch (const Refusal& refusal) {
      throw Refusal{fmt::format("pattern at {}/: {}", place, refusal.message)};
    }
  }
  if (const Json* format = schema.find("format")) {
    const std::optional<std::string_view> pattern =
        format->is_string() ? format_pattern(format->as_string()) : std::nullopt;
    if (!pattern) {
      throw Refusal{fmt::format("format at {}/ is {}, and the formats known here are {}", place,
                                to_string(*format).substr(0, 100), known_formats())};
    }
    add(whole_match(*pattern, encoding, budget_));
  }
  return out;
}

Json SchemaReader::string_keywords(const Json& schema) {
  Json out = Json::object();
  for (const char* keyword : {"minLength", "maxLength", "pattern", "&patterns", "format"}) {
    if (const Json* value = schema.find(keyword)) out.set(keyword, *value);
  }
  return out;
}

Expr SchemaReader::read_string(const Json& schema, const std::string& place) {
  // Strings that say the same are one rule.
  const auto [known, inserted] = strings_.try_emplace(to_string(string_keywords(schema)), nothing());
  if (!inserted) return known->second;
  const bool of_length_alone = std::ranges::none_of(std::array{"pattern", "&patterns", "format"},
                                                    [&](const char* k) { return schema.find(k) != nullptr; });
  if (const auto [min, max] = lengths_of(schema, place); of_length_alone && max >= 0 && !rules_.bans()) {
    std::vector<Expr> parts{text("\"")};
    if (min > 0) parts.push_back(automaton(JsonRules::characters(min, min, budget_)));
    parts.push_back(rules_.characters_to_end(max - min));
    return known->second = as_rule(sequence(std::move(parts)), place);
  }
  std::optional<Dfa> body = string_body(schema, place, Encoding::kJsonString);
  known->second =
      body ? as_rule(JsonRules::quoted(automaton(rules_.allowed(std::move(*body)))), place) : rules_.string();
  return known->second;
}

Expr SchemaReader::read_number(bool integer, const Json& schema, const std::string& place) {
  NumberBounds bounds;
  bounds.integer = integer;
  const auto bound = [&](const char* key) -> const Json* {
    const Json* found = schema.find(key);
    if (found != nullptr && !found->is_number() && !found->is_bool())
      throw Refusal{fmt::format("{} at {}/ must be a number", key, place)};
    return found;
  };
  const auto take = [&](const char* plain, const char* exclusive, bool lower, std::optional<std::string>& to,
                        bool& excluded) {
    const Json* inclusive = bound(plain);
    const Json* strict = bound(exclusive);
    // Draft 4: a boolean beside the bound.
    if (strict != nullptr && strict->is_bool()) {
      excluded = strict->as_bool();
      strict = nullptr;
    }
    if (inclusive != nullptr && inclusive->is_number()) to = to_string(*inclusive);
    if (strict == nullptr) return;
    if (to &&
        (lower ? inclusive->as_double() > strict->as_double() : inclusive->as_double() < strict->as_double()))
      return;
    to = to_string(*strict);
    excluded = true;
  };
  take("minimum", "exclusiveMinimum", true, bounds.min, bounds.min_excluded);
  take("maximum", "exclusiveMaximum", false, bounds.max, bounds.max_excluded);
  if (const Json* multiple = schema.find("multipleOf")) {
    const bool known =
        multiple->is_int64() && multiple->as_int64() >= 1 && multiple->as_int64() <= kRepeatMax;
    if (!known)
      throw Refusal{fmt::format("multipleOf at {}/ is supported as an integer from 1 to {} (kRepeatMax)",
                                place, kRepeatMax)};
    bounds.multiple_of = static_cast<int>(multiple->as_int64());
  }
  if (!bounds.min && !bounds.max && !bounds.multiple_of) return integer ? rules_.integer() : rules_.number();
  return as_rule(automaton(bounded_number(bounds, budget_)), place);
}

}  // namespace minimax::grammar
