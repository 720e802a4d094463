#include "chat/coerce.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace minimax::chat {
namespace {

constexpr int kSchemaDepthMax = 16;
constexpr int kSchemasMax = 4096;  // looked at for one question about a schema
// A client sends the answer's values back: with what Messages puts around them (body, messages, message,
// content, block, input) they must be within the depth of a request.
constexpr size_t kValueDepthMax = JsonLimits{}.depth_max - 8;
static_assert(kSchemaDepthMax < kValueDepthMax);

uint8_t type_bit(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "null" || lower == "none") return TypeSet::kNull;
  if (lower == "string" || lower == "str" || lower == "text" || lower == "varchar" || lower == "char" ||
      lower == "enum")
    return TypeSet::kString;
  if (lower.starts_with("int") || lower.starts_with("uint") || lower.starts_with("long") ||
      lower.starts_with("short") || lower.starts_with("unsigned"))
    return TypeSet::kInteger;
  if (lower.starts_with("num") || lower.starts_with("float") || lower.starts_with("double") ||
      lower.starts_with("decimal"))
    return TypeSet::kNumber;
  if (lower.starts_with("bool") || lower == "binary") return TypeSet::kBoolean;
  if (lower == "object" || lower.starts_with("dict") || lower == "map") return TypeSet::kObject;
  if (lower.starts_with("arr") || lower.starts_with("list") || lower == "tuple" || lower == "set")
    return TypeSet::kArray;
  return 0;
}

uint8_t type_of_value(const Json& value) {
  if (value.is_null()) return TypeSet::kNull;
  if (value.is_bool()) return TypeSet::kBoolean;
  if (value.is_integer()) return TypeSet::kInteger;
  if (value.is_double()) return TypeSet::kNumber;
  if (value.is_string()) return TypeSet::kString;
  return value.is_array() ? TypeSet::kArray : TypeSet::kObject;
}

// What the schema's "$ref" points to in root, or nullptr. A reference to a reference is followed by the
// caller.
const Json* referred(const Json& schema, const Json& root) {
  const Json* reference = schema.find("$ref");
  if (reference == nullptr || !reference->is_string()) return nullptr;
  std::string_view path = reference->as_string();
  if (!path.starts_with('#')) return nullptr;
  path.remove_prefix(1);
  const Json* at = &root;
  while (!path.empty() && at != nullptr) {
    if (path[0] != '/') return nullptr;
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    std::string name(path.substr(0, end));  // ~1 stands for a slash, ~0 for a tilde
    for (size_t i = name.find('~'); i != std::string::npos; i = name.find('~', i + 1)) {
      const char kind = i + 1 < name.size() ? name[i + 1] : ' ';
      if (kind == '0' || kind == '1') name.replace(i, 2, kind == '1' ? "/" : "~");
    }
    at = at->find(name);
    path.remove_prefix(end);
  }
  return at;
}

