#include "chat/pipeline.h"

#include <random>

#include <gtest/gtest.h>

#include "chat/render.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::chat {
namespace {

const tokenizer::Tokenizer& small() {
  static const auto tokenizer =
      tokenizer::Tokenizer::parse(to_string(tokenizer::small_tokenizer({})), "small");
  return tokenizer;
}

ParsedDelta run(const PipelineOptions& options, const std::string& text,
                int64_t* reasoning_tokens = nullptr) {
  const MarkerIds markers = MarkerIds::of(small());
  Pipeline pipeline(small(), markers, options);
  std::vector<ParsedDelta> deltas;
  for (const auto id : small().encode(text, true)) pipeline.push(id, false, deltas);
  pipeline.finish(deltas);
  ParsedDelta delta;
  for (ParsedDelta& more : deltas) append(delta, std::move(more));
  if (reasoning_tokens != nullptr) *reasoning_tokens = pipeline.reasoning_tokens();
  return delta;
}

PipelineOptions parsing(std::vector<Tool> tools = {}) {
  PipelineOptions options;
  options.parser.emplace();
  options.parser->reasoning = ReasoningFormat::kMinimaxM2;
  options.parser->tool_calls = true;
  options.parser->tools = std::make_shared<const std::vector<Tool>>(std::move(tools));
  return options;
}

// spec: the sampled ids before the first </think> or tool-call marker, the marker excluded; all if there is
// none.
TEST(Pipeline, CountsReasoningTokensBeforeTheMarker) {
  int64_t count = 0;
  run(parsing(), "abc</think>def", &count);
  EXPECT_EQ(count, 3);
  run(parsing(), "abcd<minimax:tool_call>x", &count);
  EXPECT_EQ(count, 4);
  run(parsing(), "abcde", &count);
  EXPECT_EQ(count, 5);
  PipelineOptions outside = parsing();
  outside.parser->starts_in_reasoning = false;
  run(outside, "abc", &count);
  EXPECT_EQ(count, 0);
}

TEST(Pipeline, ContentBehindACallComesBehindIt) {
  const MarkerIds markers = MarkerIds::of(small());
  PipelineOptions options = parsing();
  options.stop = {"<invoke name=\"never\">and a stop string that holds everything back"};
  Pipeline pipeline(small(), markers, options);
  std::vector<ParsedDelta> deltas;
  const std::string text =
      "t</think>\n\nbefore\n<minimax:tool_call>\n<invoke name=\"a\">\n</invoke>\n</minimax:tool_call>after";
  for (const auto id : small().encode(text, true)) pipeline.push(id, false, deltas);
  pipeline.finish(deltas);
  std::string order;
  for (const ParsedDelta& delta : deltas) {
    order += delta.reasoning + delta.content;
    for (const ToolCallDelta& call : delta.calls) order += call.begins ? "(" + call.name + ")" : "";
  }
  EXPECT_EQ(order, "tbefore(a)after");
}

TEST(Pipeline, StopStringsSeeTheWholeText) {
  PipelineOptions options = parsing();
  options.stop = {"k>\n"};
  const ParsedDelta delta = run(options, "ab</think>\nhidden");
  EXPECT_EQ(delta.reasoning + delta.content, "ab</thin");
  options.stop = {"zz"};
  EXPECT_EQ(run(options, "ab</think>\n\nazzb").content, "a");
  EXPECT_EQ(run(options, "abzz</think>\n\nb").reasoning, "ab");
}

TEST(Pipeline, AMarkerHeldBackByTheScannerIsStillAMarker) {
  PipelineOptions options = parsing();
  options.stop = {">never", "</think>no"};
  const ParsedDelta delta = run(options, "ab</think>\n\ncd");
  EXPECT_EQ(delta.reasoning, "ab");
  EXPECT_EQ(delta.content, "cd");
}

std::string random_text(std::mt19937& rng, int words) {
  static const std::vector<std::string> kWords{
      "sun", "a < b", "x & y",      "\"quoted\"", "\xE4\xB8\x96\xE7\x95\x8C", "tab\there", "back\\slash",
      "5",   "null",  "{\"k\": 1}", "line\nbreak"};
  std::string out;
  for (int i = 0; i < words; ++i) out += (i == 0 ? "" : " ") + kWords[rng() % kWords.size()];
  return out;
}

// parse(render(m)) = m for the assistant's turn, for values without the tags themselves.
TEST(Pipeline, ParsingIsTheInverseOfRendering) {
  std::mt19937 rng(11);
  const Result<Json> schema = parse_json(
      R"({"type":"object","properties":{"s":{"type":"string"},"i":{"type":"integer"},"f":{"type":"number"},
          "b":{"type":"boolean"},"o":{"type":"object"},"l":{"type":"array"},"n":{"type":["integer","null"]}}})");
  const std::vector<Tool> tools{{"f", Json::object({{"name", "f"}, {"parameters", *schema}}), *schema},
                                {"g", Json::object({{"name", "g"}, {"parameters", *schema}}), *schema}};
  for (int round = 0; round < 2000; ++round) {
    Message message;
    message.role = Role::kAssistant;
    if (rng() % 4 != 0) message.reasoning = random_text(rng, 1 + static_cast<int>(rng() % 6));
    message.content =
        Json(rng() % 3 == 0 ? std::string() : random_text(rng, 1 + static_cast<int>(rng() % 5)));
    for (size_t calls = rng() % 3; calls > 0; --calls) {
      ToolCall call;
      call.name = rng() % 2 == 0 ? "f" : "g";
      if (rng() % 2 == 0) call.arguments.set("s", random_text(rng, static_cast<int>(rng() % 4)));
      if (rng() % 2 == 0) call.arguments.set("i", static_cast<int64_t>(rng() % 1000));
      if (rng() % 2 == 0) call.arguments.set("f", 0.5 + static_cast<double>(rng() % 7));
      if (rng() % 2 == 0) call.arguments.set("b", rng() % 2 == 0);
      if (rng() % 2 == 0) call.arguments.set("o", Json::object({{"k", Json(random_text(rng, 2))}}));
      if (rng() % 2 == 0) call.arguments.set("l", Json(Json::Array{Json(1), Json("x"), Json()}));
      if (rng() % 2 == 0) call.arguments.set("n", Json());
      message.tool_calls.push_back(std::move(call));
    }
    // What the model would write is what the template renders after the generation prompt.
    Conversation before;
    before.messages.push_back({});
    before.messages.back().content = Json("q");
    before.tools = tools;
    Conversation after = before;
    after.add_generation_prompt = false;
    after.messages.push_back(message);
    const std::string prompt = joined(*render(before, {}));
    std::string text = joined(*render(after, {}));
    ASSERT_TRUE(text.ends_with("[e~[\n"));
    text.resize(text.size() - 5);
    PipelineOptions options = parsing(tools);
    size_t from = prompt.size();
    if (!message.reasoning) {
      from -= std::string("<think>\n").size();
      options.parser->starts_in_reasoning = false;
    }
    ASSERT_EQ(text.substr(0, from), prompt.substr(0, from));
    const ParsedDelta got = run(options, text.substr(from));
    EXPECT_EQ(got.reasoning, message.reasoning.value_or(""));
    EXPECT_EQ(got.content, message.content.as_string());
    ASSERT_EQ(got.calls.size(), message.tool_calls.size()) << text;
    for (size_t i = 0; i < got.calls.size(); ++i) {
      EXPECT_EQ(got.calls[i].name, message.tool_calls[i].name);
      EXPECT_EQ(got.calls[i].arguments, to_string(message.tool_calls[i].arguments, kPythonStyle));
    }
  }
}

}  // namespace
}  // namespace minimax::chat
