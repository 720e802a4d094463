#pragma once
// The tokens of a model as bytes, sorted into tries, and the masks of those that consist of plain characters
// alone. Built once at start-up; immutable; used from all threads.
//
// Why the parts: inside a JSON string nearly every token may come, and asking each of 200 000 would take
// milliseconds. There the mask is the one of the plain tokens, known beforehand, and a walk over the others.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/trie.h"

namespace minimax::grammar {

class Vocabulary {
 public:
  // bytes[id]; empty for ids that stand for no text (markers, unused ids).
  explicit Vocabulary(const std::vector<std::string>& bytes);

  int32_t size() const { return static_cast<int32_t>(places_.size()); }
  size_t mask_words() const { return (static_cast<size_t>(size()) + 31) / 32; }
  std::string_view bytes(int32_t id) const {
    const Place place = places_[static_cast<size_t>(id)];
    return {blob_.data() + place.begin, place.size};
  }
  size_t bytes_max() const { return bytes_max_; }
  // The ids with bytes, in the order of these; of twins (below) one.
  std::span<const int32_t> sorted() const { return sorted_; }
  // Of sorted()[i]: to go through all of them in this order misses no cache.
  std::string_view sorted_bytes(size_t i) const {
    const size_t end = i + 1 == sorted_begins_.size() ? blob_.size() : sorted_begins_[i + 1];
    return {blob_.data() + sorted_begins_[i], end - sorted_begins_[i]};
  }

  struct Parts {
    const std::vector<uint32_t>* mask;  // tokens that surely may come
    const Trie* trie;                   // those that must be asked
    bool only_odd = false;              // none of plain characters alone is among the latter
  };
  // For a state that reads every text of at most `min` plain characters and none of more than `max`.
  Parts parts(int min, int max) const;

  // All tokens with bytes; of twins (below) one.
  const Trie& all() const { return rest_[0]; }

  // The nodes of all() for the tokens that begin with the byte.
  struct Nodes {
    size_t begin = 0, end = 0;
  };
  Nodes beginning(uint8_t byte) const { return beginning_[byte]; }

  // Ids whose bytes are those of another id, with that id: they are in no trie.
  struct Twin {
    int32_t id = 0, of = 0;
  };
  const std::vector<Twin>& twins() const { return twins_; }

 private:
  static constexpr int kCharsMax = 48;  // tokens of more plain characters are treated as if they were odd
  static constexpr int kLevels[] = {0, 1, 2, 4, 8, 16, 32, kCharsMax};

  struct Place {
    uint32_t begin = 0, size = 0;
  };
  std::string blob_;  // in the order of sorted_, in which it is read most
  std::vector<Place> places_;
  std::vector<uint32_t> sorted_begins_;  // [sorted_]: into blob_
  size_t bytes_max_ = 0;
  std::vector<int32_t> sorted_;
  std::vector<std::vector<uint32_t>> plain_;  // [kCharsMax + 1]: of at most so many plain characters
  std::vector<Trie> rest_;                    // [levels]: all tokens but those of plain_[level]
  std::array<Nodes, 256> beginning_{};
  Trie odd_;                 // not of plain characters alone, or of too many
  int plain_chars_max_ = 0;  // of the plain tokens: beyond, a state reads all of them
  std::vector<Twin> twins_;
};

}  // namespace minimax::grammar
