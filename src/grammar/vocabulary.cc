#include "grammar/vocabulary.h"

#include <algorithm>
#include <numeric>

#include "base/utf8.h"
#include "grammar/automaton.h"

namespace minimax::grammar {
namespace {

// Characters of a text of plain ones alone; -1: it is no such text.
int plain_chars(std::string_view text) {
  int chars = 0;
  while (!text.empty()) {
    const utf8::Decoded decoded = utf8::decode(text);
    if (!decoded.valid || !is_plain(decoded.code_point)) return -1;
    text.remove_prefix(static_cast<size_t>(decoded.bytes));
    ++chars;
  }
  return chars;
}

ByteSet range(char first, char last) {
  ByteSet out;
  for (char c = first; c <= last; ++c) out.set(static_cast<size_t>(c));
  return out;
}

}  // namespace

const std::array<ByteSet, kByteKinds>& byte_kinds() {
  static const std::array<ByteSet, kByteKinds> kSets = [] {
    const ByteSet digits = range('0', '9'), capitals = range('A', 'Z'), small = range('a', 'z');
    const ByteSet letters = capitals | small;
    return std::array{digits, capitals, small, letters, letters | digits, letters | digits | range('_', '_')};
  }();
  return kSets;
}

const std::array<uint8_t, 256>& kinds_of_bytes() {
  static const std::array<uint8_t, 256> kKinds = [] {
    std::array<uint8_t, 256> out{};
    for (size_t byte = 0; byte < out.size(); ++byte) {
      out[byte] = 1u << kAnyByte;
      for (unsigned kind = 0; kind < kByteKinds; ++kind)
        out[byte] |= static_cast<uint8_t>(byte_kinds()[kind][byte] ? 1u << kind : 0u);
    }
    return out;
  }();
  return kKinds;
}

Vocabulary::Vocabulary(const std::vector<std::string>& bytes) {
  const size_t count = bytes.size();
  places_.resize(count);
  for (const std::string& text : bytes) bytes_max_ = std::max(bytes_max_, text.size());
  std::vector<int32_t> order;
  for (size_t i = 0; i < count; ++i) {
    if (!bytes[i].empty()) order.push_back(static_cast<int32_t>(i));
  }
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
    return bytes[static_cast<size_t>(a)] < bytes[static_cast<size_t>(b)];
  });
  plain_.assign(kCharsMax + 1, std::vector<uint32_t>(mask_words(), 0));
  rest_.resize(std::size(kLevels));
  std::vector<TrieBuilder> builders;
  for (Trie& trie : rest_) builders.emplace_back(trie);
  TrieBuilder odd(odd_);
  const std::string* previous = nullptr;
  int32_t previous_id = -1;
  for (const int32_t id : order) {
    const std::string& text = bytes[static_cast<size_t>(id)];
    if (previous != nullptr && text == *previous) {
      places_[static_cast<size_t>(id)] = places_[static_cast<size_t>(previous_id)];
      twins_.push_back({id, previous_id});
      continue;
    }
    previous = &text;
    previous_id = id;
    sorted_.push_back(id);
    sorted_begins_.push_back(static_cast<uint32_t>(blob_.size()));
    places_[static_cast<size_t>(id)] = {static_cast<uint32_t>(blob_.size()),
                                        static_cast<uint32_t>(text.size())};
    blob_ += text;
    const int chars = plain_chars(text);
    const bool is_short = chars >= 0 && chars <= kCharsMax;
    if (is_short) {
      plain_chars_max_ = std::max(plain_chars_max_, chars);
      plain_[static_cast<size_t>(chars)][static_cast<size_t>(id) / 32] |= 1u << (id % 32);
    } else {
      odd.add(text, id);
    }
    for (size_t level = 0; level < rest_.size(); ++level) {
      if (!is_short || chars > kLevels[level]) builders[level].add(text, id);
    }
  }
  odd.close();
  for (TrieBuilder& builder : builders) builder.close();
  for (size_t begin = 0; begin < all().nodes.size(); begin += all().nodes[begin].skip)
    beginning_[all().nodes[begin].byte] = {begin, begin + all().nodes[begin].skip};
  for (size_t chars = 1; chars < plain_.size(); ++chars) {
    for (size_t word = 0; word < mask_words(); ++word) plain_[chars][word] |= plain_[chars - 1][word];
  }
}

Vocabulary::Parts Vocabulary::parts(int min, int max) const {
  if (min >= plain_chars_max_) return {&plain_.back(), &odd_, true};
  // Exactly those: of the plain tokens no other can come, and the long ones are in the odd trie.
  if (min == max) return {&plain_[static_cast<size_t>(min)], &odd_, true};
  size_t level = 0;
  while (level + 1 < std::size(kLevels) && kLevels[level + 1] <= min) ++level;
  return {&plain_[static_cast<size_t>(kLevels[level])], &rest_[level]};
}

}  // namespace minimax::grammar
