#pragma once
// JSON Schema (draft 2020-12, and what older drafts call by other names) to a grammar of texts that are
// valid: objects with their properties in the order of the schema, numbers without needless forms.
//
// Every text that matches is valid. Some valid texts do not match (other orders, 1.0 for an integer, needless
// escapes in strings with a length or pattern). A keyword that is not known here, or that cannot be kept
// exactly, is refused by its name and place: docs/guided_output.md.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "grammar/json_rules.h"

namespace minimax::grammar {

struct SchemaOptions {
  // Objects whose schema says nothing of additionalProperties have none: `strict` of the OpenAI API, and the
  // peer's disable_additional_properties.
  bool closed_objects = false;
};

// Adds rules for a schema to a grammar under construction. Throws Refusal.
class SchemaReader {
 public:
  // All must outlive this. `root`: the document that $ref points into.
  SchemaReader(Grammar& grammar, JsonRules& rules, const Json& root, const SchemaOptions& options,
               Budget& budget)
      : grammar_(grammar), rules_(rules), root_(root), options_(options), budget_(budget) {}

  // `place` is for messages: "" is the root, then "/properties/a".
  Expr read(const Json& schema, const std::string& place, int depth = 0);

  // A property's schema with references and allOf resolved: one object, or a boolean.
  Json resolved(const Json& schema, const std::string& place, int depth = 0);
  // The types that values of a resolved schema may have; "number" includes integers.
  static std::vector<std::string> types_of(const Json& schema, const std::string& place);
  // What a resolved schema says of strings: by it they are one rule or two.
  static Json string_keywords(const Json& schema);
  // What the values of a string may be, encoded; nothing: any.
  std::optional<Dfa> string_body(const Json& schema, const std::string& place, Encoding encoding);
  // Those of enum and const that agree with the rest of the (resolved) schema; nothing: neither is there.
  std::optional<std::vector<Json>> values_of(const Json& schema, const std::string& place, int depth);

 private:
  Expr read_ref(const std::string& ref, const std::string& place, int depth);
  Expr read_resolved(const Json& schema, const std::string& place, int depth);
  Expr read_branches(const Json& schema, const std::string& keyword, const std::string& place, int depth);
  Expr read_type(const std::string& type, const Json& schema, const std::string& place, int depth);
  Expr read_object(const Json& schema, const std::string& place, int depth);
  Expr read_array(const Json& schema, const std::string& place, int depth);
  static std::pair<int, int> lengths_of(const Json& schema, const std::string& place);
  Expr read_string(const Json& schema, const std::string& place);
  Expr read_number(bool integer, const Json& schema, const std::string& place);
  Expr as_rule(Expr body, const std::string& place);
  bool fits(const Json& value, const Json& schema, const std::string& place, int depth);
  void check_disjoint(const std::vector<Json>& branches, const std::string& place, int depth);
  bool disjoint(const Json& a, const Json& b, const std::string& place, int depth);

  Grammar& grammar_;
  JsonRules& rules_;
  const Json& root_;
  const SchemaOptions options_;
  Budget& budget_;
  std::vector<std::pair<std::string, int32_t>> refs_;  // rules of $ref targets
  std::map<std::string, Expr> strings_;                // by the keywords that bind them
};

// schema_merge.cc: what both schemas allow. Both are resolved: no $ref and no allOf at the top.
Json merged(const Json& a, const Json& b, const std::string& place);
// Refuses keywords that are not known.
void check_keywords(const Json& schema, const std::string& place);
// The target of "#" or "#/...", nullptr if there is none.
const Json* find_pointer(const Json& root, std::string_view ref);
int bounded_count(const Json& value, std::string_view keyword, const std::string& place);

}  // namespace minimax::grammar
