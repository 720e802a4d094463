#include "chat/stops.h"

#include <random>

#include <gtest/gtest.h>

namespace minimax::chat {
namespace {

struct Outcome {
  std::string text;
  bool stopped = false;
  bool operator==(const Outcome&) const = default;
};

Outcome scan(const std::vector<std::string>& stops, bool include, const std::vector<std::string>& pieces) {
  StopScanner scanner(stops, include);
  Outcome outcome;
  for (const std::string& piece : pieces) outcome.text += scanner.push(piece);
  outcome.text += scanner.flush();
  outcome.stopped = scanner.matched().has_value();
  return outcome;
}

// The plain definition: the string that ends first; of those the one that begins first.
Outcome expected(const std::vector<std::string>& stops, bool include, const std::string& text) {
  size_t best_end = std::string::npos, best_begin = 0;
  for (const std::string& stop : stops) {
    const size_t at = stop.empty() ? std::string::npos : text.find(stop);
    if (at == std::string::npos) continue;
    const size_t end = at + stop.size();
    if (end < best_end || (end == best_end && at < best_begin)) {
      best_end = end;
      best_begin = at;
    }
  }
  if (best_end == std::string::npos) return {text, false};
  return {text.substr(0, include ? best_end : best_begin), true};
}

TEST(Stops, CutsBeforeOrAfterTheFirst) {
  EXPECT_EQ(scan({"END"}, false, {"abc", "EN", "D", "xyz"}), (Outcome{"abc", true}));
  EXPECT_EQ(scan({"END"}, true, {"abcE", "NDxyz"}), (Outcome{"abcEND", true}));
  EXPECT_EQ(scan({"END"}, false, {"abcEN"}), (Outcome{"abcEN", false}));
  EXPECT_EQ(scan({""}, false, {"abc"}), (Outcome{"abc", false}));
}

TEST(Stops, HoldsBackOnlyWhatMayBecomeOne) {
  StopScanner scanner({"</end>"}, false);
  EXPECT_EQ(scanner.push("abc</e"), "abc");
  EXPECT_EQ(scanner.push("x"), "</ex");
  EXPECT_EQ(scanner.push("<<"), "<");
}

TEST(Stops, EverySplitGivesTheSameAsTheDefinition) {
  std::mt19937 rng(5);
  for (int round = 0; round < 5000; ++round) {
    const auto word = [&](size_t most) {
      std::string out;
      for (size_t i = 1 + rng() % most; i > 0; --i) out += static_cast<char>('a' + rng() % 2);
      return out;
    };
    std::vector<std::string> stops;
    for (size_t i = 1 + rng() % 3; i > 0; --i) stops.push_back(word(4));
    const std::string text = word(12);
    const bool include = rng() % 2 == 0;
    const Outcome want = expected(stops, include, text);
    for (size_t at = 0; at <= text.size(); ++at) {
      EXPECT_EQ(scan(stops, include, {text.substr(0, at), text.substr(at)}).text, want.text) << text;
      EXPECT_EQ(scan(stops, include, {text.substr(0, at), text.substr(at)}).stopped, want.stopped) << text;
    }
  }
}

TEST(StopScanner, AStringThatEndsTooEarlyDoesNotCount) {
  StopScanner scanner({"ab"}, false);
  std::string out = scanner.push("xab", false);
  EXPECT_FALSE(scanner.matched());
  out += scanner.push("a", false);
  out += scanner.push("b");  // begins early, ends late enough
  EXPECT_TRUE(scanner.matched());
  EXPECT_EQ(out, "xab");
}

}  // namespace
}  // namespace minimax::chat
