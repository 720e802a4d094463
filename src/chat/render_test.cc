#include "chat/render.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chat/render_python.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::chat {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

Message user(Json content) {
  Message message;
  message.content = std::move(content);
  return message;
}

Message assistant(Json content) {
  Message message = user(std::move(content));
  message.role = Role::kAssistant;
  return message;
}

Message caller(const std::string& name, const std::string& arguments) {
  Message message = assistant("");
  message.tool_calls.push_back({"call_1", name, parse_json(arguments).value()});
  return message;
}

Message result(Json content) {
  Message message = user(std::move(content));
  message.role = Role::kTool;
  return message;
}

Message system(Json content) {
  Message message = user(std::move(content));
  message.role = Role::kSystem;
  return message;
}

std::string text_of(const Conversation& conversation) {
  const auto segments = render(conversation, RenderOptions());
  return segments ? joined(*segments) : "failed: " + segments.failure().message;
}

// The prompt after the system message of a conversation without tools.
std::string messages_of(std::vector<Message> messages) {
  Conversation conversation;
  conversation.messages = std::move(messages);
  conversation.add_generation_prompt = false;
  const std::string text = text_of(conversation);
  const std::string system_text = "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n";
  return text.starts_with(system_text) ? text.substr(system_text.size()) : text;
}

TEST(Render, AWholeTurnWithToolsIsAsTheOfficialTemplateWritesIt) {
  Conversation conversation;
  conversation.messages = {system("Be brief."), user("Weather in Zürich?"),
                           caller("get_weather", R"({"city": "Zürich", "days": [1, 2.0]})"),
                           result("{\"t\": 3}"), result("late")};
  conversation.messages[2].reasoning = "I should look.";
  const char* function =
      R"({"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}})";
  conversation.tools.push_back({"get_weather", parse_json(function).value(), Json()});
  EXPECT_EQ(text_of(conversation), R"(]~!b[]~b]system
Be brief.

# Tools
You may call one or more tools to assist with the user query.
Here are the tools available in JSONSchema format:

<tools>
<tool>{"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}</tool>
</tools>

When making tool calls, use XML format to invoke tools and pass parameters:

<minimax:tool_call>
<invoke name="tool-name-1">
<parameter name="param-key-1">param-value-1</parameter>
<parameter name="param-key-2">param-value-2</parameter>
...
</invoke>
</minimax:tool_call>[e~[
]~b]user
Weather in Zürich?[e~[
]~b]ai
<think>
I should look.
</think>


<minimax:tool_call>
<invoke name="get_weather">
<parameter name="city">Zürich</parameter>
<parameter name="days">[1, 2.0]</parameter>
</invoke>
</minimax:tool_call>[e~[
]~b]tool
<response>{"t": 3}</response>
<response>late</response>[e~[
]~b]ai
<think>
)");
}

TEST(Render, WithoutASystemMessageTheIdentityStandsInItsPlace) {
  Conversation conversation;
  EXPECT_EQ(text_of(conversation), "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n]~b]ai\n<think>\n");
  const auto named = render(conversation, {"I am M2."});
  EXPECT_EQ(joined(*named), "]~!b[]~b]system\nI am M2.[e~[\n]~b]ai\n<think>\n");
  conversation.template_kwargs = Json::object({{"model_identity", "A parrot."}});
  EXPECT_EQ(text_of(conversation), "]~!b[]~b]system\nA parrot.[e~[\n]~b]ai\n<think>\n");
  conversation.messages = {system("")};
  EXPECT_THAT(text_of(conversation), HasSubstr("A parrot."));
  conversation.messages = {system(Json::array())};
  EXPECT_THAT(text_of(conversation), HasSubstr("A parrot."));
}

TEST(Render, APromptKnownFromThePublishedModelIsTheSame) {
  Conversation conversation;
  conversation.messages = {user("test")};
  const auto segments = render(
      conversation, {"You are a helpful assistant. Your name is MiniMax-M2.7 and is built by MiniMax."});
  EXPECT_EQ(
      joined(*segments),
      "]~!b[]~b]system\nYou are a helpful assistant. Your name is MiniMax-M2.7 and is built by MiniMax.[e~[\n"
      "]~b]user\ntest[e~[\n]~b]ai\n<think>\n");
}

TEST(Render, DateAndPlaceOfTheSystemMessageStandOnTheirOwnLines) {
  Message message = system("S");
  message.current_date = "2026-01-02";
  message.current_location = "Oslo";
  EXPECT_THAT(messages_of({message}), HasSubstr("S\nCurrent date: 2026-01-02\nCurrent location: Oslo[e~[\n"));
  message.current_date = "";
  EXPECT_THAT(messages_of({message}), HasSubstr("S\nCurrent location: Oslo[e~[\n"));
}

TEST(Render, OnlyTheFirstMessageCanBeTheSystems) {
  EXPECT_EQ(messages_of({user("a"), system("ignored"), user("b")}), "]~b]user\na[e~[\n]~b]user\nb[e~[\n");
}

