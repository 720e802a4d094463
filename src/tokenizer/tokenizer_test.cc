#include "tokenizer/tokenizer.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tokenizer from(const Json& json) {
  return Tokenizer::parse(to_string(json), "small.json");
}

// " the" and "ab" chains, runs of a, one merge across a space.
Json words() {
  return small_tokenizer({{"t", "h"},
                          {"th", "e"},
                          {" ", "the"},
                          {"a", "b"},
                          {"a", "a"},
                          {"aa", "aa"},
                          {"b", "c"},
                          {"\xC3", "\xA9"},
                          {"<", "/"},
                          {"th", "i"}});
}

std::string random_bytes(std::mt19937& random, size_t length) {
  static const std::vector<std::string> kPieces = {
      "the", " the",     "aaaa", "aaab", "abc",  " ",    "\n",   "é",       "世",
      "😀",   "\xE4\xB8", "\xFF", "\xC3", "1234", "]~b]", "[e~[", "<think>", "</think>",
      "<",   "]~",       "b]",   "A",    "'s",   "/",    "\r\n", "e\u0301"};
  std::string text;
  while (text.size() < length) text += kPieces[random() % kPieces.size()];
  return text;
}

std::string joined_bytes(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::string bytes;
  for (const TokenId id : ids) bytes += tokenizer.bytes(id);
  return bytes;
}

TEST(Tokenizer, MergesTheLowestRankFirstAndTheLeftmostOfEquals) {
  const Tokenizer tokenizer = from(words());
  EXPECT_THAT(tokenizer.encode("the", false), ElementsAre(257));
  EXPECT_THAT(tokenizer.encode(" the", false), ElementsAre(258));
  EXPECT_THAT(tokenizer.encode("abc", false), ElementsAre(259, 'c'));  // "a b" ranks before "b c"
  EXPECT_THAT(tokenizer.encode("aaa", false), ElementsAre(260, 'a'));
  EXPECT_THAT(tokenizer.encode("aaab", false), ElementsAre(260, 259));
  EXPECT_THAT(tokenizer.encode("\xC3\xA9", false), ElementsAre(263));
  EXPECT_THAT(tokenizer.encode("", false), ElementsAre());
}

TEST(Tokenizer, MergesWrittenAsStringsAndAsPairsAreTheSame) {
  Json strings = words();
  Json& merges = *strings.find("model")->find("merges");
  for (Json& merge : merges.as_array()) {
    merge = Json(merge.as_array()[0].as_string() + " " + merge.as_array()[1].as_string());
  }
  std::mt19937 random(1);
  const std::string text = random_bytes(random, 2000);
  EXPECT_EQ(from(strings).encode(text, true), from(words()).encode(text, true));
}

TEST(Tokenizer, AddedTokensAreFoundOnlyWhereAllowed) {
  const Tokenizer tokenizer = from(words());
  EXPECT_THAT(tokenizer.encode("a]~b]<think>", true), ElementsAre('a', 1001, 1005));
  EXPECT_EQ(joined_bytes(tokenizer, tokenizer.encode("]~b]<think>", false)), "]~b]<think>");
  for (const TokenId id : tokenizer.encode("]~b]<think>[e~[", false)) EXPECT_FALSE(tokenizer.is_added(id));
}

TEST(Tokenizer, AnAddedTokenAcrossABorderOfSpansIsText) {
  const Tokenizer tokenizer = from(words());
  const std::vector<TextSpan> cut = {{"]~", true}, {"b]", true}};
  for (const TokenId id : tokenizer.encode(cut)) EXPECT_FALSE(tokenizer.is_added(id));
  const std::vector<TextSpan> mixed = {{"<think>", true}, {"<think>", false}, {"</think>", true}};
  const std::vector<TokenId> ids = tokenizer.encode(mixed);
  EXPECT_EQ(ids.front(), 1005);
  EXPECT_EQ(ids.back(), 1006);
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [&](TokenId id) { return tokenizer.is_added(id); }), 2);
  EXPECT_EQ(joined_bytes(tokenizer, ids), "<think><think></think>");
}

