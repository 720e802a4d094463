#include "grammar/char_set.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"

namespace minimax::grammar {
namespace {

constexpr char32_t kMax = 0x10FFFF;
constexpr CharRange kSurrogates{0xD800, 0xDFFF};

std::string encoded(char32_t c) {
  std::string out;
  utf8::append(out, c);
  return out;
}

// Both ends have the same number of bytes. Splits until every position is a full range or a single prefix.
void split(char32_t first, char32_t last, std::vector<ByteSequence>& out) {
  for (int i = 1; i < 4; ++i) {
    const char32_t mask = (char32_t{1} << (6 * i)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if (last < 0x80) break;
    if ((first & mask) != 0) {
      split(first, first | mask, out);
      split((first | mask) + 1, last, out);
      return;
    }
    if ((last & mask) != mask) {
      split(first, (last & ~mask) - 1, out);
      split(last & ~mask, last, out);
      return;
    }
  }
  const std::string low = encoded(first), high = encoded(last);
  ByteSequence sequence;
  sequence.length = static_cast<int>(low.size());
  for (size_t i = 0; i < low.size(); ++i) {
    sequence.bytes[i] = {static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])};
  }
  out.push_back(sequence);
}

}  // namespace

CharSet all_chars() {
  return {{0, kSurrogates.first - 1}, {kSurrogates.last + 1, kMax}};
}

CharSet normalized(CharSet ranges) {
  std::ranges::sort(ranges, {}, &CharRange::first);
  CharSet out;
  const auto add = [&](char32_t first, char32_t last) {
    if (first > last) return;
    if (!out.empty() && first <= out.back().last + 1) {
      out.back().last = std::max(out.back().last, last);
    } else {
      out.push_back({first, last});
    }
  };
  for (const CharRange& range : ranges) {
    const char32_t last = std::min(range.last, kMax);
    add(range.first, std::min<char32_t>(last, kSurrogates.first - 1));
    add(std::max<char32_t>(range.first, kSurrogates.last + 1), last);
  }
  return out;
}

CharSet negated(const CharSet& set) {
  CharSet out;
  char32_t next = 0;
  for (const CharRange& range : set) {
    if (range.first > next) out.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMax) out.push_back({next, kMax});
  return normalized(std::move(out));
}

CharSet intersected(const CharSet& a, const CharSet& b) {
  return negated(united(negated(a), negated(b)));
}

CharSet united(CharSet a, const CharSet& b) {
  a.insert(a.end(), b.begin(), b.end());
  return normalized(std::move(a));
}

bool contains(const CharSet& set, char32_t c) {
  return std::ranges::any_of(set, [c](const CharRange& r) { return r.first <= c && c <= r.last; });
}

std::vector<ByteSequence> utf8_sequences(const CharSet& set) {
  constexpr std::array<CharRange, 4> kLengths{{{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, kMax}}};
  std::vector<ByteSequence> out;
  for (const CharRange& range : set) {
    for (const CharRange& length : kLengths) {
      const char32_t first = std::max(range.first, length.first), last = std::min(range.last, length.last);
      if (first <= last) split(first, last, out);
    }
  }
  return out;
}

}  // namespace minimax::grammar
