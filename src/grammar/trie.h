#pragma once
// Texts sorted into a trie that is walked from front to back.

#include <cstdint>
#include <string_view>
#include <vector>

namespace minimax::grammar {

// In depth-first order: the nodes below node i are those up to i + skip.
struct TrieNode {
  int32_t token = -1;  // whose bytes end here
  uint32_t skip = 1;
  uint16_t depth = 0;  // bytes, from 1
  uint8_t byte = 0;
};
using Trie = std::vector<TrieNode>;

// close(0) ends the work.
class TrieBuilder {
 public:
  explicit TrieBuilder(Trie& trie) : trie_(trie) {}

  // Tokens come in the order of their bytes, each once; the bytes stay where they are.
  void add(std::string_view bytes, int32_t token) {
    size_t shared = 0;
    while (shared < bytes.size() && shared < last_.size() && bytes[shared] == last_[shared]) ++shared;
    close(shared);
    for (size_t i = shared; i < bytes.size(); ++i) {
      open_.push_back(trie_.size());
      trie_.push_back({-1, 1, static_cast<uint16_t>(i + 1), static_cast<uint8_t>(bytes[i])});
    }
    trie_.back().token = token;
    last_ = bytes;
  }
  void close(size_t depth) {
    while (open_.size() > depth) {
      trie_[open_.back()].skip = static_cast<uint32_t>(trie_.size() - open_.back());
      open_.pop_back();
    }
  }

 private:
  Trie& trie_;
  std::vector<size_t> open_;
  std::string_view last_;
};

}  // namespace minimax::grammar