// `budget` bounds the schemas looked at: references can make a small schema large.
void collect(const Json& schema, const Json& root, int depth, int& budget, uint8_t& bits) {
  if (depth > kSchemaDepthMax || --budget < 0 || !schema.is_object()) return;
  if (const Json* target = referred(schema, root)) collect(*target, root, depth + 1, budget, bits);
  if (const Json* type = schema.find("type")) {
    if (type->is_string()) bits |= type_bit(type->as_string());
    if (type->is_array()) {
      for (const Json& name : type->as_array()) {
        if (name.is_string()) bits |= type_bit(name.as_string());
      }
    }
  }
  if (const Json* values = schema.find("enum"); values != nullptr && values->is_array()) {
    for (const Json& value : values->as_array()) bits |= type_of_value(value);
  }
  if (const Json* value = schema.find("const")) bits |= type_of_value(*value);
  if (const Json* nullable = schema.find("nullable");
      nullable != nullptr && nullable->is_bool() && nullable->as_bool())
    bits |= TypeSet::kNull;
  for (const char* key : {"anyOf", "oneOf", "allOf"}) {
    const Json* choices = schema.find(key);
    if (choices == nullptr || !choices->is_array()) continue;
    for (const Json& choice : choices->as_array()) collect(choice, root, depth + 1, budget, bits);
  }
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// An integer or number as JSON would read it; a leading plus is allowed, as in Python.
std::optional<Json> number_of(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const Result<Json> value = parse_json(text);
  if (!value.ok() || !value->is_number()) return {};
  return *value;
}

// The schema of a member (keyword "properties") or of the items of a value: in the schema itself, in what it
// refers to or in its alternatives.
const Json* member_schema(const Json& schema, const Json& root, std::string_view keyword,
                          std::string_view name, int depth, int& budget) {
  if (depth > kSchemaDepthMax || --budget < 0 || !schema.is_object()) return nullptr;
  if (const Json* found = schema.find(keyword)) {
    if (keyword == "items") return found->is_object() ? found : nullptr;
    if (const Json* member = found->find(name)) return member;
  }
  if (const Json* target = referred(schema, root)) {
    if (const Json* found = member_schema(*target, root, keyword, name, depth + 1, budget)) return found;
  }
  for (const char* key : {"anyOf", "oneOf", "allOf"}) {
    const Json* choices = schema.find(key);
    if (choices == nullptr || !choices->is_array()) continue;
    for (const Json& choice : choices->as_array()) {
      if (const Json* found = member_schema(choice, root, keyword, name, depth + 1, budget)) return found;
    }
  }
  const Json* rest = keyword == "properties" ? schema.find("additionalProperties") : nullptr;
  return rest != nullptr && rest->is_object() ? rest : nullptr;
}

Json coerce_text(std::string_view text, const Json& schema, const Json& root, int depth);

// `depth`: of what stands around the value. One that nests deeper stays the text that it is.
Result<Json> parse_value(std::string_view text, int depth) {
  return parse_json(text, {.depth_max = kValueDepthMax - static_cast<size_t>(depth)});
}

Json coerce_inside(Json value, const Json& schema, const Json& root, int depth) {
  if (depth > kSchemaDepthMax) return value;
  if (value.is_string()) {
    const TypeSet types = types_of(schema, root);
    if (types.string_only() || types.has(TypeSet::kString)) return value;
    return coerce_text(value.as_string(), schema, root, depth);
  }
  int budget = kSchemasMax;
  if (value.is_object()) {
    for (auto& [name, member] : value.as_object()) {
      if (const Json* inner = member_schema(schema, root, "properties", name, 0, budget)) {
        member = coerce_inside(std::move(member), *inner, root, depth + 1);
      }
    }
  } else if (value.is_array()) {
    if (const Json* inner = member_schema(schema, root, "items", {}, 0, budget)) {
      for (Json& item : value.as_array()) item = coerce_inside(std::move(item), *inner, root, depth + 1);
    }
  }
  return value;
}

Json coerce_text(std::string_view text, const Json& schema, const Json& root, int depth) {
  const TypeSet types = types_of(schema, root);
  if (types.string_only()) return Json(text);
  const std::string_view bare = trimmed(text);
  if (types.has(TypeSet::kNull) && equals_ignoring_case(bare, "null")) return {};
  if (types.has(TypeSet::kInteger) || types.has(TypeSet::kNumber)) {
    if (const std::optional<Json> number = number_of(bare)) {
      if (number->is_integer()) return *number;
      const double value = number->as_double();
      // 2^53: beyond, a double is no longer every integer.
      const bool integral = value == std::floor(value) && std::fabs(value) < 9007199254740992.0;
      if (integral) return Json(static_cast<int64_t>(value));
      if (types.has(TypeSet::kNumber)) return *number;
    }
  }
  if (types.has(TypeSet::kBoolean)) {
    if (equals_ignoring_case(bare, "true") || bare == "1") return true;
    if (equals_ignoring_case(bare, "false") || bare == "0") return false;
  }
  if (types.has(TypeSet::kObject) || types.has(TypeSet::kArray)) {
    const Result<Json> value = parse_value(bare, depth);
    if (value.ok() && ((value->is_object() && types.has(TypeSet::kObject)) ||
                       (value->is_array() && types.has(TypeSet::kArray)))) {
      return coerce_inside(*value, schema, root, depth + 1);
    }
  }
  if (types.has(TypeSet::kString)) return Json(text);
  // The text fits no type of the schema: what it is by itself, else what the model wrote.
  const Result<Json> value = parse_value(bare, depth);
  return value.ok() ? *value : Json(text);
}

}  // namespace

TypeSet types_of(const Json& schema, const Json& root) {
  TypeSet types;
  int budget = kSchemasMax;
  collect(schema, root, 0, budget, types.bits);
  return types;
}

const Json* find_parameter(const Json& parameters, std::string_view name) {
  int budget = kSchemasMax;
  return member_schema(parameters, parameters, "properties", name, 0, budget);
}

Json coerce(std::string_view text, const Json& schema, const Json& root) {
  return coerce_text(text, schema, root, 0);
}

}  // namespace minimax::chat
