#include "grammar/machine.h"

#include <random>

#include "grammar/test_machine.h"

namespace minimax::grammar {
namespace {

Constraint json_object() {
  return {};
}

Constraint ebnf_of(std::string_view text) {
  Constraint out;
  out.kind = Constraint::Kind::kEbnf;
  out.text = text;
  return out;
}

// Mask and matching must say the same of every token.
void expect_true_mask(Machine& machine, ConfigId config) {
  std::vector<uint32_t> mask(machine.vocabulary().mask_words(), 0xDEADBEEF);
  machine.mask(config, mask);
  for (int32_t id = 0; id < machine.vocabulary().size(); ++id) {
    const bool bit = mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
    ASSERT_EQ(bit, machine.after_token(config, id) != kDead)
        << "token " << id << " " << machine.vocabulary().bytes(id);
  }
}

// Along the text, at every byte.
void expect_true_masks(const Constraint& constraint, std::string_view text) {
  const Matching matching(constraint);
  ASSERT_NE(matching.machine, nullptr) << matching.error;
  ConfigId config = matching.machine->start();
  for (const char c : text) {
    expect_true_mask(*matching.machine, config);
    config = matching.machine->after_bytes(config, {&c, 1});
    ASSERT_NE(config, kDead) << text;
  }
  expect_true_mask(*matching.machine, config);
  EXPECT_TRUE(matching.machine->accepting(config));
}

TEST(Machine, JsonObjectsMatch) {
  const Matching match(json_object());
  for (const char* text :
       {"{}", "{ }", R"({"a":1})", R"({"a": [1, 2.5e-3, true, null], "b": {"c": "\u00e9\n\ud83d\ude00 é"}})",
        "{\n  \"a\": []\n}"}) {
    EXPECT_TRUE(match(text)) << text;
  }
  for (const char* text : {"", "[]", "{", R"({"a"})", R"({"a":01})", R"({"a":1,})", "{\"a\":\"\n\"}",
                           R"({"a":"\ud83d"})", "{} ", R"({"a":"\x"})", "{\"a\":\"\xC3\"}"}) {
    EXPECT_FALSE(match(text)) << text;
  }
}

TEST(Machine, MasksSayWhatMatchingSays) {
  expect_true_masks(json_object(),
                    R"({"a": [1, -2.5e-3, true, null, {"日本": "x\u00e9\n"}], "ab": {"c": ""}})");
  expect_true_masks(regex("[a-z ]{0,40}"), "a longer token of many words");
  expect_true_masks(regex(".{0,30}"), "é a word");
  expect_true_masks(regex("(abc|ab|12)*-1?"), "abcab12-1");
  expect_true_masks(regex(".{5,}x"), "日本é abcx");
  // Of different length: each begins inside one automaton.
  Constraint lengths;
  lengths.kind = Constraint::Kind::kJsonSchema;
  lengths.schema = *parse_json(
      R"({"prefixItems": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 2, "maxLength": 50},
          {"type": "string", "minLength": 3, "maxLength": 3}], "minItems": 3, "maxItems": 3, "type": "array"})");
  expect_true_masks(lengths, R"(["ab", "é word\n abc", "日本a"])");
}

// The bytes, then texts of letters, spaces, digits, marks and other scripts, some of them long, some twice.
std::vector<std::string> many_tokens(std::mt19937& random) {
  std::vector<std::string> out;
  for (int byte = 0; byte < 256; ++byte) out.emplace_back(1, static_cast<char>(byte));
  const std::vector<std::string> parts = {"a", "b", "q", "z", "A",  "Z",  " ", "0",  "7",
                                          "_", ".", "-", "@", "\"", "\n", "é", "日", "\xC3"};
  while (out.size() < 3000) {
    std::string text;
    const size_t few = 4 + random() % (parts.size() - 3);  // often letters alone
    for (size_t n = 1 + random() % (random() % 8 == 0 ? 40 : 6); n > 0; --n) text += parts[random() % few];
    out.push_back(text);
  }
  out.emplace_back("");
  return out;
}

