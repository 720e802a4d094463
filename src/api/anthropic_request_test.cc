#include "api/anthropic_request.h"

#include <gtest/gtest.h>

#include "api/anthropic_errors.h"
#include "api/errors.h"
#include "api/test_context.h"

namespace minimax::api {
namespace {

Json chat_of(std::string_view body) {
  const Result<Json> chat = chat_of_messages(json(body), false);
  EXPECT_TRUE(chat.ok()) << (chat.ok() ? "" : chat.failure().message);
  return chat.ok() ? *chat : Json();
}

Failure failure_of(std::string_view body) {
  const Result<Json> chat = chat_of_messages(json(body), false);
  EXPECT_FALSE(chat.ok()) << to_string(chat.ok() ? *chat : Json());
  return chat.ok() ? Failure{} : chat.failure();
}

TEST(AnthropicRequestTest, ATurnWithThinkingToolsAndResultsIsTheChatRequestOfTheSame) {
  const Json chat = chat_of(R"({"model": "m2", "max_tokens": 9, "system": [{"type": "text", "text": "Be "},
    {"type": "text", "text": "brief."}], "messages": [
      {"role": "user", "content": "Weather?"},
      {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Look"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}]},
      {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "21"},
                                                                      {"type": "text", "text": "sunny"}]},
        {"type": "text", "text": "And?"}]}],
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"},
               "cache_control": {"type": "ephemeral"}}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "stop_sequences": ["END"]})");
  EXPECT_EQ(
      to_string(chat),
      R"({"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Weather?"},)"
      R"({"role":"assistant","content":"Look","reasoning":"Hm","tool_calls":[{"id":"toolu_1","type":"function",)"
      R"("function":{"name":"f","arguments":{"a":1}}}]},)"
      R"({"role":"tool","tool_call_id":"toolu_1","content":"21\nsunny"},{"role":"user","content":"And?"}],)"
      R"("model":"m2","stop":["END"],"tools":[{"type":"function","function":{"name":"f","description":"d",)"
      R"("parameters":{"type":"object"}}}],"tool_choice":"required","parallel_tool_calls":false,"max_tokens":9})");
}

TEST(AnthropicRequestTest, ThinkingAfterATextIsAnotherMessageAsInResponses) {
  const Json chat = chat_of(R"({"max_tokens": 9, "messages": [{"role": "user", "content": "1"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "A"}, {"type": "text", "text": "B"},
      {"type": "thinking", "thinking": "C"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "D"}]}],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}]})");
  const Json::Array& messages = chat.find("messages")->as_array();
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(to_string(messages[1]), R"({"role":"assistant","content":"B","reasoning":"A"})");
  EXPECT_TRUE(
      to_string(messages[2]).starts_with(R"({"role":"assistant","content":"","reasoning":"C","tool_calls")"));
}

TEST(AnthropicRequestTest, AnAnswerGoesOnWhereTheLastMessageOfTheAssistantEnds) {
  const Json chat = chat_of(R"({"max_tokens": 9, "messages": [{"role": "user", "content": "1"},
                                                              {"role": "assistant", "content": "The"}]})");
  EXPECT_EQ(*chat.find("continue_final_message"), Json(true));
  EXPECT_EQ(*chat.find("add_generation_prompt"), Json(false));
}

TEST(AnthropicRequestTest, ChoicesFormatsAndEffortMapToTheFieldsOfChat) {
  const std::string head = R"({"max_tokens": 9, "messages": [{"role": "user", "content": "1"}], )";
  EXPECT_EQ(
      to_string(*chat_of(head + R"("tool_choice": {"type": "tool", "name": "f"}})").find("tool_choice")),
      R"({"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(*chat_of(head + R"("tool_choice": {"type": "none"}})").find("tool_choice"), Json("none"));
  EXPECT_EQ(*chat_of(head + R"("thinking": {"type": "disabled"}})").find("include_reasoning"), Json(false));
  const Json guided = chat_of(head + R"("output_config": {"effort": "low", "format":
      {"type": "json_schema", "schema": {"type": "object"}}}})");
  EXPECT_EQ(*guided.find("reasoning_effort"), Json("low"));
  EXPECT_EQ(
      to_string(*guided.find("response_format")),
      R"({"type":"json_schema","json_schema":{"name":"output","schema":{"type":"object"},"strict":true}})");
}

