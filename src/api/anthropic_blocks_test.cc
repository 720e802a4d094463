#include "api/anthropic_blocks.h"

#include <gtest/gtest.h>

#include "api/test_context.h"

namespace minimax::api {
namespace {

chat::ToolCallDelta call(bool begins, std::string arguments) {
  chat::ToolCallDelta delta;
  delta.begins = begins;
  if (begins) {
    delta.id = "call_12";
    delta.name = "f";
  }
  delta.arguments = std::move(arguments);
  return delta;
}

chat::ParsedDelta delta(std::string reasoning, std::string content,
                        std::vector<chat::ToolCallDelta> calls = {}) {
  chat::ParsedDelta out;
  out.reasoning = std::move(reasoning);
  out.content = std::move(content);
  out.calls = std::move(calls);
  return out;
}

std::string names(const std::vector<Event>& events) {
  std::string out;
  for (const Event& event : events) {
    const Json body = json(event.data);
    EXPECT_EQ(*body.find("type"), Json(event.name));
    out += event.name.substr(std::string("content_block_").size()) +
           std::to_string(body.find("index")->as_int64());
    if (const Json* inner = body.find("delta")) out += ":" + inner->find("type")->as_string();
    out += " ";
  }
  return out;
}

TEST(AnthropicBlocksTest, BlocksFollowTheOrderOfTheAnswer) {
  MessageBlocks blocks(true);
  std::vector<Event> events;
  blocks.add(delta("Hm", ""), events);
  blocks.add(delta("...", "Look", {call(true, "{\"a\":")}), events);
  blocks.add(delta("", "", {call(false, " 1}")}), events);
  blocks.add(delta("", "done"), events);
  blocks.close(events);
  EXPECT_EQ(names(events),
            "start0 delta0:thinking_delta delta0:thinking_delta delta0:signature_delta stop0 "
            "start1 delta1:text_delta stop1 "
            "start2 delta2:input_json_delta delta2:input_json_delta stop2 "
            "start3 delta3:text_delta stop3 ");
  EXPECT_EQ(to_string(blocks.take()),
            R"([{"type":"thinking","thinking":"Hm...","signature":")" + thinking_signature("Hm...") +
                R"("},{"type":"text","text":"Look"},{"type":"tool_use","id":"toolu_12","name":"f",)"
                R"("input":{"a":1}},{"type":"text","text":"done"}])");
}

TEST(AnthropicBlocksTest, HiddenThinkingLeavesNoBlock) {
  MessageBlocks blocks(false);
  std::vector<Event> events;
  blocks.add(delta("Hm", "Yes"), events);
  blocks.close(events);
  EXPECT_EQ(to_string(blocks.take()), R"([{"type":"text","text":"Yes"}])");
}

TEST(AnthropicBlocksTest, NothingSaidIsNoBlock) {
  MessageBlocks blocks(true);
  std::vector<Event> events;
  blocks.add({}, events);
  blocks.close(events);
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(to_string(blocks.take()), "[]");
}

}  // namespace
}  // namespace minimax::api
