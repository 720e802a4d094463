#include "chat/parse.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "base/json.h"

namespace minimax::chat {
namespace {

struct Call {
  std::string name, arguments;
  bool operator==(const Call&) const = default;
};

struct Outcome {
  std::string reasoning, content;
  std::vector<Call> calls;
  bool operator==(const Outcome&) const = default;

  void add(const ParsedDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    for (const ToolCallDelta& call : delta.calls) {
      if (call.begins) {
        EXPECT_EQ(call.index, std::ssize(calls));
        EXPECT_EQ(call.id.size(), 29u);
        EXPECT_TRUE(call.id.starts_with("call_"));
        calls.push_back({call.name, ""});
      }
      ASSERT_LT(static_cast<size_t>(call.index), calls.size());
      calls[static_cast<size_t>(call.index)].arguments += call.arguments;
    }
  }
};

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << "reasoning [" << outcome.reasoning << "] content [" << outcome.content << "]";
  for (const Call& call : outcome.calls) *out << " " << call.name << "(" << call.arguments << ")";
}

Tool tool(const std::string& name, const std::string& properties) {
  const Result<Json> schema = parse_json(R"({"type":"object","properties":{)" + properties + "}}");
  EXPECT_TRUE(schema.ok()) << properties;
  return {name, Json::object({{"name", name}, {"parameters", *schema}}), *schema};
}

ParserOptions with_tools(ReasoningFormat format = ReasoningFormat::kMinimaxM2) {
  ParserOptions options;
  options.reasoning = format;
  options.tool_calls = true;
  const std::vector<Tool> tools = {
      tool("get_weather", R"("city":{"type":"string"},"days":{"type":"integer"})"),
      tool(
          "write",
          R"("path":{"type":"string"},"text":{"type":"string"},"lines":{"type":"array","items":{"type":"integer"}})"),
      tool("now", "")};
  options.tools = std::make_shared<const std::vector<Tool>>(tools);
  return options;
}

Outcome parse_pieces(const ParserOptions& options, const std::vector<std::string>& pieces) {
  Outcome outcome;
  Parser parser(options);
  for (const std::string& piece : pieces) outcome.add(parser.push(piece, Marker::kUnknown));
  outcome.add(parser.finish());
  return outcome;
}

// Whole, and split at every place, and in random pieces: always the same.
Outcome parse(const ParserOptions& options, const std::string& text) {
  const Outcome whole = parse_pieces(options, {text});
  const auto inside_character = [&](size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  for (size_t at = 0; at <= text.size(); ++at) {
    if (inside_character(at)) continue;
    EXPECT_EQ(parse_pieces(options, {text.substr(0, at), text.substr(at)}), whole) << "split at " << at;
  }
  std::mt19937 rng(7);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> pieces;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = begin + 1 + rng() % 5;
      while (end < text.size() && inside_character(end)) ++end;
      pieces.push_back(text.substr(begin, end - begin));
      begin = std::min(end, text.size());
    }
    EXPECT_EQ(parse_pieces(options, pieces), whole) << "round " << round;
  }
  return whole;
}

std::string block(const std::string& inside) {
  return "<minimax:tool_call>\n" + inside + "</minimax:tool_call>";
}
std::string weather(const std::string& city) {
  return "<invoke name=\"get_weather\">\n<parameter name=\"city\">" + city + "</parameter>\n</invoke>\n";
}

TEST(Parser, SplitsThinkingFromContentAndDropsTheEmptyLineBetween) {
  EXPECT_EQ(parse(with_tools(), "I think.\n</think>\n\nHello\n"), (Outcome{"I think.", "Hello\n", {}}));
  EXPECT_EQ(parse(with_tools(), "no end"), (Outcome{"no end", "", {}}));
  EXPECT_EQ(parse(with_tools(), ""), Outcome{});
}

TEST(Parser, ThinkInsideThinkingAndStrayEndInContentSayNothing) {
  EXPECT_EQ(parse(with_tools(), "a<think>b</think>c</think>d"), (Outcome{"ab", "cd", {}}));
}

