#include "tokenizer/family_scanner.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "tokenizer/split.h"

namespace minimax::tokenizer {
namespace {

const SplitRule kRule{std::string(kFamilySplit), "pattern", false};

std::string text_of(char32_t code_point) {
  std::string text;
  utf8::append(text, code_point);
  return text;
}

// The text with every piece in brackets.
std::string pieces_of(const Splitter& splitter, const std::string& text) {
  std::string shown;
  for (const std::string_view piece : splitter.split(text)) {
    shown += '[';
    shown += piece;
    shown += ']';
  }
  return shown;
}

// The code points that PCRE2's Unicode does not know: there the scanner knows more.
std::set<char32_t> unassigned_in_pcre2() {
  const Splitter splitter({{"\\p{Cn}", "pattern", true}}, "test");
  std::set<char32_t> found;
  for (char32_t first = 0; first < 0x110000; first += 0x1000) {
    std::string text;
    for (char32_t c = first; c < first + 0x1000; ++c) {
      if (c < 0xD800 || c > 0xDFFF) utf8::append(text, c);
    }
    for (const std::string_view piece : splitter.split(text)) found.insert(utf8::decode(piece).code_point);
  }
  return found;
}

TEST(FamilyScanner, SplitsAroundEveryCodePointAsPcre2Does) {
  const Splitter scanner({kRule}, "test");
  const Splitter regex({kRule}, "test", Splitter::Engine::kRegexOnly);
  const std::set<char32_t> unassigned = unassigned_in_pcre2();
  ASSERT_GT(unassigned.size(), 800000u);
  for (char32_t c = 0; c < 0x110000; ++c) {
    if ((c >= 0xD800 && c <= 0xDFFF) || unassigned.count(c) > 0) continue;
    const std::string one = text_of(c);
    const std::string text = one + "a" + one + "A" + one + one + " !" + one + "1\n" + one + "'s" + one + "\n";
    ASSERT_EQ(pieces_of(scanner, text), pieces_of(regex, text))
        << "U+" << std::hex << static_cast<uint32_t>(c);
  }
}

// All texts of a few characters, one of each kind that the pattern tells apart, so that no combination is
// left to chance.
TEST(FamilyScanner, SplitsAllShortTextsAsPcre2Does) {
  const Splitter scanner({kRule}, "test");
  const Splitter regex({kRule}, "test", Splitter::Engine::kRegexOnly);
  const std::vector<std::string> alphabet = {"a",  "A", "\u4E16", "\u0301", "1", " ",
                                             "\n", "!", "/",      "'",      "s", "\t"};
  std::vector<size_t> digits;
  for (size_t length = 1; length <= 5; ++length) {
    digits.assign(length, 0);
    for (bool more = true; more;) {
      std::string text;
      for (const size_t digit : digits) text += alphabet[digit];
      ASSERT_EQ(pieces_of(scanner, text), pieces_of(regex, text)) << text;
      size_t place = 0;
      while (place < length && ++digits[place] == alphabet.size()) digits[place++] = 0;
      more = place < length;
    }
  }
}

TEST(FamilyScanner, SplitsRandomTextsAsPcre2Does) {
  const Splitter scanner({kRule}, "test");
  const Splitter regex({kRule}, "test", Splitter::Engine::kRegexOnly);
  const std::vector<std::string> alphabet = {
      "a",    "z",      "B",       "ABC",     "\u01C5", "\u02B0", "\u4E16", "\u0301", "\u0903",
      "7",    "\u0663", "\u2167",  " ",       "  ",     "\u00A0", "\u2003", "\u2028", "\u0085",
      "\x0B", "\n",     "\r",      "\r\n",    "!",      "#",      "/",      "\u2026", "\U0001F600",
      "'",    "'s",     "'S",      "'\u017F", "'RE",    "'re",    "'r",     "'ll",    "'L",
      "'vE",  "'d",     "\u2019s", "\u180E",  "\u200B", "\0x",    "\x7F"};
  std::mt19937 random(1);
  for (int round = 0; round < 100000; ++round) {
    std::string text;
    for (size_t i = random() % 16; i > 0; --i) text += alphabet[random() % alphabet.size()];
    ASSERT_EQ(pieces_of(scanner, text), pieces_of(regex, text)) << text;
  }
}

TEST(CharacterClasses, KnowWhatUnicode16Assigns) {
  const CharacterClasses classes;
  EXPECT_EQ(classes.of(0x13460), CharacterClass::kBoth);   // Egyptian Hieroglyphs Extended-A
  EXPECT_EQ(classes.of(0x10D50), CharacterClass::kUpper);  // Garay
  EXPECT_EQ(classes.of(0x10D70), CharacterClass::kLower);
  EXPECT_EQ(classes.of(0x0897), CharacterClass::kMark);
  EXPECT_EQ(classes.of(0x116D0), CharacterClass::kNumber);
  EXPECT_EQ(classes.of(0x10FFFF), CharacterClass::kOther);
  EXPECT_EQ(classes.of(0x180E), CharacterClass::kOther);
  EXPECT_EQ(classes.of(0x3000), CharacterClass::kSpace);
  EXPECT_EQ(classes.of('\n'), CharacterClass::kNewline);
}

}  // namespace
}  // namespace minimax::tokenizer
