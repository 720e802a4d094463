#include "api/conversation.h"

#include <gtest/gtest.h>

#include "api/test_context.h"

namespace minimax::api {
namespace {

using chat::Conversation;
using chat::Role;

Conversation read(std::string_view text) {
  Result<Conversation> result = parse_conversation(json(text));
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.failure().message);
  return result.ok() ? std::move(*result) : Conversation{};
}

// "param: message" of the refusal.
std::string refusal(std::string_view text) {
  const Result<Conversation> result = parse_conversation(json(text));
  return result.ok() ? "accepted" : result.failure().param + ": " + result.failure().message;
}

TEST(ConversationTest, ReadsEveryRole) {
  const Conversation c = read(R"({"messages": [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, "there"]},
    {"role": "assistant", "content": null, "reasoning": "Hm.", "tool_calls": [
      {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 1, \"a\": [true]}"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "42"}]})");
  ASSERT_EQ(c.messages.size(), 4u);
  EXPECT_EQ(c.messages[0].role, Role::kSystem);
  EXPECT_EQ(c.messages[1].content, json(R"([{"type": "text", "text": "Hi"}, "there"])"));
  EXPECT_EQ(c.messages[2].content, Json(""));
  EXPECT_EQ(c.messages[2].reasoning, "Hm.");
  EXPECT_EQ(to_string(c.messages[2].tool_calls.at(0).arguments), R"({"b":1,"a":[true]})");
  EXPECT_EQ(c.messages[3].tool_call_id, "call_1");
  EXPECT_TRUE(c.add_generation_prompt);
}

TEST(ConversationTest, TakesTheOlderNameOfReasoning) {
  EXPECT_EQ(read(R"({"messages": [{"role": "assistant", "content": "x", "reasoning_content": "old"}]})")
                .messages[0]
                .reasoning,
            "old");
  EXPECT_EQ(read(R"({"messages": [{"role": "assistant", "content": "x", "reasoning_content": "old",
                                   "reasoning": "new"}]})")
                .messages[0]
                .reasoning,
            "new");
}

TEST(ConversationTest, ArgumentsAreAlwaysAnObject) {
  const auto with = [](std::string_view arguments) {
    return fmt::format(R"({{"messages": [{{"role": "assistant", "tool_calls": [
      {{"id": "x", "type": "function", "function": {{"name": "f", "arguments": {}}}}}]}}]}})",
                       arguments);
  };
  EXPECT_EQ(read(with(R"("")")).messages[0].tool_calls[0].arguments, Json::object());
  EXPECT_EQ(read(with("null")).messages[0].tool_calls[0].arguments, Json::object());
  EXPECT_EQ(read(with(R"({"a": 1})")).messages[0].tool_calls[0].arguments, json(R"({"a": 1})"));
  const std::string place = "messages[0].tool_calls[0].function.arguments: ";
  EXPECT_TRUE(refusal(with(R"("{\"a\": ")")).starts_with(place)) << refusal(with(R"("{\"a\": ")"));
  EXPECT_TRUE(refusal(with(R"("[1]")")).starts_with(place));
  EXPECT_TRUE(refusal(with("7")).starts_with(place));
}

TEST(ConversationTest, NamesThePlaceOfEveryFault) {
  EXPECT_TRUE(refusal("{}").starts_with("messages: "));
  EXPECT_TRUE(refusal(R"({"messages": []})").starts_with("messages: "));
  EXPECT_TRUE(refusal(R"({"messages": "hi"})").starts_with("messages: "));
  EXPECT_TRUE(refusal(R"({"messages": [7]})").starts_with("messages[0]: "));
  EXPECT_TRUE(refusal(R"({"messages": [{"content": "x"}]})").starts_with("messages[0].role: "));
  EXPECT_TRUE(
      refusal(R"({"messages": [{"role": "god", "content": "x"}]})").starts_with("messages[0].role: "));
  EXPECT_TRUE(
      refusal(R"({"messages": [{"role": "user", "content": {}}]})").starts_with("messages[0].content: "));
  EXPECT_TRUE(refusal(R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})")
                  .starts_with("messages[0].content[0].text: "));
  const std::string image =
      refusal(R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})");
  EXPECT_TRUE(image.starts_with("messages[0].content[0].type: ")) << image;
  EXPECT_NE(image.find("text only"), std::string::npos);
  EXPECT_TRUE(refusal(R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]})")
                  .starts_with("messages[0].tool_calls[0].function.name: "));
}

