#pragma once
// Sets of code points, and the byte sequences that encode a range of them.

#include <array>
#include <cstdint>
#include <vector>

namespace minimax::grammar {

struct CharRange {
  char32_t first = 0, last = 0;
  bool operator==(const CharRange&) const = default;
};

// Sorted, disjoint, without surrogates: what the functions below return and expect.
using CharSet = std::vector<CharRange>;

CharSet all_chars();
CharSet normalized(CharSet ranges);  // of ranges in any order, overlapping or not
CharSet negated(const CharSet& set);
CharSet intersected(const CharSet& a, const CharSet& b);
CharSet united(CharSet a, const CharSet& b);
bool contains(const CharSet& set, char32_t c);

struct ByteRange {
  uint8_t first = 0, last = 0;
};
// A product of byte ranges: the UTF-8 forms of some consecutive code points of one length.
struct ByteSequence {
  int length = 0;
  std::array<ByteRange, 4> bytes{};
};
std::vector<ByteSequence> utf8_sequences(const CharSet& set);

}  // namespace minimax::grammar