TEST(Tokenizer, OfTwoAddedTokensAtOnePlaceTheLongestWins) {
  Json json = words();
  for (const char* text : {"<think>!", "]~b]]"}) {
    const bool normalized = text[0] == ']';
    const int id = normalized ? 1101 : 1100;
    json.find("added_tokens")
        ->push_back(Json::object({{"id", id}, {"content", text}, {"normalized", normalized}}));
  }
  const Tokenizer tokenizer = from(json);
  EXPECT_THAT(tokenizer.encode("<think>!", true), ElementsAre(1100));
  // ... but the ones not normalized are looked for first, as in Hugging Face's tokenizers.
  EXPECT_THAT(tokenizer.encode("]~b]]", true), ElementsAre(1001, ']'));
}

TEST(Tokenizer, IdsOfPlainTextDoNotDependOnHowItWasCut) {
  const Tokenizer tokenizer = from(words());
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const std::string text = random_bytes(random, random() % 200);
    std::vector<TextSpan> spans;
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min<size_t>(1 + random() % 20, text.size() - at);
      spans.push_back({std::string_view(text).substr(at, length), false});
      at += length;
    }
    EXPECT_EQ(tokenizer.encode(spans), tokenizer.encode(text, false)) << text;
  }
}

TEST(Tokenizer, EveryByteComesBackWhateverTheText) {
  const Tokenizer tokenizer = from(words());
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::string text = random_bytes(random, random() % 100);
    for (int i = 0; i < 5 && round % 2 == 0; ++i) text.push_back(static_cast<char>(random()));
    for (const bool added : {false, true}) {
      const std::vector<TokenId> ids = tokenizer.encode(text, added);
      EXPECT_EQ(joined_bytes(tokenizer, ids), text);
      EXPECT_EQ(tokenizer.decode(ids, false), utf8::replace_invalid(text));
    }
  }
}

// Merging by the definition, quadratic: the lowest rank, the leftmost of equals, until none is left.
TEST(Tokenizer, LongAndShortPiecesMergeByTheSameRule) {
  const Tokenizer tokenizer = from(words());
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    const size_t length = 1 + random() % 150;
    while (text.size() < length) text += "aaabcthe"[random() % 8];
    // All of it is one piece of the split: lower-case letters.
    const std::vector<std::string> ranked = {"th", "the", "", "ab", "aa", "aaaa", "bc", "", "", "thi"};
    const std::vector<std::pair<std::string, std::string>> pairs = {
        {"t", "h"},   {"th", "e"}, {"", ""}, {"a", "b"}, {"a", "a"},
        {"aa", "aa"}, {"b", "c"},  {"", ""}, {"", ""},   {"th", "i"}};
    std::vector<std::string> symbols;
    for (const char c : text) symbols.emplace_back(1, c);
    for (bool merged = true; merged;) {
      merged = false;
      for (size_t rank = 0; rank < pairs.size() && !merged; ++rank) {
        for (size_t i = 0; i + 1 < symbols.size(); ++i) {
          if (pairs[rank].first.empty() || symbols[i] != pairs[rank].first ||
              symbols[i + 1] != pairs[rank].second)
            continue;
          symbols[i] = ranked[rank];
          symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(i) + 1);
          merged = true;
          break;
        }
      }
    }
    std::vector<std::string> found;
    for (const TokenId id : tokenizer.encode(text, false)) found.emplace_back(tokenizer.bytes(id));
    EXPECT_EQ(found, symbols) << text;
  }
}

TEST(Tokenizer, AMegabyteOfOneLetterIsEncodedInTimeThatIsNotQuadratic) {
  const Tokenizer tokenizer = from(words());
  const std::string text(1 << 20, 'a');
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<TokenId> ids = tokenizer.encode(text, false);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(ids, std::vector<TokenId>((1 << 20) / 4, 261));
  // About 0.1 s measured; a quadratic merge takes minutes. The bound leaves room for sanitizers.
  EXPECT_LT(seconds.count(), 10.0);
}

TEST(Tokenizer, IgnoreMergesTakesAPieceThatIsATokenWhole) {
  Json json = words();
  // "xyz" is in the vocabulary, but no merge leads to it.
  json.find("model")->find("vocab")->set("xyz", 500);
  EXPECT_THAT(from(json).encode("xyz", false), ElementsAre('x', 'y', 'z'));
  json.find("model")->set("ignore_merges", true);
  EXPECT_THAT(from(json).encode("xyz", false), ElementsAre(500));
  EXPECT_THAT(from(json).encode("xyzx", false), ElementsAre('x', 'y', 'z', 'x'));
}