TEST(AnthropicRequestTest, WhatIsWrongIsNamed) {
  EXPECT_EQ(failure_of(R"({"messages": []})").param, "max_tokens");
  EXPECT_EQ(failure_of(R"({"max_tokens": 0, "messages": []})").param, "max_tokens");
  const std::string head = R"({"max_tokens": 9, "messages": [{"role": "user", "content": )";
  EXPECT_EQ(failure_of(head + R"([{"type": "image", "source": {}}]}]})").param,
            "messages[0].content[0].type");
  EXPECT_EQ(failure_of(head + "7}]}").param, "messages[0].content");
  EXPECT_EQ(failure_of(head + R"("x"}], "tools": [{"type": "web_search_20250305", "name": "w"}]})").param,
            "tools[0].type");
  EXPECT_EQ(failure_of(head + R"("x"}], "tools": [{"name": "w"}]})").param, "tools[0].input_schema");
  EXPECT_EQ(failure_of(head + R"("x"}], "tool_choice": {"type": "some"}})").param, "tool_choice.type");
  EXPECT_EQ(failure_of(head + R"("x"}], "container": "c"})").param, "container");
  EXPECT_EQ(failure_of(R"({"max_tokens": 9, "messages": [{"role": "tool", "content": "x"}]})").param,
            "messages[0].role");
  const Failure renamed =
      in_words_of(anthropic_names(), invalid("stop must not hold an empty string.", "stop"));
  EXPECT_EQ(renamed.param, "stop_sequences");
  EXPECT_EQ(renamed.message, "stop_sequences must not hold an empty string.");
}

TEST(AnthropicRequestTest, WhatIsNotOfferedIsRefusedByNameAndTheRestTaken) {
  const std::string head = R"({"max_tokens": 9, "messages": [{"role": "user", "content": "1"}], )";
  const auto refused = [&](const std::string& member) { return failure_of(head + member + "}").param; };
  EXPECT_EQ(refused(R"("compaction": {"type": "x"})"), "compaction");
  EXPECT_EQ(refused(R"("fallbacks": [{"model": "m"}])"), "fallbacks");
  EXPECT_EQ(refused(R"("inference_geo": "us")"), "inference_geo");
  EXPECT_EQ(refused(R"("speed": "fast")"), "speed");
  EXPECT_EQ(refused(R"("service_tier": "fast")"), "service_tier");
  EXPECT_EQ(refused(R"("output_config": {"task_budget": {"total": 9}})"), "output_config.task_budget");
  EXPECT_EQ(refused(R"("context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]})"),
            "context_management.edits[0].type");
  EXPECT_EQ(refused(R"("response_format": {"type": "json_object"})"), "response_format");
  EXPECT_EQ(refused(R"("prompt_logprobs": 1)"), "prompt_logprobs");
  EXPECT_EQ(refused(R"("tools": [{"name": "f", "input_schema": {}, "allowed_callers": ["code_execution"]}])"),
            "tools[0].allowed_callers");
  EXPECT_EQ(failure_of(R"({"max_tokens": 9, "messages": [{"role": "system", "content": "1",
      "clear_at": "next_user_message"}]})")
                .param,
            "messages[0].clear_at");
  // Handed on: chat refuses it.
  EXPECT_NE(chat_of(head + R"("use_beam_search": true})").find("use_beam_search"), nullptr);
  chat_of(head + R"("context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
      "fallbacks": "default", "speed": "standard", "service_tier": "auto", "metadata": {"user_id": "u"},
      "mcp_servers": [], "n": 1, "tools": [{"name": "f", "input_schema": {}, "defer_loading": true,
      "allowed_callers": ["direct"]}]})");
}

TEST(AnthropicRequestTest, AResultWithoutItsCallIsNamedWhereItStands) {
  const std::string head = R"({"max_tokens": 9, "system": "s", "messages": [{"role": "user", "content": "1"},
      {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}, )";
  const auto results = [](const std::string& id) {
    return R"({"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": ")" +
           id + R"("}]}]})";
  };
  chat_of(head + results("a"));
  EXPECT_EQ(failure_of(head + results("b")).param, "messages[2].content[1].tool_use_id");
  EXPECT_EQ(failure_of(head + R"({"role": "assistant", "content": "2"}, )" + results("a")).param,
            "messages[3].content[1].tool_use_id");
}

TEST(AnthropicErrorsTest, EveryRefusalHasTheClientsShape) {
  const auto type_of = [](int status) {
    const Json body = json(anthropic_reply(error_reply(status, "No."), "id").body);
    EXPECT_EQ(*body.find("type"), Json("error"));
    EXPECT_EQ(*body.find("request_id"), Json("id"));
    EXPECT_EQ(*body.find("error")->find("message"), Json("No."));
    return body.find("error")->find("type")->as_string();
  };
  EXPECT_EQ(type_of(400), "invalid_request_error");
  EXPECT_EQ(type_of(401), "authentication_error");
  EXPECT_EQ(type_of(404), "not_found_error");
  EXPECT_EQ(type_of(405), "invalid_request_error");
  EXPECT_EQ(type_of(413), "request_too_large");
  EXPECT_EQ(type_of(429), "rate_limit_error");
  EXPECT_EQ(type_of(500), "api_error");
  EXPECT_EQ(type_of(503), "overloaded_error");
  Reply fine;
  fine.body = "{\"error\":{\"message\":\"in a message\"}}";
  EXPECT_EQ(anthropic_reply(fine, "id").body, fine.body);
}

}  // namespace
}  // namespace minimax::api
