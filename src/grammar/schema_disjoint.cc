// oneOf: a grammar can say "at least one of these". That is "exactly one" if no value fits two of them, which
// is proved here where it is plain to see, and otherwise not assumed.

#include <algorithm>

#include <fmt/format.h>

#include "grammar/schema.h"

namespace minimax::grammar {
namespace {

bool has(const std::vector<std::string>& types, std::string_view type) {
  return std::ranges::find(types, type) != types.end();
}

bool requires_name(const Json& schema, const std::string& name) {
  const Json* names = schema.find("required");
  return names != nullptr && names->is_array() &&
         std::ranges::find(names->as_array(), Json(name)) != names->as_array().end();
}

// All numbers of `low` are above all of `high`.
bool above(const Json& low, const Json& high) {
  for (const char* lower : {"minimum", "exclusiveMinimum"}) {
    for (const char* upper : {"maximum", "exclusiveMaximum"}) {
      const Json* min = low.find(lower);
      const Json* max = high.find(upper);
      if (min == nullptr || max == nullptr || !min->is_number() || !max->is_number()) continue;
      const bool strict = lower[0] == 'e' || upper[0] == 'e';
      if (min->as_double() > max->as_double() || (strict && min->as_double() == max->as_double()))
        return true;
    }
  }
  return false;
}

std::vector<std::string> types_of_values(const std::vector<Json>& values) {
  std::vector<std::string> out;
  for (const Json& value : values)
    out.emplace_back(value.is_bool() ? "boolean" : value.is_number() ? "number" : value.type_name());
  return out;
}

bool same_value(const Json& a, const Json& b) {
  return a == b || (a.is_number() && b.is_number() && a.as_double() == b.as_double());
}

}  // namespace

bool SchemaReader::disjoint(const Json& a, const Json& b, const std::string& place, int depth) {
  if (a == Json(false) || b == Json(false)) return true;
  if (a.is_bool() || b.is_bool() || depth > kNestingMax) return false;
  budget_.spend(16);
  const std::optional<std::vector<Json>> mine = values_of(a, place, depth),
                                         theirs = values_of(b, place, depth);
  if (mine && theirs) {
    return std::ranges::none_of(*mine, [&](const Json& x) {
      return std::ranges::any_of(*theirs, [&](const Json& y) { return same_value(x, y); });
    });
  }
  std::vector<std::string> types = mine ? types_of_values(*mine) : types_of(a, place);
  const std::vector<std::string> others = theirs ? types_of_values(*theirs) : types_of(b, place);
  const auto is_number = [](const std::string& type) { return type == "number" || type == "integer"; };
  std::erase_if(types, [&](const std::string& type) {
    return is_number(type) ? std::ranges::none_of(others, is_number) : !has(others, type);
  });
  if (types.empty()) return true;
  if (std::ranges::all_of(types, is_number)) return above(a, b) || above(b, a);
  if (types != std::vector<std::string>{"object"}) return false;
  const Json* properties = a.find("properties");
  const Json* other = b.find("properties");
  if (properties != nullptr && properties->is_object() && other != nullptr && other->is_object()) {
    for (const auto& [name, value] : properties->as_object()) {
      const Json* counterpart = other->find(name);
      if (counterpart == nullptr || !requires_name(a, name) || !requires_name(b, name)) continue;
      if (disjoint(resolved(value, place, depth + 1), resolved(*counterpart, place, depth + 1), place,
                   depth + 1))
        return true;
    }
  }
  // One demands a name that the other forbids.
  const auto forbids = [](const Json& demands, const Json& closed) {
    const Json* names = demands.find("required");
    const Json* rest = closed.find("additionalProperties");
    const Json* known = closed.find("properties");
    if (names == nullptr || !names->is_array() || rest == nullptr || *rest != Json(false)) return false;
    return std::ranges::any_of(names->as_array(), [&](const Json& name) {
      return name.is_string() && (known == nullptr || known->find(name.as_string()) == nullptr);
    });
  };
  return forbids(a, b) || forbids(b, a);
}

void SchemaReader::check_disjoint(const std::vector<Json>& branches, const std::string& place, int depth) {
  constexpr size_t kBranchesMax = 64;
  if (branches.size() > kBranchesMax)
    throw Refusal{
        fmt::format("oneOf at {}/ has {} branches, more than {}", place, branches.size(), kBranchesMax)};
  for (size_t i = 0; i < branches.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (disjoint(branches[i], branches[j], place, depth + 1)) continue;
      throw Refusal{
          fmt::format("oneOf at {}/ is supported where its branches plainly exclude each other, and branches "
                      "{} and {} may not; use anyOf",
                      place, j, i)};
    }
  }
}

}  // namespace minimax::grammar