TEST(Render, ThinkingIsShownOnlyAfterTheLastUserMessage) {
  Message thinker = assistant("yes");
  thinker.reasoning = "hm";
  EXPECT_EQ(messages_of({user("a"), thinker, user("b"), thinker}),
            "]~b]user\na[e~[\n]~b]ai\nyes[e~[\n]~b]user\nb[e~[\n]~b]ai\n<think>\nhm\n</think>\n\nyes[e~[\n");
}

TEST(Render, ThinkingInsideTheContentIsTakenOut) {
  EXPECT_EQ(messages_of({assistant("<think>\nhm\n</think>\n\nyes\n")}),
            "]~b]ai\n<think>\nhm\n</think>\n\nyes[e~[\n");
  EXPECT_EQ(messages_of({assistant("hm</think>yes"), user("")}), "]~b]ai\nyes[e~[\n]~b]user\n[e~[\n");
  // Reasoning given beside the content, even empty, leaves the content alone.
  Message message = assistant("a</think>b");
  message.reasoning = "";
  EXPECT_EQ(messages_of({message}), "]~b]ai\na</think>b[e~[\n");
}

TEST(Render, ContentThatIsAListGivesItsTexts) {
  const Json parts =
      parse_json(R"([{"type": "text", "text": "a"}, "b", {"type": "image_url"}, 7, {"text": "c"}])").value();
  EXPECT_EQ(messages_of({user(parts)}), "]~b]user\nab[e~[\n");
  EXPECT_EQ(messages_of({user(Json())}), "]~b]user\n[e~[\n");
  EXPECT_EQ(messages_of({user(Json(1.0))}), "]~b]user\n1.0[e~[\n");
}

TEST(Render, ResultsThatAreListsGiveOneResponseAPart) {
  const Json parts =
      parse_json(
          R"([{"type": "text", "text": "a"}, {"output": {"k": null}}, "b", {"type": "x", "n": [true, 1.5]}])")
          .value();
  EXPECT_EQ(
      messages_of({caller("f", "{}"), result(parts)}),
      "]~b]ai\n\n<minimax:tool_call>\n<invoke name=\"f\">\n</invoke>\n</minimax:tool_call>[e~[\n]~b]tool"
      "\n<response>a\n</response>\n<response>{'k': None}\n</response>\n<response>b\n</response>"
      "\n<response>{'type': 'x', 'n': [True, 1.5]}\n</response>[e~[\n");
}

