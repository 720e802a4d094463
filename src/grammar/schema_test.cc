#include "grammar/schema.h"

#include <array>

#include <fmt/format.h>

#include "grammar/test_machine.h"

namespace minimax::grammar {
namespace {

Json json(std::string_view text) {
  Result<Json> parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? std::move(*parsed) : Json();
}
Constraint schema(std::string_view text) {
  Constraint out;
  out.kind = Constraint::Kind::kJsonSchema;
  out.schema = json(text);
  return out;
}
std::string refusal(std::string_view text) {
  return Matching(schema(text)).error;
}
// Which of the texts match.
void expect(std::string_view of, std::initializer_list<const char*> matching,
            std::initializer_list<const char*> others) {
  const Matching match(schema(of));
  for (const char* text : matching) EXPECT_TRUE(match(text)) << of << "\n" << text;
  for (const char* text : others) EXPECT_FALSE(match(text)) << of << "\n" << text;
}

TEST(Schema, ObjectsHaveTheirPropertiesInOrder) {
  expect(
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "null"}},
             "required": ["b"], "additionalProperties": false})",
      {R"({"a": 1, "b": "x", "c": null})", R"({"b":""})", R"({"b": "x", "c": null})",
       "{\n  \"a\": -7,\n  \"b\": \"y\"\n}"},
      {"{}", R"({"a": 1})", R"({"b": 1})", R"({"b": "x", "d": 1})", R"({"b": "x",})", R"({"a": 1 "b": "x"})",
       R"({,"b": "x"})"});
}

TEST(Schema, OtherPropertiesAreOtherThanTheNamedOnes) {
  expect(
      R"({"type": "object", "properties": {"ab": {"type": "integer"}}, "additionalProperties": {"type": "string"}})",
      {R"({"ab": 1, "abc": "x", "a": "y"})", R"({"z": "x"})", "{}", R"({"": "x"})"},
      {R"({"ab": "x"})", R"({"z": 1})", R"({"z": "x", "ab": "x"})"});
  expect(R"({"type": "object", "properties": {"a": {}}, "required": ["q"]})",
         {R"({"q": [1]})", R"({"a": 1, "q": {}, "z": 0})"}, {R"({"a": 1})", "{}"});
}

TEST(Schema, StrictSchemasCloseTheirObjects) {
  Constraint closed =
      schema(R"({"type": "object", "properties": {"a": {"type": "object", "properties": {}}}})");
  EXPECT_TRUE(Matching(closed)(R"({"a": {"b": 1}})"));
  closed.schema_options.closed_objects = true;
  EXPECT_FALSE(Matching(closed)(R"({"a": {"b": 1}})"));
  EXPECT_FALSE(Matching(closed)(R"({"b": 1})"));
  EXPECT_TRUE(Matching(closed)(R"({"a": {}})"));
}

TEST(Schema, ArraysCount) {
  expect(R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
         {"[1]", "[1, 2,3]", "[ 1 ]"}, {"[]", "[1,2,3,4]", "[\"a\"]", "[1,]"});
  expect(R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false})",
         {"[]", "[1]", R"([1, "a"])"}, {R"(["a"])", R"([1, "a", 2])"});
  expect(R"({"type": "array", "items": [{"type": "integer"}], "additionalItems": {"type": "null"}})",
         {"[1, null]"}, {"[1, 2]"});
  expect(R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"});
}

TEST(Schema, StringsHaveLengthPatternAndFormat) {
  expect(R"({"type": "string", "minLength": 2, "maxLength": 3})",
         {"\"ab\"", "\"日本é\"", R"("\n\"")", R"("\u0001a")"}, {"\"a\"", "\"abcd\"", "\"\"", R"("\n")"});
  expect(R"({"type": "string", "pattern": "^a[0-9]+"})", {"\"a1\"", "\"a1 and more\""},
         {"\"b a1\"", "\"a\""});
  expect(R"({"type": "string", "pattern": "b", "maxLength": 2})", {"\"ab\"", "\"b\""}, {"\"aa\"", "\"aab\""});
  expect(R"({"type": "string", "format": "date"})", {"\"2024-02-29\"", "\"1999-12-31\""},
         {"\"2023-02-29\"", "\"2024-13-01\"", "\"x\""});
  expect(R"({"type": "string", "format": "uuid"})", {"\"123e4567-e89b-12d3-a456-426614174000\""},
         {"\"123\""});
  EXPECT_THAT(refusal(R"({"properties": {"a": {"type": "string", "format": "color"}}})"),
              testing::AllOf(testing::HasSubstr("format"), testing::HasSubstr("/properties/a")));
}

