// EBNF, structural tags and tool calls.

#include "grammar/test_machine.h"

namespace minimax::grammar {
namespace {

constexpr int32_t kBegin = 274, kEnd = 275;  // the tokens of test_tokens() that stand for no text

Json json(std::string_view text) {
  Result<Json> parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? std::move(*parsed) : Json();
}
Constraint ebnf(std::string_view text) {
  Constraint out;
  out.kind = Constraint::Kind::kEbnf;
  out.text = text;
  return out;
}
Constraint tags(std::string_view text) {
  Constraint out;
  out.kind = Constraint::Kind::kTags;
  out.schema = json(text);
  return out;
}

TEST(Ebnf, ReadsRulesInAnyOrderWithComments) {
  const Matching match(ebnf(R"grammar(
    # a sum of terms
    root ::= term (("+" | "-") term)*   # to the right
    term ::= number | "(" root ")"
    number ::= [0-9]{1,3} | "pi" |
               "\u03c0"
  )grammar"));
  for (const char* text : {"1", "12+(3-pi)", "π", "((1))"}) EXPECT_TRUE(match(text)) << text;
  for (const char* text : {"", "1+", "1234", "(1", "p"}) EXPECT_FALSE(match(text)) << text;
}

TEST(Ebnf, CountsParentheses) {
  const Matching match(ebnf("root ::= \"(\" root \")\" root | \"\""));
  EXPECT_TRUE(match("(()())"));
  EXPECT_FALSE(match("(()"));
  EXPECT_TRUE(match(std::string(3000, '(') + std::string(3000, ')')));
}

TEST(Ebnf, AmbiguityStaysSmall) {
  const Matching match(ebnf("root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"a\" s | \"\""));
  ASSERT_NE(match.machine, nullptr) << match.error;
  EXPECT_TRUE(match(std::string(500, 'a') + std::string(400, 'b')));
  EXPECT_LT(match.machine->bytes_used(), size_t{16} << 20);
}

TEST(Ebnf, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(Matching(ebnf("root ::= a")).error, testing::HasSubstr("no rule a"));
  EXPECT_THAT(Matching(ebnf("a ::= \"x\"")).error, testing::HasSubstr("no rule root"));
  EXPECT_THAT(Matching(ebnf("root ::= \"x\"\n\nroot ::= \"y\"")).error,
              testing::AllOf(testing::HasSubstr("line 3"), testing::HasSubstr("twice")));
  EXPECT_THAT(Matching(ebnf("root ::= \"x")).error, testing::HasSubstr("does not end"));
  EXPECT_THAT(Matching(ebnf("root ::= root \"x\" | \"y\"")).error, testing::HasSubstr("left-recursive"));
  EXPECT_THAT(Matching(ebnf("root ::= e root \"x\" | \"y\"\ne ::= \"z\"?")).error,
              testing::HasSubstr("left-recursive"));
  EXPECT_THAT(Matching(ebnf("root ::= \"x\" root")).error, testing::HasSubstr("no text"));
  EXPECT_THAT(Matching(ebnf("root ::= )")).error, testing::HasSubstr("line 1"));
}

TEST(Tags, TextIsFreeUpToATrigger) {
  const Matching match(tags(R"({"type": "structural_tag", "triggers": ["<f="],
    "structures": [{"begin": "<f=a>", "schema": {"type": "integer"}, "end": "</f>"}, {"begin": "<f=b>", "schema": {"enum": ["x"]}, "end": "</f>"}]})"));
  for (const char* text :
       {"", "free text < f", "see <f=a>12</f> and <f=b>\"x\"</f>.", "<f=a>1</f><f=a>2</f>"})
    EXPECT_TRUE(match(text)) << text;
  for (const char* text : {"<f=", "<f=c>", "<f=a>x</f>", "a <f=b>12</f>", "<f=a>1"})
    EXPECT_FALSE(match(text)) << text;
}

TEST(Tags, FormatsCombine) {
  const Matching match(tags(R"({"type": "structural_tag", "format": {"type": "sequence", "elements": [
    {"type": "const_string", "value": "A:"}, {"type": "or", "elements": [{"type": "regex", "pattern": "[0-9]+"}, {"type": "grammar", "grammar": "root ::= \"x\" root | \"y\""}]},
    {"type": "tag", "begin": "<t>", "content": {"type": "any_text"}, "end": "</t>"}]}})"));
  for (const char* text : {"A:12<t>free</t>", "A:xxy<t></t>"}) EXPECT_TRUE(match(text)) << text;
  for (const char* text : {"A:12", "A:xx<t></t>", "A:1<t>a</t>b</t>"}) EXPECT_FALSE(match(text)) << text;
  EXPECT_THAT(Matching(tags(R"({"format": {"type": "poem"}})")).error, testing::HasSubstr("poem"));
  EXPECT_THAT(Matching(tags(R"({"format": {"type": "json_schema", "json_schema": {"not": {}}}})")).error,
              testing::HasSubstr("not"));
}

Constraint calls(std::string_view parameters, bool parallel = true, bool checked = true) {
  Constraint out;
  out.kind = Constraint::Kind::kToolCalls;
  out.tools.tools.push_back({"f", json(parameters), checked});
  out.tools.tools.push_back({"g", Json::object({{"type", "object"}}), true});
  out.tools.begin_id = kBegin;
  out.tools.end_id = kEnd;
  out.tools.parallel = parallel;
  return out;
}
bool calls_match(const Constraint& constraint, std::string_view inner) {
  const Matching match(constraint);
  EXPECT_NE(match.machine, nullptr) << match.error;
  if (match.machine == nullptr) return false;
  Machine& machine = *match.machine;
  ConfigId at = machine.after_token(machine.start(), kBegin);
  if (at == kDead) return false;
  at = machine.after_bytes(at, inner);
  at = machine.after_token(at, kEnd);
  return at != kDead && machine.accepting(at) && machine.complete(at);
}

TEST(ToolCalls, ArgumentsFollowTheSchema) {
  const Constraint constraint = calls(
      R"({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1},
    "unit": {"enum": ["C", "F"]}, "tags": {"type": "array", "items": {"type": "string"}}, "note": {"type": ["string", "null"]}}, "required": ["city"]})");
  const auto f = [](std::string_view inner) {
    return "\n<invoke name=\"f\">\n" + std::string(inner) + "</invoke>\n";
  };
  const std::string city = "<parameter name=\"city\">Paris, \"<b>\"\nFrance</parameter>\n";
  EXPECT_TRUE(calls_match(constraint, f(city)));
  EXPECT_TRUE(calls_match(
      constraint,
      f(city + "<parameter name=\"days\">3</parameter>\n<parameter name=\"unit\">C</parameter>\n")));
  EXPECT_TRUE(calls_match(
      constraint,
      f(city +
        "<parameter name=\"tags\">[\"a\", \"b\"]</parameter>\n<parameter name=\"note\">null</parameter>\n")));
  EXPECT_TRUE(calls_match(constraint, f(city) + "<invoke name=\"g\">\n</invoke>\n"));
  EXPECT_FALSE(calls_match(constraint, f("")));
  EXPECT_FALSE(calls_match(constraint, f("<parameter name=\"days\">3</parameter>\n")));
  EXPECT_FALSE(calls_match(constraint, f(city + "<parameter name=\"days\">0</parameter>\n")));
  EXPECT_FALSE(calls_match(constraint, f(city + "<parameter name=\"unit\">\"C\"</parameter>\n")));
  EXPECT_FALSE(calls_match(constraint, f(city + "<parameter name=\"more\">x</parameter>\n")));
  EXPECT_FALSE(calls_match(constraint, f("<parameter name=\"city\">a</invoke>b</parameter>\n")));
  EXPECT_FALSE(
      calls_match(constraint, f(city + "<parameter name=\"tags\">[\"</parameter>\"]</parameter>\n")));
  EXPECT_FALSE(calls_match(constraint, "\n"));
  EXPECT_FALSE(calls_match(constraint, "\n<invoke name=\"h\">\n</invoke>\n"));
}

TEST(ToolCalls, OneCallIfNotParallel) {
  const std::string g = "<invoke name=\"g\">\n</invoke>\n";
  EXPECT_TRUE(calls_match(calls("{}", true), "\n" + g + g));
  EXPECT_TRUE(calls_match(calls("{}", false), "\n" + g));
  EXPECT_FALSE(calls_match(calls("{}", false), "\n" + g + g));
}

TEST(ToolCalls, UncheckedToolsTakeAnyParameters) {
  const Constraint constraint = calls(R"({"not": {}})", true, false);
  EXPECT_TRUE(calls_match(
      constraint, "\n<invoke name=\"f\">\n<parameter name=\"x\">{\"a\": 1} or so</parameter>\n</invoke>\n"));
  EXPECT_THAT(Matching(calls(R"({"not": {}})")).error,
              testing::AllOf(testing::HasSubstr("tool f"), testing::HasSubstr("not")));
  EXPECT_THAT(Matching(calls(R"({"type": "string"})")).error, testing::HasSubstr("object"));
}

}  // namespace
}  // namespace minimax::grammar
