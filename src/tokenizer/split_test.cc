#include "tokenizer/split.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::tokenizer {
namespace {

using ::testing::ElementsAre;

Splitter family() {
  return Splitter({{std::string(kFamilySplit), "pattern", false}}, "test");
}

std::vector<std::string> split(const Splitter& splitter, std::string_view text) {
  std::vector<std::string> pieces;
  for (const std::string_view piece : splitter.split(text)) pieces.emplace_back(piece);
  return pieces;
}

TEST(Splitter, SplitsAsTheFamilyDoes) {
  const Splitter splitter = family();
  EXPECT_THAT(split(splitter, "Hello's 1234!!!\n世界"),
              ElementsAre("Hello's", " ", "123", "4", "!!!\n", "世界"));
  EXPECT_THAT(split(splitter, "fooBar  baz \n x"), ElementsAre("foo", "Bar", " ", " baz", " \n", " x"));
  EXPECT_THAT(split(splitter, "a//\n/b"), ElementsAre("a", "//\n/", "b"));
  EXPECT_THAT(split(splitter, "x  "), ElementsAre("x", "  "));
  EXPECT_THAT(split(splitter, ""), ElementsAre());
}

TEST(Splitter, PublishedVectorsSplitAsPublished) {
  const std::filesystem::path path =
      std::filesystem::path(MINIMAX_SOURCE_DIR) / "../shared/model/token_vectors.MiniMax-M2.json";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "SKIPPED: the vectors of the published tokenizer are not here: " << path;
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const Result<Json> vectors = parse_json(text.str());
  ASSERT_TRUE(vectors);
  const Splitter splitter = family();
  ASSERT_FALSE(vectors->find("pretokenize")->as_array().empty());
  for (const Json& vector : vectors->find("pretokenize")->as_array()) {
    std::vector<std::string> expected;
    for (const Json& piece : vector.find("pieces")->as_array()) expected.push_back(piece.as_string());
    EXPECT_EQ(split(splitter, vector.find("text")->as_string()), expected);
  }
}

TEST(Splitter, TheMongolianVowelSeparatorIsNoSpace) {
  EXPECT_THAT(split(family(), "\u180E\u180E a"), ElementsAre("\u180E\u180E", " a"));
  EXPECT_THAT(split(family(), "\u00A0\u2003\u0085 a"), ElementsAre("\u00A0\u2003\u0085", " a"));
}

TEST(Splitter, BytesThatAreNoUtf8AreAPieceOfTheirOwn) {
  EXPECT_THAT(split(family(), "ab\xFF\xFE cd\xE4\xB8"), ElementsAre("ab", "\xFF\xFE", " cd", "\xE4\xB8"));
}

TEST(Splitter, GapsAreKeptOrDroppedAsTheRuleSays) {
  EXPECT_THAT(split(Splitter({{"[a-z]+", "p", false}}, "test"), "1ab22c3"),
              ElementsAre("1", "ab", "22", "c", "3"));
  EXPECT_THAT(split(Splitter({{"[a-z]+", "p", true}}, "test"), "1ab22c3"), ElementsAre("ab", "c"));
}

TEST(Splitter, RulesSplitThePiecesOfTheOneBefore) {
  const Splitter splitter({{"\\p{N}", "p", false}, {std::string(kGpt2Split), "q", false}}, "test");
  // The look-ahead of the second ends at the piece's end: both spaces are one piece.
  EXPECT_THAT(split(splitter, "a12  3 b"), ElementsAre("a", "1", "2", "  ", "3", " b"));
}

TEST(Splitter, APatternThatMatchesNothingOrTheEmptyStringEnds) {
  EXPECT_THAT(split(Splitter({{"x*", "p", false}}, "test"), "axxb"), ElementsAre("a", "xx", "b"));
  EXPECT_THAT(split(Splitter({{"(?=b)", "p", false}}, "test"), "abb"), ElementsAre("abb"));
}

TEST(Splitter, LongRunsOfOneKindNeedNoMoreThanALookEach) {
  const Splitter splitter = family();
  for (const char* unit : {"a", "A", " ", "\n", "!", "1", "世", " \n", "a ", "'"}) {
    std::string text;
    while (text.size() < 1 << 20) text += unit;
    size_t bytes = 0;
    for (const std::string_view piece : splitter.split(text)) bytes += piece.size();
    EXPECT_EQ(bytes, text.size());
  }
}

}  // namespace
}  // namespace minimax::tokenizer
