#include "base/json.h"

#include <gtest/gtest.h>

namespace minimax {
namespace {

std::string round_trip(std::string_view text, const JsonStyle& style = {}) {
  const Result<Json> value = parse_json(text);
  return value.ok() ? to_string(*value, style) : "error: " + value.failure().message;
}

TEST(Json, SaysWhereATextIsBroken) {
  const auto error_of = [](std::string_view text) { return parse_json(text).failure().message; };
  EXPECT_EQ(error_of("{"), "JSON ends inside an object (near byte 1).");
  EXPECT_EQ(error_of("{\"a\""), "JSON ends inside an object (near byte 4).");
  EXPECT_EQ(error_of("{\"a\": 1"), "JSON ends inside an object (near byte 7).");
  EXPECT_EQ(error_of("[1"), "JSON ends inside an array (near byte 2).");
  EXPECT_EQ(error_of("{1: 2}"), "JSON has a key that is no string (near byte 1).");
  EXPECT_EQ(error_of("{\"a\": \"b\xff\"}"), "JSON is not valid UTF-8 (near byte 8).");
}

TEST(Json, KeepsOrderOfKeysAndKindOfNumbers) {
  EXPECT_EQ(round_trip(R"({"z":1,"a":1.0,"m":[true,null,"x"]})"), R"({"z":1,"a":1.0,"m":[true,null,"x"]})");
  EXPECT_EQ(round_trip(R"({"b":1,"a":[2]})", kPythonStyle), R"({"b": 1, "a": [2]})");
}

TEST(Json, WritesDoublesAsPythonReprDoes) {
  EXPECT_EQ(round_trip("1e5"), "100000.0");
  EXPECT_EQ(round_trip("1e16"), "1e+16");
  EXPECT_EQ(round_trip("0.0001"), "0.0001");
  EXPECT_EQ(round_trip("0.00001"), "1e-05");
  EXPECT_EQ(round_trip("0.1"), "0.1");
  EXPECT_EQ(round_trip("-0.0"), "-0.0");
  EXPECT_EQ(round_trip("123456789012345.6"), "123456789012345.6");
}

TEST(Json, IntegersBeyond64BitsStayExact) {
  EXPECT_EQ(round_trip("[123456789012345678901234567890, -1]"), "[123456789012345678901234567890,-1]");
  EXPECT_EQ(round_trip("18446744073709551615"), "18446744073709551615");
}

TEST(Json, TheLastOfDuplicateKeysWinsInTheFirstPlace) {
  EXPECT_EQ(round_trip(R"({"a":1,"b":2,"a":3})"), R"({"a":3,"b":2})");
  EXPECT_EQ(round_trip(R"({"a":99999999999999999999,"b":2,"a":3})"), R"({"a":3,"b":2})");
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const char* bad : {"", "{", "[1,]", "{\"a\" 1}", "nul", "01", "1.", "\"\\x\"", "\"\x01\"",
                          "\"\\ud800\"", "[1] 2", "\"\xFF\"", "{1:2}", "1e999", "--1"}) {
    EXPECT_FALSE(parse_json(bad).ok()) << bad;
  }
}

TEST(Json, DepthIsLimitedInBothParsers) {
  const std::string deep(100, '[');
  EXPECT_FALSE(parse_json(deep + std::string(100, ']')).ok());
  EXPECT_FALSE(parse_json(deep + "99999999999999999999" + std::string(100, ']')).ok());
  EXPECT_TRUE(parse_json("[[[[1]]]]").ok());
}

TEST(Json, EscapesControlCharactersAndRepairsBytes) {
  EXPECT_EQ(to_string(Json(std::string("a\"\\\n\x01\x7F\xE4\xB8\x96\xFF"))),
            "\"a\\\"\\\\\\n\\u0001\x7F\xE4\xB8\x96\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace minimax