TEST(Parser, AppendThinkKeepsEverythingWithToolsToo) {
  EXPECT_EQ(parse(with_tools(ReasoningFormat::kAppendThink), "a\n</think>\n\nb"),
            (Outcome{"", "<think>a\n</think>\n\nb", {}}));
  EXPECT_EQ(parse(with_tools(ReasoningFormat::kAppendThink), "a\n</think>\n\n" + block(weather("Rome"))),
            (Outcome{"", "<think>a\n</think>\n", {{"get_weather", R"({"city": "Rome"})"}}}));
}

TEST(Parser, WithoutAReasoningParserTagsStayInTheContent) {
  ParserOptions options;
  EXPECT_EQ(parse(options, "a</think>\n\nb<minimax:tool_call>"),
            (Outcome{"", "a</think>\n\nb<minimax:tool_call>", {}}));
}

TEST(Parser, ReadsOneCall) {
  EXPECT_EQ(parse(with_tools(), "hm\n</think>\n\n" + block(weather("Paris"))),
            (Outcome{"hm", "", {{"get_weather", R"({"city": "Paris"})"}}}));
}

TEST(Parser, ReadsSeveralCallsOfOneBlockAndOfSeveral) {
  EXPECT_EQ(parse(with_tools(), "</think>" + block(weather("A") + weather("B")) +
                                    block("<invoke name=\"now\">\n</invoke>\n"))
                .calls,
            (std::vector<Call>{
                {"get_weather", R"({"city": "A"})"}, {"get_weather", R"({"city": "B"})"}, {"now", "{}"}}));
}

TEST(Parser, ContentBeforeAndAfterACallIsKept) {
  EXPECT_EQ(parse(with_tools(), "</think>\n\nLet me see.\n" + block(weather("A")) + "\nDone."),
            (Outcome{"", "Let me see.\nDone.", {{"get_weather", R"({"city": "A"})"}}}));
}

// MiniMax-AI/MiniMax-M2.1 #10
TEST(Parser, ACallInsideUnterminatedThinkingEndsTheThinking) {
  EXPECT_EQ(parse(with_tools(), "I call it\n" + block(weather("A"))),
            (Outcome{"I call it", "", {{"get_weather", R"({"city": "A"})"}}}));
}

TEST(Parser, ABareInvokeOpensACall) {
  EXPECT_EQ(
      parse(with_tools(), "</think>\n\nOk\n" + weather("A") + weather("B") + "bye"),
      (Outcome{"", "Ok\nbye", {{"get_weather", R"({"city": "A"})"}, {"get_weather", R"({"city": "B"})"}}}));
  EXPECT_EQ(parse(with_tools(), "</think>a <invoke of b").content, "a <invoke of b");
}

TEST(Parser, EitherQuoteOrNoneAndSpaces) {
  EXPECT_EQ(
      parse(with_tools(),
            "</think>" + block("<invoke name='get_weather'><parameter  name = city >X</parameter></invoke>"))
          .calls,
      (std::vector<Call>{{"get_weather", R"({"city": "X"})"}}));
  EXPECT_EQ(parse(with_tools(), "</think>" + block("<invoke name=now></invoke>")).calls,
            (std::vector<Call>{{"now", "{}"}}));
}

TEST(Parser, MissingClosingTagsAreForgiven) {
  EXPECT_EQ(
      parse(with_tools(), "</think>" + block("<invoke name=\"get_weather\">\n<parameter "
                                             "name=\"city\">X\n<parameter name=\"days\">3\n</invoke>\n"))
          .calls,
      (std::vector<Call>{{"get_weather", R"({"city": "X", "days": 3})"}}));
  EXPECT_EQ(parse(with_tools(), "</think>" + block("<invoke name=\"now\">\n" + weather("Y"))).calls,
            (std::vector<Call>{{"now", "{}"}, {"get_weather", R"({"city": "Y"})"}}));
}

