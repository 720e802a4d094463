#include "server/routes.h"

#include <gtest/gtest.h>

namespace minimax::server {
namespace {

TEST(Routes, RequestsWithAConstraintHaveWorkersOfTheirOwn) {
  const auto may = [](std::string body) {
    return may_compile(Request{.method = "POST", .target = "/", .headers = {}, .body = std::move(body)});
  };
  EXPECT_FALSE(may(R"({"messages": [{"role": "user", "content": "hi"}], "tool_choice": "auto"})"));
  EXPECT_FALSE(may(R"({"tool_choice" : "none"})"));
  EXPECT_FALSE(may(R"({"tool_choice":null})"));
  EXPECT_FALSE(may(""));
  EXPECT_TRUE(may(R"({"tool_choice": "required"})"));
  EXPECT_TRUE(may(R"({"tool_choice": {"type": "function"}})"));
  EXPECT_TRUE(may(R"({"structured_outputs": {"regex": "a"}})"));
  EXPECT_TRUE(may(R"({"response_format": {"type": "json_object"}})"));
  EXPECT_TRUE(may(R"({"text": {"format": {}}})"));
  EXPECT_TRUE(may(R"({"structured\u005foutputs": {}})"));
  EXPECT_TRUE(may(R"({"tools": [{"strict": true}]})"));
}

}  // namespace
}  // namespace minimax::server
