#include "api/responses_items.h"

#include <gtest/gtest.h>

#include "api/responses_request.h"
#include "api/sealed_thinking.h"
#include "api/test_context.h"

namespace minimax::api {
namespace {

std::string messages_of(std::string_view items) {
  const Result<Json> messages = messages_of_items(json(items), "input");
  EXPECT_TRUE(messages.ok()) << (messages.ok() ? "" : messages.failure().message);
  return messages.ok() ? to_string(*messages) : "";
}

std::string place_of_failure(std::string_view items) {
  const Result<Json> messages = messages_of_items(json(items), "input");
  EXPECT_FALSE(messages.ok());
  return messages.ok() ? "" : messages.failure().param;
}

TEST(ResponsesItemsTest, ItemsOfOneGenerationAreOneMessage) {
  EXPECT_EQ(messages_of(R"("Hi")"), R"([{"role":"user","content":"Hi"}])");
  EXPECT_EQ(
      messages_of(R"([{"role": "user", "content": [{"type": "input_text", "text": "W?"}]},
      {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
      {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look", "annotations": []}]},
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\": 1}"},
      {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
      {"type": "function_call_output", "call_id": "c1", "output": "21"},
      {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "x"},
                                                                  {"type": "input_text", "text": "y"}]}])"),
      R"([{"role":"user","content":"W?"},{"role":"assistant","content":"Look","reasoning":"Hm","tool_calls":[)"
      R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},)"
      R"({"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},)"
      R"({"role":"tool","tool_call_id":"c1","content":"21"},{"role":"tool","tool_call_id":"c2","content":"x\ny"}])");
}

TEST(ResponsesItemsTest, NewThinkingOrASecondTextBeginsANewMessage) {
  EXPECT_EQ(messages_of(R"([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"},
      {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "r"}]}])"),
            R"([{"role":"assistant","content":"a"},{"role":"assistant","content":"b"},)"
            R"({"role":"assistant","content":"","reasoning":"r"}])");
}

TEST(ResponsesItemsTest, WhatIsWrongIsNamed) {
  EXPECT_EQ(place_of_failure("7"), "input");
  EXPECT_EQ(place_of_failure("[7]"), "input[0]");
  EXPECT_EQ(place_of_failure(R"([{"type": "image_generation_call"}])"), "input[0].type");
  EXPECT_EQ(place_of_failure(R"([{"role": "tool", "content": "x"}])"), "input[0].role");
  EXPECT_EQ(place_of_failure(R"([{"type": "function_call", "name": "f", "arguments": "{}"}])"),
            "input[0].call_id");
  EXPECT_EQ(
      place_of_failure(R"([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "[]"}])"),
      "input[0].arguments");
}

TEST(ResponsesRequestTest, LeadingSystemMessagesAreOneBehindTheInstructions) {
  Result<ResponsesRequest> request = read_responses_request(json(R"({"instructions": "A", "input": [
      {"role": "developer", "content": "B"}, {"role": "user", "content": "C"}, {"role": "system", "content": "D"}]})"));
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(
      to_string(*chat_of_response(*request, {}).find("messages")),
      R"([{"role":"system","content":"A\n\nB"},{"role":"user","content":"C"},{"role":"system","content":"D"}])");
}

TEST(ResponsesRequestTest, ToolsChoicesAndFormatsMapToTheFieldsOfChat) {
  Result<ResponsesRequest> request = read_responses_request(json(R"({"input": "x", "max_output_tokens": 5,
      "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": null}],
      "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": false, "reasoning": {"effort": "low"},
      "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}}})"));
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(
      to_string(request->chat),
      R"({"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],)"
      R"("tool_choice":{"type":"function","function":{"name":"f"}},)"
      R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}},)"
      R"("reasoning_effort":"low","max_tokens":5,"parallel_tool_calls":false})");
  EXPECT_TRUE(request->store);
  EXPECT_EQ(
      read_responses_request(json(R"({"input": "x", "background": true, "store": false})")).failure().param,
      "background");
}

TEST(ResponsesRequestTest, AllowedToolsAndStrictToolsAreChatS) {
  const Result<ResponsesRequest> request = read_responses_request(json(R"({"input": "x",
      "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
      "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}})"));
  ASSERT_TRUE(request.ok()) << request.failure().message;
  EXPECT_EQ(to_string(*request->chat.find("tools")),
            R"([{"type":"function","function":{"name":"f","parameters":{"type":"object"}},"strict":true}])");
  EXPECT_EQ(
      to_string(*request->chat.find("tool_choice")),
      R"({"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}})");
  for (const char* wrong :
       {R"({"type": "allowed_tools"})", R"({"type": "allowed_tools", "tools": [{"type": "web_search"}]})"}) {
    Json body = json(R"({"input": "x", "tools": [{"type": "function", "name": "f"}]})");
    body.set("tool_choice", json(wrong));
    EXPECT_EQ(read_responses_request(body).failure().param, "tool_choice.tools") << wrong;
  }
}

TEST(ResponsesItemsTest, SealedThinkingIsReadWhereThereIsNoText) {
  const auto reasoning = [](const std::string& members) {
    const Result<Json> messages =
        messages_of_items(json(R"([{"type": "reasoning", "id": "r", "summary": [])" + members +
                               R"(}, {"role": "assistant", "content": "Hi."}])"),
                          "input");
    const Json* text = messages->as_array()[0].find("reasoning");
    return text == nullptr ? "none" : text->as_string();
  };
  const std::string sealed = R"(, "encrypted_content": ")" + sealed_thinking("Hm.") + "\"";
  EXPECT_EQ(reasoning(sealed), "Hm.");
  EXPECT_EQ(reasoning(sealed + R"(, "content": [])"), "Hm.");
  EXPECT_EQ(reasoning(sealed + R"(, "content": [{"type": "reasoning_text", "text": "Ho."}])"), "Ho.");
  EXPECT_EQ(reasoning(R"(, "encrypted_content": "gAAAAAB")"), "none");
}

}  // namespace
}  // namespace minimax::api