TEST(Schema, NumbersKeepTheirBounds) {
  expect(R"({"type": "integer", "minimum": -12, "maximum": 130})",
         {"-12", "-9", "0", "5", "99", "130", "101"}, {"-13", "131", "-20", "1000", "00", "-0", "1.5"});
  expect(R"({"type": "number", "minimum": 0.25, "exclusiveMaximum": 10})",
         {"0.25", "0.3", "9.999", "1", "0.251"}, {"0.2", "10", "0", "-1", "0.24", "10.0"});
  expect(R"({"type": "number", "maximum": -1.5})", {"-1.5", "-2", "-1.51", "-10"}, {"-1.4", "0", "1", "-1"});
  expect(R"({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 7})", {"7", "14", "70"},
         {"0", "8", "-7", "3"});
  expect(R"({"type": "integer", "minimum": 5, "exclusiveMinimum": true})", {"6"}, {"5"});
  for (int low = -23; low <= 23; low += 3) {
    for (int high = low; high <= 25; high += 4) {
      const Matching match(
          schema(fmt::format(R"({{"type": "integer", "minimum": {}, "maximum": {}}})", low, high)));
      for (int value = -130; value <= 130; ++value)
        ASSERT_EQ(match(std::to_string(value)), low <= value && value <= high)
            << low << " " << value << " " << high;
    }
  }
}

TEST(Schema, ValuesAreThoseListedThatFitTheRest) {
  expect(R"({"enum": ["a", 1, null, {"x": [1, 2]}]})",
         {"\"a\"", "1", "null", R"({"x": [1, 2]})", R"({ "x":[1,2] })"}, {"\"b\"", "2", "{}"});
  expect(R"({"type": "string", "enum": ["a", 1]})", {"\"a\""}, {"1"});
  expect(R"({"enum": [1, 5, 9], "minimum": 4})", {"5", "9"}, {"1"});
  expect(R"({"const": "x\ny"})", {R"("x\ny")"}, {R"("x")"});
}

TEST(Schema, BranchesAreCombinedWithWhatStandsBesideThem) {
  expect(R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]})", {"1", "\"a\""},
         {"\"ab\"", "null"});
  expect(R"({"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"],
             "anyOf": [{"properties": {"v": {"type": "integer"}}, "required": ["v"]}, {"properties": {"w": {"type": "null"}}, "required": ["w"]}]})",
         {R"({"k": "a", "v": 1})", R"({"k": "a", "w": null})"}, {R"({"k": "a"})", R"({"v": 1})"});
  expect(R"({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]})", {"3", "5"}, {"2", "6"});
  expect(R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}], "type": "string"})", {"\"ab\"", "\"ba\""},
         {"\"a\"", "\"b\""});
  expect(R"({"type": ["string", "null"]})", {"\"a\"", "null"}, {"1"});
  expect(R"({"type": "string", "nullable": true})", {"\"a\"", "null"}, {"1"});
}

TEST(Schema, OneOfIsKeptWhereItsBranchesExcludeEachOther) {
  expect(
      R"({"oneOf": [{"type": "object", "properties": {"t": {"const": "a"}, "x": {"type": "integer"}}, "required": ["t", "x"]},
                       {"type": "object", "properties": {"t": {"const": "b"}}, "required": ["t"]}]})",
      {R"({"t": "a", "x": 1})", R"({"t": "b"})"}, {R"({"t": "a"})", R"({"t": "c"})"});
  expect(R"({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 4}]})", {"3", "4"},
         {});
  EXPECT_THAT(refusal(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})"),
              testing::HasSubstr("oneOf"));
}

