#include "api/fields.h"

#include <gtest/gtest.h>

#include "api/test_context.h"

namespace minimax::api {
namespace {

TEST(FieldsTest, AbsentAndNullAreTheSame) {
  const Json object = json(R"({"a": null})");
  Fields fields(object);
  EXPECT_FALSE(fields.boolean("a"));
  EXPECT_FALSE(fields.integer("b", 0, 1));
  EXPECT_EQ(fields.any("a"), nullptr);
  EXPECT_TRUE(fields.ok());
}

TEST(FieldsTest, AnIntegerMayBeWrittenWithAPoint) {
  const Json object = json(R"({"a": 5.0, "b": 5.5, "c": 1e300})");
  Fields fields(object);
  EXPECT_EQ(fields.integer("a", 0, 10), 5);
  EXPECT_TRUE(fields.ok());
  EXPECT_FALSE(fields.integer("b", 0, 10));
  EXPECT_EQ(fields.failure().message, "b must be an integer, not 5.5.");
}

TEST(FieldsTest, NumbersBeyondAllTypesAreOutOfBounds) {
  for (const char* text :
       {R"({"a": 99999999999999999999999})", R"({"a": 1e300})", R"({"a": -1})", R"({"a": 11})"}) {
    const Json object = json(text);
    Fields fields(object);
    EXPECT_FALSE(fields.integer("a", 0, 10)) << text;
    EXPECT_FALSE(fields.ok()) << text;
    EXPECT_EQ(fields.failure().param, "a");
  }
}

TEST(FieldsTest, TheFirstFaultIsTheOneReported) {
  const Json object = json(R"({"a": "x", "b": []})");
  Fields fields(object, "outer.");
  fields.number("a", 0, 1);
  fields.boolean("b");
  ASSERT_FALSE(fields.ok());
  EXPECT_EQ(fields.failure().param, "outer.a");
  EXPECT_EQ(fields.failure().message, "outer.a must be a number, not \"x\".");
  EXPECT_EQ(fields.failure().kind, FailureKind::kInvalid);
}

TEST(FieldsTest, AFaultInAListNamesItsPlace) {
  const Json object = json(R"({"ids": [1, 2, 300], "texts": ["a", 3]})");
  Fields ids(object);
  EXPECT_FALSE(ids.integers("ids", 0, 255));
  EXPECT_EQ(ids.failure().param, "ids[2]");
  Fields texts(object);
  EXPECT_FALSE(texts.strings("texts"));
  EXPECT_EQ(texts.failure().param, "texts[1]");
}

TEST(FieldsTest, TellsWhichMembersNobodyRead) {
  const Json object = json(R"({"a": 1, "b": 2, "c": 3})");
  Fields fields(object);
  fields.any("b");
  EXPECT_EQ(fields.unread(), (std::vector<std::string>{"a", "c"}));
}

TEST(FieldsTest, ALongValueIsNotRepeated) {
  const Json object = Json::object({{"a", std::string(1000, 'x')}});
  Fields fields(object);
  fields.boolean("a");
  EXPECT_EQ(fields.failure().message, "a must be true or false, not string.");
}

}  // namespace
}  // namespace minimax::api
