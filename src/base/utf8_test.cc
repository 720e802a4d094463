#include "base/utf8.h"

#include <gtest/gtest.h>

namespace minimax::utf8 {
namespace {

TEST(Utf8, EveryCodePointSurvivesARoundTrip) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append(text, c);
    const Decoded d = decode(text);
    ASSERT_TRUE(d.valid);
    ASSERT_EQ(d.code_point, c);
    ASSERT_EQ(static_cast<size_t>(d.bytes), text.size());
    for (size_t n = 1; n < text.size(); ++n) ASSERT_EQ(incomplete_tail(text.substr(0, n)), n);
    ASSERT_EQ(incomplete_tail(text), 0u);
  }
}

TEST(Utf8, RefusesOverlongSurrogatesAndTooLarge) {
  for (const char* bad :
       {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\x80", "\xE2\x82"}) {
    EXPECT_FALSE(valid(bad)) << bad;
  }
}

TEST(Utf8, ReplacesEachMaximalInvalidPartOnceAsPythonDoes) {
  EXPECT_EQ(replace_invalid("a\xE2\x82z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(replace_invalid("\xE0\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(replace_invalid("\xF0\x9F\x98"), "\xEF\xBF\xBD");
  EXPECT_EQ(replace_invalid("ok"), "ok");
}

TEST(Utf8, ATailThatCannotBecomeACharacterIsNotHeldBack) {
  EXPECT_EQ(incomplete_tail("\xFF"), 0u);
  EXPECT_EQ(incomplete_tail("\xE0\x80"), 0u);
  EXPECT_EQ(incomplete_tail("ab\xE4\xB8"), 2u);
}

}  // namespace
}  // namespace minimax::utf8
