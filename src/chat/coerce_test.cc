#include "chat/coerce.h"

#include <gtest/gtest.h>

namespace minimax::chat {
namespace {

std::string coerced(std::string_view text, std::string_view schema) {
  const Result<Json> parsed = parse_json(schema);
  EXPECT_TRUE(parsed.ok()) << schema;
  return to_string(coerce(text, *parsed), kPythonStyle);
}

TEST(Coerce, FollowsTheOrderOfTypes) {
  EXPECT_EQ(coerced("5", R"({"type":"integer"})"), "5");
  EXPECT_EQ(coerced("5.0", R"({"type":"integer"})"), "5");
  EXPECT_EQ(coerced("5.5", R"({"type":"number"})"), "5.5");
  EXPECT_EQ(coerced("5.0", R"({"type":"number"})"), "5");
  EXPECT_EQ(coerced("true", R"({"type":"boolean"})"), "true");
  EXPECT_EQ(coerced("0", R"({"type":"boolean"})"), "false");
  EXPECT_EQ(coerced("[1]", R"({"type":"array"})"), "[1]");
  EXPECT_EQ(coerced("{\"a\": 1}", R"({"type":"object"})"), "{\"a\": 1}");
  EXPECT_EQ(coerced("123456789012345678901234567890", R"({"type":"integer"})"),
            "123456789012345678901234567890");
}

TEST(Coerce, NullOnlyWhereItIsAllowedAndOnlyTheWordNull) {
  EXPECT_EQ(coerced("null", R"({"type":["string","null"]})"), "null");
  EXPECT_EQ(coerced("NULL", R"({"type":"integer","nullable":true})"), "null");
  EXPECT_EQ(coerced("none", R"({"type":["string","null"]})"), "\"none\"");
  EXPECT_EQ(coerced("nil", R"({"type":["string","null"]})"), "\"nil\"");
  EXPECT_EQ(coerced("null", R"({"type":"string"})"), "\"null\"");
}

TEST(Coerce, LooksThroughAlternativesAndEnums) {
  EXPECT_EQ(coerced("7", R"({"anyOf":[{"type":"integer"},{"type":"null"}]})"), "7");
  EXPECT_EQ(coerced("null", R"({"oneOf":[{"type":"integer"},{"type":"null"}]})"), "null");
  EXPECT_EQ(coerced("2", R"({"enum":[1,2,3]})"), "2");
  EXPECT_EQ(coerced("a", R"({"enum":["a","b"]})"), "\"a\"");
  EXPECT_EQ(coerced("3", R"({"allOf":[{"type":"number"}]})"), "3");
}

TEST(Coerce, UnderstandsAliases) {
  EXPECT_EQ(coerced("7", R"({"type":"int32"})"), "7");
  EXPECT_EQ(coerced("7.5", R"({"type":"float64"})"), "7.5");
  EXPECT_EQ(coerced("{\"a\": 1}", R"({"type":"dict"})"), "{\"a\": 1}");
  EXPECT_EQ(coerced("[1]", R"({"type":"list"})"), "[1]");
}

TEST(Coerce, NestedValuesAreCoercedToo) {
  EXPECT_EQ(coerced(R"({"n": "5", "s": "5", "l": ["1", 2]})",
                    R"({"type":"object","properties":{"n":{"type":"integer"},"s":{"type":"string"},
                        "l":{"type":"array","items":{"type":"integer"}}}})"),
            R"({"n": 5, "s": "5", "l": [1, 2]})");
}

TEST(Coerce, WhatFitsNoTypeStaysWhatItIs) {
  EXPECT_EQ(coerced("abc", R"({"type":"integer"})"), "\"abc\"");
  EXPECT_EQ(coerced("NaN", R"({"type":"number"})"), "\"NaN\"");
  EXPECT_EQ(coerced("[1", R"({"type":"array"})"), "\"[1\"");
  EXPECT_EQ(coerced("x", "{}"), "\"x\"");
  EXPECT_EQ(coerced("5", "null"), "\"5\"");
}

TEST(Coerce, AParameterIsFoundWhereTheRootRefersToOthersOrIsMadeOfSeveral) {
  constexpr std::string_view kRoots[] = {
      R"({"$ref":"#/$defs/q","$defs":{"q":{"type":"object","properties":{"a":{"const":3}}}}})",
      R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}}}]})",
      R"({"allOf":[{"$ref":"#/$defs/q"}],"$defs":{"q":{"properties":{"a":{"type":"integer"}}}}})",
      R"({"properties":{"b":{"type":"string"}},"allOf":[{"properties":{"a":{"type":"integer"}}}]})"};
  for (const std::string_view text : kRoots) {
    const Json root = *parse_json(text);
    const Json* const schema = find_parameter(root, "a");
    ASSERT_NE(schema, nullptr) << text;
    EXPECT_EQ(coerce("3", *schema, root), Json(3)) << text;
    EXPECT_EQ(find_parameter(root, "c"), nullptr) << text;
  }
}