TEST(Machine, CountedSetsAreMaskedAsMatchingSays) {
  std::mt19937 random(7);
  Compiler compiler(many_tokens(random));
  for (const char* pattern : {"[a-z ]{20,300}\\.",
                              "[A-Za-z]{3,9}",
                              "[a-zA-Z0-9_]{1,64}(\\.[a-zA-Z0-9_]{1,20}){0,3}@[a-z]{2,40}",
                              "([a-z]{5,30}[A-Z ]){2,4}",
                              "[a-zé日]{1,50}",
                              "[a-z ]*\\.[A-Za-z ]{0,25}",
                              "([a-q]{9}|[b-z ]{12,14}-)*x",
                              "[a-zA-Z_][a-zA-Z0-9_]{0,63}",
                              "(-[a-z][a-zA-Z0-9]{2,20}){1,4}",
                              "[A-Z_.](7|[a-zA-Z0-9_ ]{5,40}\\.)",
                              "[a-zA-Z]{2,4}[^a-z]?",
                              "[a-z]{1,3}[07]{1,4}",
                              "[a-m7][a-z]{0,30}",
                              "([a-q]|[r-z]0)[a-z]{8,30}",
                              "[\\x00-\\x7f]{8,60}",
                              "[^\"]{0,30}\"",
                              ".{0,3}[a-z]{17,}7",
                              "[^x]{0,40}x",
                              "[^x]{2,30}x[^é]{0,9}é",
                              "[^,\\n]{1,9}(,[^,\\n]{1,9}){3}",
                              "[^<]*</a>",
                              "<a>[^<]{7,}</a>",
                              "[^a-z]{8,20}é",
                              "([^x]{8,20}|[^日]{12})7",
                              "[^x]{0,40}x[^y]{0,40}y",
                              "[^=\\n]{1,40}=[^\\n]{0,50}",
                              "[^b]{3,20}b[^b]{0,60}b",
                              "[^a]{2,30}a[^q]{0,20}q",
                              "[^ ]{1,20}( [^ ]{1,20}){3}",
                              "[a-z]{1,7}( [a-z]{1,7}){2,20}",
                              "[^b]{0,40}b",
                              "[^b]{3,20}b([^b]{0,5}b){2}",
                              "([^ ]{1,9} ){2,30}",
                              "([A-Z][a-z]{1,5}( [a-z]{1,5}){2,4}\\. ?){1,3}",
                              "([^a]{9}|[^z]{7}a)*",
                              "[^\\s]{5,60}\\s\\S+",
                              "(b?[^a-b]{2,40}a)*",
                              "[^@]{1,64}@[^@]{1,25}(\\.[^@]{1,9})?"}) {
    const auto made = compiler.compile(regex(pattern));
    ASSERT_TRUE(made.ok()) << pattern << ": " << made.failure().message;
    Machine& machine = **made;
    ConfigId config = machine.start();
    for (int step = 0; step < 60 && config != kDead; ++step) {
      SCOPED_TRACE(std::string(pattern) + ", step " + std::to_string(step));
      expect_true_mask(machine, config);
      if (HasFatalFailure()) return;
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < compiler.vocabulary().size(); ++id) {
        if (machine.after_token(config, id) != kDead) allowed.push_back(id);
      }
      config = allowed.empty() ? kDead : machine.after_token(config, allowed[random() % allowed.size()]);
    }
  }
}

// What a sequence may cause is limited over all its tokens, not only for each.
TEST(Machine, AHostileGrammarEndsWithinItsSequencesWork) {
  const Matching match(ebnf_of("root ::= a\na ::= [^z] a [^z] | [^y] a [^y] a | [^x] a? | \"q\""));
  ASSERT_NE(match.machine, nullptr) << match.error;
  Machine& machine = *match.machine;
  MatchWork work;
  std::vector<uint32_t> mask(machine.vocabulary().mask_words());
  ConfigId config = machine.start();
  int tokens = 0;
  try {
    for (; tokens < 2000 && config != kDead; ++tokens) {
      machine.mask(config, mask, work);
      config = machine.after_token(config, static_cast<int32_t>('a' + tokens % 20), work);
      work.add_token();
    }
    FAIL() << "went on for " << tokens << " tokens";
  } catch (const Refusal& refusal) {
    EXPECT_NE(refusal.message.find("kMatchStepsPerToken"), std::string::npos) << refusal.message;
  }
  EXPECT_GT(tokens, 2);
}

TEST(Machine, NestsWithoutALimit) {
  const Matching match(json_object());
  std::string text = "{\"a\":";
  text += std::string(5000, '[') + std::string(5000, ']') + "}";
  EXPECT_TRUE(match(text));
  text.pop_back();
  EXPECT_FALSE(match(text));
}