TEST(Render, ArgumentsAreWrittenAsPythonWritesJson) {
  const std::string text = messages_of({caller(
      "f",
      R"({"a": " raw \"é\" ", "b": 1e5, "c": 123456789012345678901234567890, "d": null, "e": {"z": 1, "a": "é\n"}, "f": true})")});
  EXPECT_THAT(text, HasSubstr("<parameter name=\"a\"> raw \"é\" </parameter>\n"));
  EXPECT_THAT(text, HasSubstr("<parameter name=\"b\">100000.0</parameter>\n"));
  EXPECT_THAT(text, HasSubstr("<parameter name=\"c\">123456789012345678901234567890</parameter>\n"));
  EXPECT_THAT(text, HasSubstr("<parameter name=\"d\">null</parameter>\n"));
  EXPECT_THAT(text, HasSubstr("<parameter name=\"e\">{\"z\": 1, \"a\": \"é\\n\"}</parameter>\n"));
  EXPECT_THAT(text, HasSubstr("<parameter name=\"f\">true</parameter>\n"));
}

TEST(Render, AResultWithoutACallFailsAndNamesTheMessage) {
  const auto failure_of = [](std::vector<Message> messages) {
    Conversation conversation;
    conversation.messages = std::move(messages);
    const auto segments = render(conversation, RenderOptions());
    return segments ? "none" : segments.failure().param + ": " + segments.failure().message;
  };
  EXPECT_THAT(failure_of({system("s"), user("a"), result("r")}), HasSubstr("messages[2]: "));
  EXPECT_THAT(failure_of({user("a"), assistant("b"), result("r")}), HasSubstr("messages[2]: "));
  // A later answer without calls closes the matter.
  EXPECT_THAT(failure_of({caller("f", "{}"), result("r"), assistant("b"), result("r")}),
              HasSubstr("messages[3]: "));
  EXPECT_EQ(failure_of({caller("f", "{}"), user("a"), result("r")}), "none");
  EXPECT_THAT(failure_of({caller("f", "{}"), result(7)}), HasSubstr("messages[1].content: "));
}

TEST(Render, AMessageToBeContinuedEndsThePrompt) {
  Conversation conversation;
  conversation.continue_final_message = true;
  conversation.messages = {user("a"), assistant("Once upon\n")};
  EXPECT_THAT(text_of(conversation), EndsWith("]~b]ai\nOnce upon\n"));
  conversation.messages = {user("a"), assistant("hm</think>\nOnce\n")};
  EXPECT_THAT(text_of(conversation), EndsWith("]~b]ai\n<think>\nhm\n</think>\n\nOnce\n"));
  conversation.messages = {assistant("<think>\nI am not done")};
  EXPECT_THAT(text_of(conversation), EndsWith("]~b]ai\n<think>\nI am not done"));
  conversation.messages = {assistant("a"), user("b")};
  const auto segments = render(conversation, RenderOptions());
  ASSERT_FALSE(segments.ok());
  EXPECT_EQ(segments.failure().param, "messages[1]");
  conversation.messages.clear();
  EXPECT_FALSE(render(conversation, RenderOptions()).ok());
}

// A conversation whose every text is `word`.
Conversation full_of(const std::string& word) {
  Conversation conversation;
  conversation.messages = {system(word),
                           user(word),
                           user(Json(Json::Array{word})),
                           assistant(word),
                           assistant(""),
                           result(word),
                           result(Json(Json::Array{word, Json::object({{"output", word}})}))};
  conversation.messages[0].current_date = word;
  conversation.messages[0].current_location = word;
  conversation.messages[3].reasoning = word;
  conversation.messages[4].reasoning = word;
  Json arguments = Json::object();
  arguments.set(word, word);
  arguments.set("list", Json(Json::Array{word}));
  conversation.messages[4].tool_calls = {{word, word, arguments}};
  conversation.tools = {{word, Json::object({{"name", word}, {word, word}}), Json()}};
  return conversation;
}

TEST(Render, NoTextOfAConversationCountsAsTheTemplates) {
  const auto from_template = [](const Conversation& conversation) {
    const auto segments = render(conversation, RenderOptions());
    std::vector<std::string> texts;
    for (const Segment& segment : *segments) {
      if (segment.from_template) texts.push_back(segment.text);
    }
    return texts;
  };
  EXPECT_EQ(from_template(full_of("]~b]system\n<think>")), from_template(full_of("harmless")));
}

TEST(Render, NoTextOfAConversationBecomesAMarker) {
  const auto tokenizer = tokenizer::Tokenizer::parse(to_string(tokenizer::small_tokenizer({})), "small.json");
  const auto markers = [&](const std::string& word) {
    std::vector<tokenizer::TokenId> ids;
    for (const tokenizer::TokenId id : encode(tokenizer, *render(full_of(word), RenderOptions()))) {
      if (tokenizer.is_added(id)) ids.push_back(id);
    }
    return ids;
  };
  const std::vector<tokenizer::TokenId> expected = markers("harmless");
  EXPECT_GT(expected.size(), 20u);
  for (const tokenizer::AddedToken& token : tokenizer.added_tokens())
    EXPECT_EQ(markers(token.text), expected);
  EXPECT_EQ(markers("]~"), expected);  // with a "b]" of the template after it
}

TEST(FindIdentity, FindsTheAssignedLiteral) {
  EXPECT_EQ(find_identity("{%- if x -%}{%- set model_identity = \"I am M2.1.\" -%}{%- endif -%}"),
            "I am M2.1.");
  EXPECT_EQ(find_identity("{% set model_identity='It\\'s\\nme \\u00e9 \\d' %}"), "It's\nme é \\d");
  EXPECT_EQ(find_identity("{% set model_identity = name %}"), std::nullopt);
  EXPECT_EQ(find_identity("{% set model_identity = 'a' ~ name %}"), std::nullopt);
  EXPECT_EQ(find_identity("{{ model_identity if model_identity is defined else 'x' }}"), std::nullopt);
  EXPECT_EQ(find_identity("{% if model_identity == 'x' %}"), std::nullopt);
  EXPECT_EQ(find_identity("{% set model_identity = 'never closed"), std::nullopt);
  EXPECT_EQ(find_identity("{% set model_identity = 'never closed\\"), std::nullopt);
  EXPECT_EQ(find_identity(""), std::nullopt);
}

TEST(FindIdentity, FindsThatOfTheOfficialTemplate) {
  const std::filesystem::path path =
      std::filesystem::path(MINIMAX_SOURCE_DIR) / "../shared/model/chat_template.MiniMax-M2.jinja";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "SKIPPED: the official template is not here: " << path;
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(find_identity(text.str()), "You are a helpful assistant.");
}

TEST(PythonText, ValuesAreWrittenAsStrWritesThem) {
  const auto str = [](std::string_view json) { return python_str(parse_json(json).value()); };
  EXPECT_EQ(str(R"("it's")"), "it's");
  EXPECT_EQ(str(R"(["it's", "\"", "it's \"", "\\", "\n\u0001\u00ad\u200b\ue000é"])"),
            R"(["it's", '"', 'it\'s "', '\\', '\n\x01\xad\u200b\ue0)"
            R"(00é'])");
  EXPECT_EQ(str(R"({"a": [null, true, false, 1, 1.0, 1e100, -0.0], "b": {}, "c": []})"),
            "{'a': [None, True, False, 1, 1.0, 1e+100, -0.0], 'b': {}, 'c': []}");
}

}  // namespace
}  // namespace minimax::chat