TEST(Tokenizer, KnowsItsIds) {
  const Tokenizer tokenizer = from(words());
  EXPECT_EQ(tokenizer.size(), 1009);
  EXPECT_TRUE(tokenizer.valid(0));
  EXPECT_FALSE(tokenizer.valid(999));
  EXPECT_FALSE(tokenizer.valid(-1));
  EXPECT_FALSE(tokenizer.valid(1009));
  EXPECT_EQ(tokenizer.bytes(999), "");
  EXPECT_EQ(tokenizer.bytes(258), " the");
  EXPECT_EQ(tokenizer.added_id("<think>"), 1005);
  EXPECT_EQ(tokenizer.added_id("the"), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(1001));
  EXPECT_FALSE(tokenizer.is_special(1005));
  EXPECT_TRUE(tokenizer.is_added(1005));
  EXPECT_FALSE(tokenizer.is_added(258));
  EXPECT_EQ(tokenizer.added_tokens().size(), 9u);
}

TEST(Tokenizer, DecodeDropsSpecialTokensOnRequestAndKeepsTheOthers) {
  const Tokenizer tokenizer = from(words());
  const std::vector<TokenId> ids = {1001, 257, 1005, 258, 1006, 1002, 999, -5, 1 << 30};
  EXPECT_EQ(tokenizer.decode(ids, true), "the<think> the</think>");
  EXPECT_EQ(tokenizer.decode(ids, false), "]~b]the<think> the</think>[e~[");
}

TEST(StreamDecoder, PiecesAreWholeCharactersAndConcatenateToDecode) {
  const Tokenizer tokenizer = from(words());
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenId> ids;
    if (round % 2 == 0) {
      ids = tokenizer.encode(random_bytes(random, 30), true);
    } else {
      for (int i = 0; i < 20; ++i) {
        ids.push_back(random() % 3 == 0 ? static_cast<TokenId>(random() % 1100)
                                        : static_cast<TokenId>(128 + random() % 128));
      }
    }
    for (const bool skip_special : {false, true}) {
      StreamDecoder decoder(tokenizer, skip_special);
      std::string text;
      for (const TokenId id : ids) {
        const std::string piece = decoder.push(id);
        EXPECT_TRUE(utf8::valid(piece));
        text += piece;
      }
      text += decoder.flush();
      EXPECT_EQ(text, tokenizer.decode(ids, skip_special));
      EXPECT_EQ(decoder.flush(), "");
    }
  }
}

TEST(StreamDecoder, HoldsTheBeginningOfACharacterUntilItsEnd) {
  const Tokenizer tokenizer = from(words());
  StreamDecoder decoder(tokenizer, false);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.push(0x98), "");
  EXPECT_EQ(decoder.push(0x80), "😀");
  EXPECT_EQ(decoder.push(0xE4), "");
  EXPECT_EQ(decoder.push('b'), "\uFFFDb");
  EXPECT_EQ(decoder.push(0xE4), "");
  EXPECT_EQ(decoder.flush(), "\uFFFD");
}

TEST(TinyM2, RoundTripsThroughTheShippedTokenizer) {
  const std::filesystem::path model = std::filesystem::path(MINIMAX_SOURCE_DIR) / "models" / "tiny-m2";
  if (!std::filesystem::exists(model / "tokenizer.json")) GTEST_SKIP() << "no " << model / "tokenizer.json";
  const Tokenizer tokenizer = Tokenizer::load(model);
  EXPECT_THAT(tokenizer.encode("\n", false), ElementsAre(10));
  for (const char* marker :
       {"]~b]", "[e~[", "]~!b[", "<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"}) {
    ASSERT_TRUE(tokenizer.added_id(marker)) << marker;
    EXPECT_THAT(tokenizer.encode(marker, true), ElementsAre(*tokenizer.added_id(marker)));
  }
  std::mt19937 random(6);
  for (int round = 0; round < 100; ++round) {
    const std::string text = random_bytes(random, 100);
    EXPECT_EQ(joined_bytes(tokenizer, tokenizer.encode(text, true)), text);
  }
}

}  // namespace
}  // namespace minimax::tokenizer
