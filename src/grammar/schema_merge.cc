// Which keywords there are, where references point, and what two schemas say together.

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "grammar/schema.h"

namespace minimax::grammar {
namespace {

constexpr std::array<std::string_view, 31> kKnown{"$ref",
                                                  "$defs",
                                                  "definitions",
                                                  "allOf",
                                                  "anyOf",
                                                  "oneOf",
                                                  "type",
                                                  "nullable",
                                                  "enum",
                                                  "const",
                                                  "properties",
                                                  "required",
                                                  "additionalProperties",
                                                  "items",
                                                  "prefixItems",
                                                  "additionalItems",
                                                  "minItems",
                                                  "maxItems",
                                                  "uniqueItems",
                                                  "minLength",
                                                  "maxLength",
                                                  "pattern",
                                                  "format",
                                                  "minimum",
                                                  "maximum",
                                                  "exclusiveMinimum",
                                                  "exclusiveMaximum",
                                                  "multipleOf",
                                                  "&patterns",
                                                  "minProperties",
                                                  "$id"};
// They say nothing about which values are valid.
// OpenAPI's discriminator tells a reader which branch to look at; the branches alone say what is valid.
constexpr std::array<std::string_view, 17> kAnnotations{
    "title",       "description", "default",         "examples",
    "example",     "$schema",     "$comment",        "deprecated",
    "readOnly",    "writeOnly",   "contentEncoding", "contentMediaType",
    "$vocabulary", "id",          "discriminator",   "externalDocs",
    "xml"};

const Json* member(const Json& schema, std::string_view key) {
  return schema.is_object() ? schema.find(key) : nullptr;
}

Json both(const Json& a, const Json& b) {
  return Json::object({{"allOf", Json(Json::Array{a, b})}});
}

void merge_types(Json& out, const Json& a, const Json& b, const std::string& place) {
  if (member(a, "type") == nullptr && member(b, "type") == nullptr) return;
  const std::vector<std::string> mine = SchemaReader::types_of(a, place),
                                 theirs = SchemaReader::types_of(b, place);
  const auto has = [](const std::vector<std::string>& types, const char* type) {
    return std::ranges::find(types, type) != types.end();
  };
  Json types = Json::array();
  for (const char* type : {"object", "array", "string", "number", "integer", "boolean", "null"}) {
    const std::string_view name = type;
    bool in = has(mine, type) && has(theirs, type);
    if (name == "integer" && !in)
      in = (has(mine, "integer") && has(theirs, "number")) || (has(mine, "number") && has(theirs, "integer"));
    if (in) types.push_back(type);
  }
  out.set("type", std::move(types));
}

void merge_values(Json& out, const Json& a, const Json& b) {
  std::optional<Json> values;
  for (const Json* schema : {&a, &b}) {
    for (const char* key : {"enum", "const"}) {
      const Json* found = member(*schema, key);
      if (found == nullptr) continue;
      Json list = std::string_view(key) == "enum" ? *found : Json(Json::Array{*found});
      if (!list.is_array()) list = Json::array();
      if (values) {
        std::erase_if(list.as_array(), [&](const Json& one) {
          return std::ranges::find(values->as_array(), one) == values->as_array().end();
        });
      }
      values = std::move(list);
    }
  }
  if (values) out.set("enum", std::move(*values));
}

// The stricter of two numbers.
void merge_bound(Json& out, const Json& a, const Json& b, const char* key, bool larger) {
  const Json* mine = member(a, key);
  const Json* theirs = member(b, key);
  if (mine == nullptr || theirs == nullptr || !mine->is_number() || !theirs->is_number()) {
    const Json* one = mine != nullptr ? mine : theirs;
    if (one != nullptr) out.set(key, *one);
    return;
  }
  const bool take_mine = (mine->as_double() > theirs->as_double()) == larger;
  out.set(key, take_mine ? *mine : *theirs);
}

// Keywords of which there can be one only.
void merge_single(Json& out, const Json& a, const Json& b, const char* key, const std::string& place) {
  const Json* mine = member(a, key);
  const Json* theirs = member(b, key);
  if (mine != nullptr && theirs != nullptr && *mine != *theirs) {
    throw Refusal{fmt::format(
        "{} at {}/ is given twice, with different values, in what allOf or $ref bring together", key, place)};
  }
  if (mine != nullptr || theirs != nullptr) out.set(key, mine != nullptr ? *mine : *theirs);
}

void merge_patterns(Json& out, const Json& a, const Json& b, const std::string& place) {
  Json patterns = Json::array();
  for (const Json* schema : {&a, &b}) {
    if (const Json* one = member(*schema, "pattern")) patterns.push_back(*one);
    if (const Json* more = member(*schema, "&patterns")) {
      if (!more->is_array())
        throw Refusal{fmt::format("the keyword &patterns at {}/ is not supported", place)};
      for (const Json& one : more->as_array()) patterns.push_back(one);
    }
  }
  if (!patterns.as_array().empty()) out.set("&patterns", std::move(patterns));
}

// Both schemas' word on the property `name`: its own, or that on the rest.
std::optional<Json> on_property(const Json& schema, const std::string& name) {
  const Json* properties = member(schema, "properties");
  if (properties != nullptr && properties->is_object()) {
    if (const Json* found = properties->find(name)) return *found;
  }
  if (const Json* rest = member(schema, "additionalProperties")) return *rest;
  return {};
}

void merge_objects(Json& out, const Json& a, const Json& b) {
  Json properties = Json::object();
  for (const Json* schema : {&a, &b}) {
    const Json* own = member(*schema, "properties");
    if (own == nullptr || !own->is_object()) continue;
    for (const auto& [name, value] : own->as_object()) {
      if (properties.find(name) != nullptr) continue;
      const std::optional<Json> mine = on_property(a, name), theirs = on_property(b, name);
      properties.set(name, mine && theirs ? both(*mine, *theirs) : mine ? *mine : *theirs);
    }
  }
  if (!properties.as_object().empty()) out.set("properties", std::move(properties));
  const Json* mine = member(a, "additionalProperties");
  const Json* theirs = member(b, "additionalProperties");
  if (mine != nullptr && theirs != nullptr) {
    out.set("additionalProperties", *mine == *theirs ? *mine : both(*mine, *theirs));
  } else if (mine != nullptr || theirs != nullptr) {
    out.set("additionalProperties", mine != nullptr ? *mine : *theirs);
  }
  Json required = Json::array();
  for (const Json* schema : {&a, &b}) {
    const Json* names = member(*schema, "required");
    if (names == nullptr || !names->is_array()) continue;
    for (const Json& name : names->as_array()) {
      if (std::ranges::find(required.as_array(), name) == required.as_array().end()) required.push_back(name);
    }
  }
  if (!required.as_array().empty()) out.set("required", std::move(required));
}

const Json* prefix_of(const Json& schema) {
  const Json* prefix = member(schema, "prefixItems");
  if (prefix == nullptr && member(schema, "items") != nullptr && schema.find("items")->is_array())
    prefix = schema.find("items");
  return prefix != nullptr && prefix->is_array() ? prefix : nullptr;
}
const Json* rest_of(const Json& schema) {
  const Json* items = member(schema, "items");
  return items != nullptr && items->is_array() ? member(schema, "additionalItems") : items;
}

void merge_arrays(Json& out, const Json& a, const Json& b) {
  const Json* mine = prefix_of(a);
  const Json* theirs = prefix_of(b);
  const size_t count = std::max(mine == nullptr ? 0 : mine->as_array().size(),
                                theirs == nullptr ? 0 : theirs->as_array().size());
  const auto at = [](const Json* prefix, const Json* rest, size_t i) -> const Json* {
    return prefix != nullptr && i < prefix->as_array().size() ? &prefix->as_array()[i] : rest;
  };
  const auto join = [](const Json* x, const Json* y) {
    return x != nullptr && y != nullptr ? both(*x, *y) : x != nullptr ? *x : *y;
  };
  const Json* my_rest = rest_of(a);
  const Json* their_rest = rest_of(b);
  if (count > 0) {
    Json prefix = Json::array();
    for (size_t i = 0; i < count; ++i)
      prefix.push_back(join(at(mine, my_rest, i), at(theirs, their_rest, i)));
    out.set("prefixItems", std::move(prefix));
  }
  if (my_rest != nullptr || their_rest != nullptr) out.set("items", join(my_rest, their_rest));
}

void merge_branches(Json& out, const Json& a, const Json& b, const std::string& place) {
  const Json* mine = member(a, "anyOf");
  const Json* theirs = member(b, "anyOf");
  if (mine != nullptr && theirs != nullptr && mine->is_array() && theirs->is_array() && *mine != *theirs) {
    constexpr size_t kProductMax = 1024;
    if (mine->as_array().size() * theirs->as_array().size() > kProductMax) {
      throw Refusal{fmt::format("anyOf at {}/ meets another one with more than {} pairs of branches", place,
                                kProductMax)};
    }
    Json product = Json::array();
    for (const Json& x : mine->as_array()) {
      for (const Json& y : theirs->as_array()) product.push_back(both(x, y));
    }
    out.set("anyOf", std::move(product));
  } else if (mine != nullptr || theirs != nullptr) {
    out.set("anyOf", mine != nullptr ? *mine : *theirs);
  }
  merge_single(out, a, b, "oneOf", place);
}

}  // namespace

void check_keywords(const Json& schema, const std::string& place) {
  if (schema.is_bool()) return;
  if (!schema.is_object()) {
    throw Refusal{
        fmt::format("the schema at {}/ must be an object or a boolean, not {}", place, schema.type_name())};
  }
  for (const auto& [key, value] : schema.as_object()) {
    if (std::ranges::find(kKnown, key) == kKnown.end() &&
        std::ranges::find(kAnnotations, key) == kAnnotations.end() && !key.starts_with("x-")) {
      throw Refusal{fmt::format("the keyword {} at {}/ is not supported", key, place)};
    }
    if (key == "uniqueItems" && value != Json(false)) {
      throw Refusal{fmt::format("the keyword uniqueItems at {}/ is not supported", place)};
    }
    if (key == "minProperties" && value != Json(0)) {
      throw Refusal{fmt::format("the keyword minProperties at {}/ is not supported", place)};
    }
    if (key == "$id" && !place.empty()) {
      throw Refusal{
          fmt::format("the keyword $id at {}/ is not supported: references are read from the root", place)};
    }
  }
}

const Json* find_pointer(const Json& root, std::string_view ref) {
  if (!ref.starts_with('#')) return nullptr;
  ref.remove_prefix(1);
  const Json* at = &root;
  while (!ref.empty()) {
    if (ref.front() != '/') return nullptr;
    ref.remove_prefix(1);
    const size_t end = std::min(ref.find('/'), ref.size());
    std::string name;
    for (size_t i = 0; i < end; ++i) {
      const std::string_view rest = ref.substr(i, end - i);
      unsigned code = 0;
      if (rest.starts_with("~0") || rest.starts_with("~1")) {
        name += rest[1] == '0' ? '~' : '/';
        i += 1;
      } else if (rest.size() >= 3 && rest[0] == '%' &&
                 std::from_chars(rest.data() + 1, rest.data() + 3, code, 16).ptr == rest.data() + 3) {
        name += static_cast<char>(code);
        i += 2;
      } else {
        name += rest[0];
      }
    }
    ref.remove_prefix(end);
    if (at->is_array()) {
      size_t index = 0;
      const auto [last, error] = std::from_chars(name.data(), name.data() + name.size(), index);
      if (error != std::errc() || last != name.data() + name.size() || index >= at->as_array().size())
        return nullptr;
      at = &at->as_array()[index];
    } else {
      at = at->find(name);
      if (at == nullptr) return nullptr;
    }
  }
  return at;
}

Json merged(const Json& a, const Json& b, const std::string& place) {
  if (a.is_bool()) return a.as_bool() ? b : a;
  if (b.is_bool()) return b.as_bool() ? a : b;
  Json out = Json::object();
  merge_types(out, a, b, place);
  merge_values(out, a, b);
  for (const char* key : {"minimum", "exclusiveMinimum", "minLength", "minItems"})
    merge_bound(out, a, b, key, true);
  for (const char* key : {"maximum", "exclusiveMaximum", "maxLength", "maxItems"})
    merge_bound(out, a, b, key, false);
  merge_single(out, a, b, "format", place);
  merge_single(out, a, b, "multipleOf", place);
  merge_patterns(out, a, b, place);
  merge_objects(out, a, b);
  merge_arrays(out, a, b);
  merge_branches(out, a, b, place);
  return out;
}

int bounded_count(const Json& value, std::string_view keyword, const std::string& place) {
  const double number = value.is_number() ? value.as_double() : -1;
  if (number < 0 || number != static_cast<double>(static_cast<int64_t>(std::min(number, 1e15)))) {
    throw Refusal{fmt::format("{} at {}/ must be an integer from 0 on", keyword, place)};
  }
  if (number > kRepeatMax) {
    throw Refusal{
        fmt::format("{} at {}/ is {}, more than {} (kRepeatMax)", keyword, place, number, kRepeatMax)};
  }
  return static_cast<int>(number);
}

}  // namespace minimax::grammar