TEST(ConversationTest, ReadsToolsWithTheirKeysInOrder) {
  const Conversation c = read(R"({"messages": [{"role": "user", "content": "x"}], "tools": [
    {"type": "function", "function": {"strict": true, "name": "f", "parameters": {"z": 1, "a": 2}}}]})");
  ASSERT_EQ(c.tools.size(), 1u);
  EXPECT_EQ(c.tools[0].name, "f");
  EXPECT_EQ(to_string(c.tools[0].function), R"({"strict":true,"name":"f","parameters":{"z":1,"a":2}})");
  EXPECT_EQ(to_string(c.tools[0].parameters), R"({"z":1,"a":2})");
}

TEST(ConversationTest, RefusesToolsThatAreNone) {
  const auto with = [](std::string_view tools) {
    return fmt::format(R"({{"messages": [{{"role": "user", "content": "x"}}], "tools": {}}})", tools);
  };
  EXPECT_TRUE(refusal(with("[]")).starts_with("tools: "));
  EXPECT_TRUE(refusal(with("{}")).starts_with("tools: "));
  EXPECT_TRUE(refusal(with("[7]")).starts_with("tools[0]: "));
  EXPECT_TRUE(refusal(with(R"([{"type": "web_search"}])")).starts_with("tools[0].type: "));
  EXPECT_TRUE(refusal(with(R"([{"type": "function"}])")).starts_with("tools[0].function: "));
  EXPECT_TRUE(refusal(with(R"([{"function": {"name": ""}}])")).starts_with("tools[0].function.name: "));
  EXPECT_TRUE(refusal(with(R"([{"function": {"name": "f", "parameters": "no"}}])"))
                  .starts_with("tools[0].function.parameters: "));
}

TEST(ConversationTest, ALastMessageIsContinuedOrAnswered) {
  const Conversation c =
      read(R"({"messages": [{"role": "assistant", "content": "x"}], "continue_final_message": true})");
  EXPECT_TRUE(c.continue_final_message);
  EXPECT_FALSE(c.add_generation_prompt);
  EXPECT_TRUE(refusal(R"({"messages": [{"role": "assistant", "content": "x"}], "continue_final_message": true,
                          "add_generation_prompt": true})")
                  .starts_with("continue_final_message: "));
}

TEST(ConversationTest, TheArgumentsOfTheTemplateHaveALimit) {
  Json many = Json::object();
  for (int i = 0; i < 65; ++i) many.set("k" + std::to_string(i), i);
  Json request = json(R"({"messages": [{"role": "user", "content": "x"}]})");
  request.set("chat_template_kwargs", many);
  Fields fields(request);
  read_conversation(fields, {}, {});
  ASSERT_FALSE(fields.ok());
  EXPECT_NE(fields.failure().message.find("template_kwargs_max"), std::string::npos);
}

TEST(ConversationTest, RequestsAddToTheDefaultsOfTheTemplate) {
  const Json request = json(R"({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "low",
                                "chat_template_kwargs": {"a": 2, "b": 3}})");
  Fields fields(request);
  const Conversation c = read_conversation(fields, {}, json(R"({"a": 1, "c": 4})"));
  ASSERT_TRUE(fields.ok());
  EXPECT_EQ(to_string(c.template_kwargs), R"({"a":2,"c":4,"b":3,"reasoning_effort":"low"})");
  EXPECT_TRUE(refusal(R"({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "a lot"})")
                  .starts_with("reasoning_effort: "));
}

TEST(ConversationTest, LimitsTheNumberOfMessages) {
  Json messages = Json::array();
  for (int i = 0; i < 11; ++i) messages.push_back(json(R"({"role": "user", "content": "x"})"));
  const Result<Conversation> result = parse_conversation(Json::object({{"messages", messages}}), {10, 10});
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.failure().message.find("10 (messages_max)"), std::string::npos);
}

}  // namespace
}  // namespace minimax::api