TEST(Schema, ReferencesMayRecur) {
  expect(
      R"({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"},
             "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["v"], "additionalProperties": false}}})",
      {R"({"v": 1})", R"({"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3}]})"},
      {R"({"v": 1, "kids": [{}]})", R"({"kids": []})"});
  expect(
      R"({"definitions": {"a/b": {"type": "integer"}}, "properties": {"x": {"$ref": "#/definitions/a~1b"}}})",
      {R"({"x": 1})", "[]"}, {R"({"x": "1"})"});
  EXPECT_THAT(refusal(R"({"$ref": "#/nowhere"})"), testing::HasSubstr("$ref"));
  EXPECT_THAT(refusal(R"({"$ref": "http://example.com/x"})"), testing::HasSubstr("$ref"));
  EXPECT_THAT(refusal(R"({"$ref": "#"})"), testing::HasSubstr("no text"));
}

// As one automaton where they differ early, and by themselves where what may come depends on all that came.
TEST(Schema, ManyBranchesAreWhatEachOfThemIs) {
  std::string told, tangled;
  for (int i = 0; i < 12; ++i) {
    const char* comma = i == 0 ? "" : ",";
    told += fmt::format(
        R"({}{{"type": "object", "properties": {{"kind": {{"const": "k{}"}}, "n": {{"type": "{}"}}, "s": {{}}}},
           "required": ["kind"], "additionalProperties": false}})",
        comma, i, i % 2 == 0 ? "integer" : "string");
    std::string properties;
    for (int j = 0; j < 12; ++j) {
      properties +=
          fmt::format(R"({}"p{}": {{"type": "{}"}})", j == 0 ? "" : ",", j, i == j ? "string" : "integer");
    }
    tangled += fmt::format(R"({}{{"type": "object", "properties": {{{}}}, "additionalProperties": false}})",
                           comma, properties);
  }
  expect(R"({"anyOf": [)" + told + "]}",
         {R"({"kind": "k0"})", R"({"kind": "k4", "n": 4})", R"({"kind": "k11", "n": "x", "s": [1, {}]})",
          R"({"kind":"k1","s":null})"},
         {R"({"kind": "k12"})", R"({"kind": "k4", "n": "x"})", R"({"kind": "k11", "n": 4})", R"({"n": 4})",
          R"({"kind": "k1", "n": "x")"});
  expect(R"({"anyOf": [)" + tangled + "]}",
         {"{}", R"({"p0": 1, "p11": 2})", R"({"p0": 1, "p5": "x", "p11": 2})", R"({"p3": "x"})"},
         {R"({"p0": "x", "p5": "x"})", R"({"p12": 1})", R"({"p5": 1, "p0": 1})", R"({"p0": true})"});
}

TEST(Schema, BranchesThatComeUpInManyPlacesStayRules) {
  std::string defs, any, places;
  for (int i = 0; i < 10; ++i) {
    const char* comma = i == 0 ? "" : ",";
    std::string properties = fmt::format(R"("kind": {{"const": "k{}"}})", i);
    for (int j = 0; j < 20; ++j)
      properties += fmt::format(R"(, "property number {}": {{"type": "string"}})", j);
    defs += fmt::format(
        R"({}"d{}": {{"properties": {{{}}}, "required": ["kind"], "additionalProperties": false}})", comma, i,
        properties);
    any += fmt::format(R"({}{{"$ref": "#/$defs/d{}"}})", comma, i);
  }
  for (int i = 0; i < 60; ++i)
    places += fmt::format(R"({}"x{}": {{"anyOf": [{}]}})", i == 0 ? "" : ",", i, any);
  expect(R"({"type": "object", "properties": {)" + places + R"(}, "$defs": {)" + defs + "}}",
         {R"({"x0": {"kind": "k0"}, "x59": {"kind": "k9", "property number 3": "x"}})"},
         {R"({"x0": {"kind": "k10"}})", R"({"x59": {"kind": 9}})"});
}

TEST(Schema, StringsThatSayTheSameAreOneRule) {
  std::string many;
  for (int i = 0; i < 40; ++i)
    many += fmt::format(R"({}"s{}": {{"maxLength": 4096, "type": "string"}})", i == 0 ? "" : ",", i);
  const std::string of =
      R"({"type": "object", "properties": {)" + many + R"(}, "additionalProperties": false})";
  expect(of, {R"({"s1": "x", "s39": "y"})", "{}"}, {R"({"s1": 1})"});
  expect(
      R"({"type": "array", "prefixItems": [{"type": "string", "maxLength": 1}, {"type": "string", "maxLength": 2}]})",
      {R"(["a", "ab"])"}, {R"(["ab", "a"])"});
}

// They share one automaton, and each begins at another place of it; the longest comes last, first, between.
TEST(Schema, StringsOfDifferentLengthKeepTheirOwn) {
  for (const std::vector<std::pair<int, int>>& lengths :
       std::vector<std::vector<std::pair<int, int>>>{{{0, 3}, {0, 0}, {2, 12}, {5, 5}, {0, 1}},
                                                     {{1, 9}, {0, 8}, {8, 9}},
                                                     {{0, 0}},
                                                     {{4, 4}},
                                                     {{0, 2}, {2, 4}, {0, 40}}}) {
    std::string items;
    for (const auto& [min, max] : lengths) {
      items += fmt::format(R"({}{{"type": "string", "minLength": {}, "maxLength": {}}})",
                           items.empty() ? "" : ", ", min, max);
    }
    const std::string of = R"({"type": "array", "items": false, "prefixItems": [)" + items + "]}";
    const auto texts_of = [&](size_t changed, int count) {
      std::string out;
      for (size_t i = 0; i < lengths.size(); ++i) {
        std::string text;
        for (int n = i == changed ? count : lengths[i].second; n > 0; --n)
          text += std::array{"x", "é", "\\n", "日", "\\\"", "\\u0001", "😀"}[static_cast<size_t>(n) % 7];
        out += (i == 0 ? "[\"" : ", \"") + text + "\"";
      }
      return out + "]";
    };
    const Matching match(schema(of));
    for (size_t i = 0; i < lengths.size(); ++i) {
      for (int count = 0; count <= lengths[i].second + 2; ++count) {
        const bool fits = lengths[i].first <= count && count <= lengths[i].second;
        EXPECT_EQ(match(texts_of(i, count)), fits) << of << "\n" << texts_of(i, count);
      }
    }
  }
  expect(
      R"({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "string", "minLength": 4, "maxLength": 6}]})",
      {R"("")", R"("ab")", R"("abcd")", R"("abcdef")"}, {R"("abc")", R"("abcdefg")"});
}

TEST(Schema, UnknownKeywordsAreRefusedByNameAndPlace) {
  for (const char* keyword : {"not", "if", "patternProperties", "propertyNames", "dependentRequired",
                              "contains", "unevaluatedProperties", "$dynamicRef", "minLenght"}) {
    const std::string said =
        refusal(fmt::format(R"({{"type": "object", "properties": {{"a": {{"{}": {{}}}}}}}})", keyword));
    EXPECT_THAT(said, testing::AllOf(testing::HasSubstr(keyword), testing::HasSubstr("/properties/a")));
  }
  EXPECT_THAT(refusal(R"({"type": "array", "uniqueItems": true})"), testing::HasSubstr("uniqueItems"));
  EXPECT_THAT(refusal(R"({"multipleOf": 0.1})"), testing::HasSubstr("multipleOf"));
  EXPECT_THAT(refusal(R"({"type": "text"})"), testing::HasSubstr("type"));
  EXPECT_EQ(refusal(R"({"title": "t", "description": "d", "default": 1, "x-order": 3})"), "");
  EXPECT_EQ(refusal(R"({"type": "array", "uniqueItems": false})"), "");
}

TEST(Schema, HostileOnesMeetANamedLimit) {
  std::string deep = "{}";
  for (int i = 0; i < 60; ++i) deep = R"({"items": )" + deep + "}";
  EXPECT_EQ(refusal(deep), "");
  EXPECT_THAT(refusal(R"({"allOf": [{"$ref": "#"}]})"), testing::HasSubstr("kNestingMax"));
  EXPECT_THAT(refusal(R"({"type": "string", "maxLength": 100000})"), testing::HasSubstr("kRepeatMax"));
  EXPECT_THAT(refusal(R"({"type": "string", "pattern": "^(a|b)*a(a|b){20}$"})"), testing::HasSubstr("Max)"));
  EXPECT_THAT(refusal(R"({"allOf": [false]})"), testing::HasSubstr("no text"));
}

// As pydantic writes them; beside oneOf the discriminator adds nothing to what the branches say.
TEST(Schema, DiscriminatedUnionsAreTheirBranches) {
  const Constraint constraint = schema(R"({"$defs": {
      "Cat": {"type": "object", "properties": {"kind": {"const": "cat", "type": "string"}, "lives": {"type": "integer"}},
              "required": ["kind", "lives"], "additionalProperties": false},
      "Dog": {"type": "object", "properties": {"kind": {"const": "dog", "type": "string"}},
              "required": ["kind"], "additionalProperties": false}},
    "discriminator": {"mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}, "propertyName": "kind"},
    "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]})");
  const Matching match(constraint);
  for (const char* text : {R"({"kind":"cat","lives":9})", R"({"kind":"dog"})"})
    EXPECT_TRUE(match(text)) << text;
  for (const char* text : {R"({"kind":"cat"})", R"({"kind":"dog","lives":9})", R"({"kind":"cow"})"})
    EXPECT_FALSE(match(text)) << text;
}

}  // namespace
}  // namespace minimax::grammar
