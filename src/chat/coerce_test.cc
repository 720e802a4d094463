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

TEST(Coerce, DeepSchemasAndValuesAreBounded) {
  std::string schema = R"({"type":"integer"})";
  for (int i = 0; i < 50; ++i) schema = R"({"anyOf":[)" + schema + "]}";
  const Result<Json> parsed = parse_json(schema, {.depth_max = 1000});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(to_string(coerce("5", *parsed)), "\"5\"");
}

}  // namespace
}  // namespace minimax::chat