TEST(Parser, JunkBetweenIsDroppedAndUnknownToolsAreRejected) {
  EXPECT_EQ(parse(with_tools(),
                  "</think>" +
                      block("junk <x> " + weather("A") +
                            "more\n<invoke name=\"rm\">\n<parameter name=\"p\">/</parameter>\n</invoke>\n" +
                            weather("B")))
                .calls,
            (std::vector<Call>{{"get_weather", R"({"city": "A"})"}, {"get_weather", R"({"city": "B"})"}}));
}

TEST(Parser, ValuesAreKeptVerbatimAndEscaped) {
  const std::string value = "  line \"one\"\n\tline <two> & </three>\\ \xE4\xB8\x96\xE7\x95\x8C\n";
  const Outcome outcome =
      parse(with_tools(), "</think>" + block("<invoke name=\"write\">\n<parameter name=\"text\">" + value +
                                             "</parameter>\n</invoke>\n"));
  ASSERT_EQ(outcome.calls.size(), 1u);
  const Result<Json> arguments = parse_json(outcome.calls[0].arguments);
  ASSERT_TRUE(arguments.ok());
  EXPECT_EQ(arguments->find("text")->as_string(), value);
}

// vLLM #39567, #39599: the words none and nil are no null.
// Each name once: what a client reads must not depend on which of two its parser keeps.
TEST(Parser, OfAParameterThatComesTwiceTheFirstCounts) {
  const std::string text =
      "</think><minimax:tool_call><invoke name=\"write\"><parameter name=\"path\">a</parameter>"
      "<parameter name=\"lines\">[1]</parameter><parameter name=\"path\">b</parameter>"
      "<parameter name=\"lines\">[2]</parameter><parameter name=\"text\">c</parameter></invoke>"
      "</minimax:tool_call>";
  EXPECT_EQ(parse_pieces(with_tools(), {text}).calls,
            (std::vector<Call>{{"write", R"({"path": "a", "lines": [1], "text": "c"})"}}));
}

TEST(Parser, NoneStaysAString) {
  EXPECT_EQ(parse(with_tools(), "</think>" + block(weather("none"))).calls[0].arguments,
            R"({"city": "none"})");
}

TEST(Parser, TypesComeFromTheSchema) {
  EXPECT_EQ(parse(with_tools(),
                  "</think>" + block("<invoke name=\"write\"><parameter name=\"lines\">[1, \"2\", "
                                     "3]</parameter><parameter name=\"other\">5</parameter></invoke>"))
                .calls[0]
                .arguments,
            R"({"lines": [1, 2, 3], "other": "5"})");
}

// vLLM #36073, #36116, #39649, #40779: arguments were not streamed.
TEST(Parser, StringArgumentsStreamAsTheyCome) {
  Parser parser(with_tools());
  parser.push("</think><minimax:tool_call>\n<invoke name=\"write\">\n<parameter name=\"text\">",
              Marker::kUnknown);
  EXPECT_EQ(parser.push("Hello", Marker::kUnknown).calls.at(0).arguments, "Hello");
  EXPECT_EQ(parser.push(" wor", Marker::kUnknown).calls.at(0).arguments, " wor");
  EXPECT_TRUE(parser.push("</para", Marker::kUnknown).calls.empty());
  EXPECT_EQ(parser.push("graph>", Marker::kUnknown).calls.at(0).arguments, "</paragraph>");
}

