// The quick ways to an automaton against the general one: the same texts.

#include "grammar/dfa.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "grammar/regex.h"

namespace minimax::grammar {
namespace {

bool same_language(const Dfa& a, const Dfa& b) {
  Budget budget(kCompileStepsMax);
  return difference(a, b, budget).empty_language() && difference(b, a, budget).empty_language();
}

Dfa of(const std::string& pattern, Encoding encoding) {
  Budget budget(kCompileStepsMax);
  return whole_match(pattern, encoding, budget);
}

// A group is no set of characters, so its repetitions go the general way.
TEST(Dfa, CountedSetsAcceptWhatTheGeneralWayDoes) {
  const std::vector<std::pair<std::string, std::string>> patterns = {
      {"[b-d]{8,20}", "(?:[b-d]|b){8,20}"},
      {"a[b-d]{8,20}x", "a(?:[b-d]|b){8,20}x"},
      {".{0,12}", "(?:.|a){0,12}"},
      {"[^a]{9}a{0,9}", "(?:[^a]|z){9}(?:a|a){0,9}"},
      {"[a-c]{8,12}[c-d]{1,30}c", "(?:[a-c]|a){8,12}(?:[c-d]|c){1,30}c"},  // c may be of either
      {"[a-z]{9,}!", "(?:[a-z]|a){9,}!"},
      {"(?:x[0-9]{8,10})*y", "(?:x(?:[0-9]|1){8,10})*y"},
      {"[a-c]{8,9}|b{10}", "(?:[a-c]|a){8,9}|b{10}"},
      {"[a-z]{0,9}[0-9]{0,9}[.]?", "(?:[a-z]|a){0,9}(?:[0-9]|0){0,9}[.]?"},
      {"\\s{8,9}\"[^\"]{0,8}\"", "(?:\\s| ){8,9}\"(?:[^\"]|a){0,8}\""},
      {"(?:[é-ü]{8,9}){2}", "(?:(?:[é-ü]|ü){8,9}){2}"},
      {"(?:[a-c]{8,9}x){2,4}", "(?:(?:[a-c]|a){8,9}x){2,4}"},
      {"(?:[a-c]{8,9}x)*y?", "(?:(?:[a-c]|a){8,9}x)*y?"},
      {"(?:x[a-c]{0,8}){3,}", "(?:x(?:[a-c]|a){0,8}){3,}"},
      {"(?:x[a-c]{8,}){0,3}", "(?:x(?:[a-c]|a){8,}){0,3}"},
      {"q(?:[a-c]{0,8}a){1,3}", "q(?:(?:[a-c]|a){0,8}a){1,3}"},  // a may end a round or be in the next
      {"(?:[a-c]{0,8}){2}d", "(?:(?:[a-c]|a){0,8}){2}d"},
      {"(?:(?:[a-c]{8}x){2}[yz]){0,3}z", "(?:(?:(?:[a-c]|a){8}x){2}[yz]){0,3}z"},
      {"(?:[^\"]{1,8}\"(?:,[^\"]{1,8}\")*\n){1,2}", "(?:(?:[^\"]|b){1,8}\"(?:,(?:[^\"]|b){1,8}\")*\n){1,2}"},
  };
  for (const Encoding encoding : {Encoding::kUtf8, Encoding::kJsonString}) {
    for (const auto& [quick, general] : patterns)
      EXPECT_TRUE(same_language(of(quick, encoding), of(general, encoding))) << quick;
  }
  EXPECT_FALSE(same_language(of("[b-d]{8,20}", Encoding::kUtf8), of("[b-d]{8,21}", Encoding::kUtf8)));
}

TEST(Dfa, AnchorsAtTheOutsideBindWhatIsFound) {
  Budget budget(kCompileStepsMax);
  const auto found = [&](const std::string& pattern) { return found_in(pattern, Encoding::kUtf8, budget); };
  EXPECT_TRUE(same_language(found("^[a-c]{1,9}$"), of("[a-c]{1,9}", Encoding::kUtf8)));
  EXPECT_TRUE(same_language(found("^ab"), of("ab(?:.|\\n|\\r|\\u2028|\\u2029)*", Encoding::kUtf8)));
  EXPECT_TRUE(same_language(found("ab$"), of("(?:.|\\n|\\r|\\u2028|\\u2029)*ab", Encoding::kUtf8)));
  EXPECT_TRUE(same_language(found("^^(?:^a|b)$$"), of("a|b", Encoding::kUtf8)));
  EXPECT_TRUE(same_language(found("^$"), of("", Encoding::kUtf8)));
  EXPECT_TRUE(found("a$^b").empty_language());
}

TEST(Dfa, ManyTextsAcceptEachOfThemAndNoOther) {
  const std::string begin = "a|ab|abc|abd|b|é|è|日本|日|zz|zza";
  std::vector<Expr> words = {text("a"), text("ab"),   text("abc"), text("abd"), text("b"),   text("é"),
                             text("è"), text("日本"), text("日"),  text("zz"),  text("zza"), text("a")};
  std::string all = begin;
  for (int i = 0; i < 20; ++i) {
    words.push_back(text("w" + std::to_string(i)));
    all += "|w" + std::to_string(i);
  }
  Budget budget(kCompileStepsMax);
  EXPECT_TRUE(same_language(to_dfa(choice(words), Encoding::kUtf8, {}, budget), of(all, Encoding::kUtf8)));
  words.push_back(text(""));
  const Expr twice = sequence({choice(words), text("!"), choice(words)});
  EXPECT_TRUE(same_language(to_dfa(twice, Encoding::kUtf8, {}, budget),
                            of("(?:" + all + ")?!(?:" + all + ")?", Encoding::kUtf8)));
}

TEST(Dfa, AUnionAcceptsWhatItsPartsDo) {
  const std::vector<std::string> patterns = {"abc+",  "ab(?:d|e)*", "abc", "",     "x[0-9]{1,3}",
                                             "x12.*", "[^a]y",      "zz?", "zz*a", "ab(?:c|d)?e"};
  std::vector<Dfa> parts;
  std::string all;
  for (const std::string& pattern : patterns) {
    parts.push_back(of(pattern, Encoding::kUtf8));
    all += (all.empty() ? "" : "|") + pattern;
  }
  Budget budget(kCompileStepsMax);
  const std::optional<Dfa> whole = united(std::move(parts), kStatesMax, budget);
  ASSERT_TRUE(whole);
  EXPECT_TRUE(same_language(*whole, of(all, Encoding::kUtf8)));
}

// Whether the a stands twelve characters before the end, or eleven, ...: every subset is a state.
TEST(Dfa, AUnionThatMultipliesIsNone) {
  std::vector<Dfa> parts;
  for (int i = 4; i < 16; ++i)
    parts.push_back(of("[ab]{" + std::to_string(i) + "}a[ab]{0,200}", Encoding::kUtf8));
  Budget budget(kCompileStepsMax);
  EXPECT_FALSE(united(std::move(parts), kStatesMax, budget));
}

}  // namespace
}  // namespace minimax::grammar