// What FastMCP and pydantic send.
TEST(Coerce, ReferencesPointIntoTheDefinitions) {
  const Result<Json> root = parse_json(R"({"type":"object","$defs":{
      "Color":{"type":"string","enum":["red"]},"Size":{"anyOf":[{"type":"integer"},{"type":"null"}]},
      "Point":{"type":"object","properties":{"x":{"type":"number"},"next":{"$ref":"#/$defs/Point"}}},
      "a/b":{"$ref":"#/$defs/Size"},"Loop":{"$ref":"#/$defs/Loop"}},
    "properties":{"size":{"$ref":"#/$defs/Size"}}})");
  ASSERT_TRUE(root.ok());
  const auto with_root = [&](std::string_view text, std::string_view schema) {
    return to_string(coerce(text, *parse_json(schema), *root), kPythonStyle);
  };
  EXPECT_EQ(with_root("7", R"({"$ref":"#/$defs/Size"})"), "7");
  EXPECT_EQ(with_root("null", R"({"$ref":"#/$defs/Size"})"), "null");
  EXPECT_EQ(with_root("7", R"({"$ref":"#/properties/size"})"), "7");
  EXPECT_EQ(with_root("7", R"({"$ref":"#/$defs/a~1b"})"), "7");
  EXPECT_EQ(with_root("red", R"({"$ref":"#/$defs/Color"})"), "\"red\"");
  EXPECT_EQ(with_root(R"({"x": "1", "next": {"x": "2"}})", R"({"$ref":"#/$defs/Point"})"),
            R"({"x": 1, "next": {"x": 2}})");
  EXPECT_EQ(with_root(R"([{"x": "1"}])", R"({"type":"array","items":{"$ref":"#/$defs/Point"}})"),
            R"([{"x": 1}])");
  EXPECT_EQ(with_root("7", R"({"anyOf":[{"$ref":"#/$defs/Size"},{"type":"string"}]})"), "7");
  // Without end, or to nowhere: text.
  EXPECT_EQ(with_root("7", R"({"$ref":"#/$defs/Loop"})"), "\"7\"");
  EXPECT_EQ(with_root("7", R"({"$ref":"#/$defs/None"})"), "\"7\"");
  EXPECT_EQ(with_root("7", R"({"$ref":"http://x/y"})"), "\"7\"");
}

TEST(Coerce, AConstantAndFurtherPropertiesHaveTypes) {
  EXPECT_EQ(coerced("3", R"({"const":3})"), "3");
  EXPECT_EQ(coerced(R"({"a": "1"})", R"({"type":"object","additionalProperties":{"type":"integer"}})"),
            R"({"a": 1})");
}

// Eight references in each of sixteen definitions: 8^16 ways through them.
TEST(Coerce, ReferencesThatMultiplyAreBounded) {
  std::string defs = R"("d16":{"type":"integer"})";
  for (int i = 0; i < 16; ++i) {
    std::string choices;
    for (int k = 0; k < 8; ++k)
      choices += (k > 0 ? "," : "") + (R"({"$ref":"#/$defs/d)" + std::to_string(i + 1)) + "\"}";
    defs += ",\"d" + std::to_string(i) + "\":{\"anyOf\":[" + choices + "]}";
  }
  const Result<Json> root = parse_json(R"({"$defs":{)" + defs + "}}");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(to_string(coerce("5", *parse_json(R"({"$ref":"#/$defs/d0"})"), *root)), "\"5\"");
}

// What is handed out must be readable again, inside the object of all arguments and inside a request.
TEST(Coerce, ValuesTooDeepForARequestStayText) {
  const Json array = *parse_json(R"({"type":"array","items":{"type":"array"}})");
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  const size_t most = JsonLimits{}.depth_max - 7;  // the innermost list is empty: a level of its own
  EXPECT_TRUE(coerce(nested(most), array).is_array());
  EXPECT_EQ(coerce(nested(most + 1), array), Json(nested(most + 1)));
  // A text inside the value that holds a value itself, as its schema has it.
  const Json twice = coerce("[\"" + nested(most) + "\"]", array);
  EXPECT_TRUE(parse_json("{\"a\": " + to_string(twice) + "}").ok());
}

TEST(Coerce, DeepSchemasAndValuesAreBounded) {
  std::string schema = R"({"type":"integer"})";
  for (int i = 0; i < 50; ++i) schema = R"({"anyOf":[)" + schema + "]}";
  const Result<Json> parsed = parse_json(schema, {.depth_max = 1000});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(to_string(coerce("5", *parsed)), "\"5\"");
}

}  // namespace
}  // namespace minimax::chat