TEST(Parser, ATruncatedCallStillHasJsonArguments) {
  const std::string text =
      "</think>" +
      block(
          "<invoke name=\"write\">\n<parameter name=\"path\">a.txt</parameter>\n<parameter "
          "name=\"lines\">[1, 2]</parameter>\n<parameter name=\"text\">abc</parameter>\n</invoke>\n");
  for (size_t end = 0; end <= text.size(); ++end) {
    for (const Call& call : parse_pieces(with_tools(), {text.substr(0, end)}).calls) {
      const Result<Json> arguments = parse_json(call.arguments);
      ASSERT_TRUE(arguments.ok() && arguments->is_object()) << end << ": " << call.arguments;
    }
  }
  EXPECT_EQ(
      parse_pieces(
          with_tools(),
          {"</think><minimax:tool_call><invoke name=\"get_weather\"><parameter name=\"city\">Par</para"})
          .calls[0]
          .arguments,
      R"({"city": "Par"})");
}

TEST(Parser, ToolChoiceNoneSuppressesCallsAndTheirText) {
  ParserOptions options = with_tools();
  options.suppress_calls = true;
  EXPECT_EQ(parse(options, "x</think>\n\nHi\n" + block(weather("A"))), (Outcome{"x", "Hi", {}}));
}

TEST(Parser, WithoutParallelCallsOnlyTheFirstCounts) {
  ParserOptions options = with_tools();
  options.single_call = true;
  EXPECT_EQ(parse(options, "</think>" + block(weather("A") + weather("B"))).calls.size(), 1u);
}

TEST(Parser, OnceIdsAreKnownOnlyTheyAreMarkers) {
  Parser parser(with_tools());
  Outcome outcome;
  outcome.add(parser.push("the tag </think> and <minimax:tool_call> as text", Marker::kText));
  outcome.add(parser.push("</think>", Marker::kThinkEnd));
  outcome.add(parser.push("see </think> <minimax:tool_call>", Marker::kText));
  outcome.add(parser.finish());
  EXPECT_EQ(
      outcome,
      (Outcome{"the tag </think> and <minimax:tool_call> as text", "see </think> <minimax:tool_call>", {}}));
}

TEST(Parser, TextIsNeverLostOutsideCalls) {
  std::mt19937 rng(3);
  const std::vector<std::string> bits{"<", ">", "/", "think", "</thin",    "<invoke ",    "name",
                                      "=", "a", " ", "\n",    "<minimax:", "\xE4\xB8\x96"};
  for (int round = 0; round < 3000; ++round) {
    std::string text = "x";
    for (int i = 0; i < 12; ++i) text += bits[rng() % bits.size()];
    ParserOptions options;
    options.reasoning = ReasoningFormat::kNone;
    EXPECT_EQ(parse_pieces(options, {text}).content, text);
    options.reasoning = ReasoningFormat::kAppendThink;
    EXPECT_EQ(parse_pieces(options, {text}).content, "<think>" + text);
  }
}

TEST(Parser, AdversarialTextTakesLinearTime) {
  for (const std::string unit :
       {"<", "<invoke ", "<invoke name", "<parameter name=\"", "</think", "</parameter", "\n"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    Parser parser(with_tools());
    parser.push("</think>", Marker::kUnknown);
    for (size_t at = 0; at < text.size(); at += 100)
      parser.push(std::string_view(text).substr(at, 100), Marker::kUnknown);
    parser.push("<minimax:tool_call><invoke name=\"write\"><parameter name=\"text\">", Marker::kUnknown);
    for (size_t at = 0; at < text.size(); at += 100)
      parser.push(std::string_view(text).substr(at, 100), Marker::kUnknown);
    parser.finish();
  }
}

// Pushed at once: no stage may erase from the front of a long text, nor recurse once a call.
TEST(Parser, AdversarialWholeTextsTakeLinearTimeAndLittleStack) {
  for (const std::string unit :
       {"<", "<invoke name=now></invoke>", "<parameter name=a>", "</invoke>", "<x>\xE4\xB8\x96"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    for (const std::string before :
         {"</think>", "</think><minimax:tool_call>", "</think><invoke name=\"write\">",
          "</think><invoke name=\"write\"><parameter name=\"text\">"}) {
      Parser parser(with_tools());
      parser.push(before + text, Marker::kUnknown);
      parser.finish();
    }
  }
}

}  // namespace
}  // namespace minimax::chat
