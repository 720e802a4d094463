#include "grammar/regex.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "grammar/test_machine.h"

namespace minimax::grammar {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
  return Matching(regex(pattern))(text);
}
std::string refusal(std::string_view pattern) {
  return Matching(regex(pattern)).error;
}

TEST(Regex, MatchesTheWholeText) {
  EXPECT_TRUE(matches("abc", "abc"));
  EXPECT_FALSE(matches("abc", "abcd"));
  EXPECT_FALSE(matches("abc", "ab"));
  EXPECT_TRUE(matches("^abc$", "abc"));
  EXPECT_TRUE(matches("a|bc|", "bc"));
  EXPECT_TRUE(matches("a|bc|", ""));
}

TEST(Regex, RepeatsWithinBounds) {
  for (const auto& [text, holds] : std::vector<std::pair<std::string, bool>>{
           {"", false}, {"ab", false}, {"abab", true}, {"ababab", true}, {"abababab", false}}) {
    EXPECT_EQ(matches("(?:ab){2,3}", text), holds) << text;
  }
  EXPECT_TRUE(matches("a{2}", "aa"));
  EXPECT_TRUE(matches("a{2,}", "aaaaa"));
  EXPECT_TRUE(matches("a{,2}", "a{,2}")) << "no quantifier: text";
  EXPECT_TRUE(matches("a+?b*c?", "aab"));
  EXPECT_TRUE(matches("(a*)*", "aaa"));
}

TEST(Regex, ReadsClassesAsCharactersNotBytes) {
  EXPECT_TRUE(matches("[é-ü]+", "éü"));
  EXPECT_FALSE(matches("[é-ü]", "z"));
  EXPECT_TRUE(matches("[^a]", "日"));
  EXPECT_FALSE(matches("[^a]", "\xC3"));
  EXPECT_FALSE(matches("[^a]", "a"));
  EXPECT_TRUE(matches(".", "\U0001F600"));
  EXPECT_FALSE(matches(".", "\n"));
  EXPECT_TRUE(matches("[\\d\\]x-]+", "7]x-"));
  EXPECT_TRUE(matches("\\u00e9\\x41\\u{1F600}", "éA😀"));
  EXPECT_FALSE(matches("\\S", "\u00a0"));
  EXPECT_TRUE(matches("\\W", "é"));
}

TEST(Regex, AnchorsHoldInsideAlternatives) {
  Budget budget(kCompileStepsMax);
  const auto found = [&](std::string_view pattern, std::string_view text) {
    Grammar grammar;
    grammar.rules.push_back({"root", automaton(found_in(pattern, Encoding::kUtf8, budget))});
    static const Vocabulary vocabulary{test_tokens()};
    Machine machine(Automaton(grammar, budget), vocabulary);
    const ConfigId end = machine.after_bytes(machine.start(), text);
    return end != kDead && machine.accepting(end);
  };
  EXPECT_TRUE(found("^a|b$", "axx"));
  EXPECT_TRUE(found("^a|b$", "xxb"));
  EXPECT_FALSE(found("^a|b$", "xax"));
  EXPECT_TRUE(found("b", "abc"));
  EXPECT_TRUE(found("^$", ""));
  EXPECT_FALSE(found("^$", "x"));
}

TEST(Regex, RefusesWhatItDoesNotKnowByName) {
  EXPECT_THAT(refusal("(?=a)"), testing::HasSubstr("looks around"));
  EXPECT_THAT(refusal("(a)\\1"), testing::HasSubstr("\\1"));
  EXPECT_THAT(refusal("\\bword"), testing::HasSubstr("\\b"));
  EXPECT_THAT(refusal("(?i)a"), testing::HasSubstr("flags"));
  EXPECT_THAT(refusal("\\p{L}"), testing::HasSubstr("\\p"));
  EXPECT_THAT(refusal("(a"), testing::HasSubstr("without its )"));
  EXPECT_THAT(refusal("a)"), testing::HasSubstr("without its ("));
  EXPECT_THAT(refusal("*a"), testing::HasSubstr("repeats nothing"));
  EXPECT_THAT(refusal("a{3,1}"), testing::HasSubstr("below its minimum"));
  EXPECT_THAT(refusal("[b-a]"), testing::HasSubstr("range"));
  EXPECT_THAT(refusal("[a"), testing::HasSubstr("without its ]"));
}

TEST(Regex, HostileOnesMeetANamedLimit) {
  EXPECT_THAT(refusal("a{5000}"), testing::HasSubstr("kRepeatMax"));
  EXPECT_THAT(refusal("((a{4000}){4000}){4000}"), testing::HasSubstr("kStatesMax"));
  EXPECT_THAT(refusal("(a|b)*a(a|b){25}"),
              testing::AnyOf(testing::HasSubstr("kStatesMax"), testing::HasSubstr("kCompileStepsMax")));
  std::string nested = "[a-z]{0,1000}";  // at every level the way over sets of states is the only one
  for (int i = 0; i < 60; ++i) nested = "(" + nested + "[a-z]{8,9})";
  EXPECT_EQ(refusal(nested), "");
  EXPECT_THAT(refusal(std::string(200, '(') + std::string(200, ')')), testing::HasSubstr("kNestingMax"));
  EXPECT_THAT(refusal(std::string(300'000, 'a')), testing::HasSubstr("kSourceBytesMax"));
}

// One of them at a time, and no more than so many in line: the others are told at once, and those that are
// not dear do not wait.
TEST(Regex, HostileOnesAtOnceTakeTurns) {
  Compiler compiler(test_tokens());
  std::vector<std::thread> threads;
  std::atomic<int> too_dear{0}, too_many{0}, others{0};
  for (int i = 0; i < 2 * kDearCompilationsMax; ++i) {
    threads.emplace_back([&, i] {
      const auto made = compiler.compile(regex("(a|b)*a(a|b){" + std::to_string(25 + i) + "}"));
      if (made.ok()) {
        ++others;
      } else if (made.failure().kind == FailureKind::kOverloaded) {
        EXPECT_THAT(made.failure().message, testing::HasSubstr("kDearCompilationsMax"));
        ++too_many;
      } else {
        EXPECT_THAT(made.failure().message, testing::HasSubstr("Max)"));
        ++too_dear;
      }
    });
  }
  EXPECT_TRUE(compiler.compile(regex("[ab]{3,9}q")).ok());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(others, 0);
  EXPECT_GE(too_dear, 1);
  EXPECT_LE(too_many, kDearCompilationsMax);
  // Their places are free again: what is dear and right is compiled, and a refusal for now is not kept.
  EXPECT_TRUE(compiler.compile(regex(".*a.{10}")).ok());
}

}  // namespace
}  // namespace minimax::grammar
