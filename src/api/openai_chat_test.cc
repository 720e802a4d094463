#include "api/openai_chat.h"

#include <gtest/gtest.h>

#include "api/errors.h"
#include "api/test_context.h"

namespace minimax::api {
namespace {

chat::ToolCallDelta begin_call(int32_t index, std::string name) {
  chat::ToolCallDelta delta;
  delta.index = index;
  delta.begins = true;
  delta.id = "call_" + std::to_string(index);
  delta.name = std::move(name);
  return delta;
}

chat::ToolCallDelta arguments(int32_t index, std::string text, bool ends = false) {
  chat::ToolCallDelta delta;
  delta.index = index;
  delta.arguments = std::move(text);
  delta.ends = ends;
  return delta;
}

TEST(ChatWireTest, ADeltaSaysOnlyWhatIsNew) {
  chat::ParsedDelta delta;
  EXPECT_EQ(delta_members(delta, true), "");
  delta.reasoning = "a\"b";
  EXPECT_EQ(delta_members(delta, true), R"("reasoning":"a\"b")");
  EXPECT_EQ(delta_members(delta, false), "");
  delta.content = "c";
  EXPECT_EQ(delta_members(delta, true), R"("reasoning":"a\"b","content":"c")");
  EXPECT_EQ(delta_members(delta, false), R"("content":"c")");
}

TEST(ChatWireTest, ACallBeginsWithItsNameAndGoesOnWithItsArguments) {
  chat::ParsedDelta delta;
  delta.calls = {begin_call(0, "f")};
  EXPECT_EQ(
      delta_members(delta, true),
      R"("tool_calls":[{"index":0,"id":"call_0","type":"function","function":{"name":"f","arguments":""}}])");
  delta.calls = {arguments(0, "{\"a\":"), begin_call(1, "g")};
  EXPECT_EQ(json("{" + delta_members(delta, true) + "}").find("tool_calls")->as_array().size(), 2u);
  EXPECT_NE(delta_members(delta, true).find(R"({"index":0,"function":{"arguments":"{\"a\":"}})"),
            std::string::npos);
  delta.calls = {arguments(0, "", true)};
  EXPECT_EQ(delta_members(delta, true), "");
}

TEST(ChatWireTest, TheMessageIsTheSumOfItsDeltas) {
  MessageBuilder builder;
  chat::ParsedDelta delta;
  delta.reasoning = "Hm";
  builder.add(delta);
  delta = {};
  delta.content = "Let me ";
  builder.add(delta);
  delta = {};
  delta.content = "look.";
  delta.calls = {begin_call(0, "f")};
  builder.add(delta);
  delta = {};
  delta.calls = {arguments(0, "{\"a\": "), begin_call(1, "g")};
  builder.add(delta);
  delta = {};
  delta.calls = {arguments(0, "1}", true), arguments(1, "{}", true)};
  builder.add(delta);
  EXPECT_EQ(
      to_string(builder.message("assistant", true, true)),
      R"({"role":"assistant","content":"Let me look.","refusal":null,"annotations":null,"audio":null,)"
      R"("function_call":null,"tool_calls":[)"
      R"({"id":"call_0","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},)"
      R"({"id":"call_1","type":"function","function":{"name":"g","arguments":"{}"}}],"reasoning":"Hm"})");
}

TEST(ChatWireTest, NoContentIsNullWhereThereIsAParser) {
  EXPECT_TRUE(MessageBuilder().message("assistant", true, true).find("content")->is_null());
  EXPECT_EQ(*MessageBuilder().message("assistant", true, false).find("content"), Json(""));
  EXPECT_EQ(MessageBuilder().message("assistant", true, true).find("tool_calls"), nullptr);
}

TEST(ChatWireTest, ReasonsToFinish) {
  chat::Finish finish;
  finish.reason = engine::FinishReason::kStop;
  EXPECT_EQ(finish_reason(finish), "stop");
  EXPECT_TRUE(stop_reason(finish).is_null());
  finish.any_calls = true;
  EXPECT_EQ(finish_reason(finish), "tool_calls");
  finish.reason = engine::FinishReason::kLength;  // the call is cut off: nobody may take it for whole
  EXPECT_EQ(finish_reason(finish), "length");
  finish.stop_reason = std::string("END");
  EXPECT_EQ(stop_reason(finish), Json("END"));
  finish.stop_reason = tokenizer::TokenId{7};
  EXPECT_EQ(stop_reason(finish), Json(7));
}

TEST(ChatWireTest, UsageAddsUp) {
  const chat::Usage usage{
      .prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 5, .reasoning_tokens = 3};
  EXPECT_EQ(
      to_string(usage_json(usage, true, true)),
      R"({"prompt_tokens":10,"total_tokens":15,"completion_tokens":5,)"
      R"("prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}})");
  EXPECT_EQ(to_string(usage_json(usage, false, false)),
            R"({"prompt_tokens":10,"total_tokens":15,"completion_tokens":5,"prompt_tokens_details":null})");
}

TEST(ErrorsTest, EveryKindHasItsStatusAndType) {
  const auto type_of = [](FailureKind kind) {
    const Reply reply = error_reply(Failure{kind, "m", "p"});
    return std::to_string(reply.status) + " " + json(reply.body).find("error")->find("type")->as_string();
  };
  EXPECT_EQ(type_of(FailureKind::kInvalid), "400 BadRequestError");
  EXPECT_EQ(type_of(FailureKind::kUnimplemented), "400 BadRequestError");
  EXPECT_EQ(type_of(FailureKind::kNotFound), "404 NotFoundError");
  EXPECT_EQ(type_of(FailureKind::kOverloaded), "429 RateLimitError");
  EXPECT_EQ(type_of(FailureKind::kUnavailable), "503 ServiceUnavailableError");
  EXPECT_EQ(type_of(FailureKind::kInternal), "500 InternalServerError");
  EXPECT_EQ(error_reply(400, "It is \"wrong\".").body,
            R"({"error":{"message":"It is \"wrong\".","type":"BadRequestError","param":null,"code":400}})");
}

}  // namespace
}  // namespace minimax::api