TEST(Machine, CompleteMeansNothingFollows) {
  const Matching match(regex("ab*c?"));
  Machine& machine = *match.machine;
  const ConfigId b = machine.after_bytes(machine.start(), "ab");
  EXPECT_TRUE(machine.accepting(b));
  EXPECT_FALSE(machine.complete(b));
  EXPECT_TRUE(machine.complete(machine.after_bytes(b, "c")));
}

TEST(Machine, ChoicesMatchAlone) {
  Constraint constraint;
  constraint.kind = Constraint::Kind::kChoice;
  constraint.choices = {"yes", "no", "not sure", "日本"};
  const Matching match(constraint);
  for (const std::string& one : constraint.choices) EXPECT_TRUE(match(one));
  EXPECT_FALSE(match("maybe"));
  EXPECT_FALSE(match("not"));
  expect_true_masks(constraint, "not sure");
}

TEST(Machine, APrefixStandsBeforeRecursionToo) {
  Constraint constraint = json_object();
  constraint.prefix = "\n\n";
  const Matching match(constraint);
  EXPECT_TRUE(match("\n\n{\"a\":{}}"));
  EXPECT_FALSE(match("{}"));
  EXPECT_FALSE(match("\n\n{\"a\":\n\n\n{}} "));
}

TEST(Machine, SpacingIsAsAskedFor) {
  Constraint constraint = json_object();
  constraint.spacing.kind = JsonSpacing::Kind::kFixed;
  EXPECT_TRUE(Matching(constraint)(R"({"a": 1, "b": [2, 3]})"));
  EXPECT_FALSE(Matching(constraint)(R"({"a":1})"));
  constraint.spacing = {JsonSpacing::Kind::kPattern, "_?"};
  EXPECT_TRUE(Matching(constraint)(R"({_"a"_:1})"));
  EXPECT_FALSE(Matching(constraint)(R"({ "a":1})"));
  const std::string many(kJsonSpaceMax + 1, ' ');
  EXPECT_FALSE(Matching(json_object())("{" + many + "}"));
  EXPECT_TRUE(Matching(json_object())("{" + many.substr(1) + "}"));
}

// Inside the end of a value masks are taken from places nearby; tokens of the same bytes among them.
TEST(Machine, MasksInsideTheEndOfAValueAreThoseOfTheirTokens) {
  std::vector<std::string> tokens = test_tokens();
  for (const char* more :
       {"</", "</para", "</parameter>", "</parameter>\n", "ter>", ">", ">\n", "a>", "r>b", "<", "日>"})
    tokens.emplace_back(more);
  Constraint constraint;
  constraint.kind = Constraint::Kind::kToolCalls;
  constraint.tools.begin_id = static_cast<int32_t>(test_tokens().size()) - 2;
  constraint.tools.end_id = constraint.tools.begin_id + 1;
  constraint.tools.tools.push_back({"f", *parse_json(R"({"properties": {"a": {"type": "string"},
      "b": {"type": ["string", "integer"]}, "c": {"type": "string", "maxLength": 30}}})")});
  const Vocabulary vocabulary(tokens);
  Compiler compiler(tokens);
  const Result<std::shared_ptr<Machine>> machine = compiler.compile(constraint);
  ASSERT_TRUE(machine.ok()) << machine.failure().message;
  ConfigId at = (*machine)->after_token((*machine)->start(), constraint.tools.begin_id);
  std::vector<uint32_t> mask(vocabulary.mask_words());
  const std::string text =
      "\n<invoke name=\"f\">\n<parameter name=\"a\">x</parame </param</parameter>\n<parameter "
      "name=\"b\">12</p"
      "</parameter>\n<parameter name=\"c\">short</parameteR</</parameter>\n</invoke>\n";
  for (size_t i = 0; i <= text.size(); ++i) {
    ASSERT_NE(at, kDead) << text.substr(0, i);
    (*machine)->mask(at, mask);
    for (int32_t id = 0; id < vocabulary.size(); ++id) {
      const bool set = mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
      ASSERT_EQ(set, (*machine)->after_token(at, id) != kDead)
          << text.substr(0, i) << "|" << tokens[static_cast<size_t>(id)];
    }
    if (i < text.size()) at = (*machine)->after_bytes(at, text.substr(i, 1));
  }
}

}  // namespace
}  // namespace minimax::grammar
