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
