#pragma once
// Texts sorted into a trie that is walked from front to back.
//
// Where all bytes below a node are of one kind, and a state reads any of that kind as often as the longest
// text needs, the walk takes all texts below the node at once: most subtrees of a vocabulary are letters
// alone.

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

namespace minimax::grammar {

using ByteSet = std::bitset<256>;

// Kinds of bytes, each within the ones behind it but for digits and capitals; kAnyByte: of no one kind.
enum ByteKind : uint8_t {
  kDigits,
  kCapitals,
  kSmall,
  kLetters,
  kLettersDigits,
  kWordBytes,
  kByteKinds,
  kAnyByte = 7
};
const std::array<ByteSet, kByteKinds>& byte_kinds();
// For each byte the kinds that it is of, kAnyByte among them: bit k for kind k.
const std::array<uint8_t, 256>& kinds_of_bytes();

// In depth-first order: the nodes below node i are those up to i + skip.
struct TrieNode {
  static constexpr unsigned kHeightMax = 31;  // and more

  int32_t token = -1;  // whose bytes end here
  uint32_t skip = 1;
  uint16_t depth = 0;  // bytes, from 1
  uint8_t byte = 0;
  uint8_t kind : 3 = kDigits;  // of the bytes below this node
  uint8_t height : 5 = 0;      // of how many, at most
};

struct Trie {
  struct Token {
    int32_t id = 0;
    int32_t bytes = 0;
  };
  std::vector<TrieNode> nodes;
  std::vector<uint32_t> tokens_before;  // [nodes]: how many of `tokens` come before this one's
  std::vector<Token> tokens;            // in the order of the nodes

  bool empty() const { return nodes.empty(); }
  size_t bytes_used() const {
    return nodes.size() * (sizeof(TrieNode) + sizeof(uint32_t)) + tokens.size() * sizeof(Token);
  }
};

// close() ends the work.
class TrieBuilder {
 public:
  explicit TrieBuilder(Trie& trie) : trie_(trie) {}

  // Tokens come in the order of their bytes, each once; the bytes stay where they are.
  void add(std::string_view bytes, int32_t token) {
    size_t shared = 0;
    while (shared < bytes.size() && shared < last_.size() && bytes[shared] == last_[shared]) ++shared;
    close(shared);
    for (size_t i = shared; i < bytes.size(); ++i) {
      open_.push_back({trie_.nodes.size(), kAllKinds, 0});
      trie_.nodes.push_back({-1, 1, static_cast<uint16_t>(i + 1), static_cast<uint8_t>(bytes[i])});
      trie_.tokens_before.push_back(static_cast<uint32_t>(trie_.tokens.size()));
    }
    trie_.nodes.back().token = token;
    trie_.tokens.push_back({token, static_cast<int32_t>(bytes.size())});
    last_ = bytes;
  }
  void close(size_t depth = 0) {
    while (open_.size() > depth) {
      const Open done = open_.back();
      open_.pop_back();
      TrieNode& node = trie_.nodes[done.node];
      node.skip = static_cast<uint32_t>(trie_.nodes.size() - done.node);
      node.height = static_cast<uint8_t>(std::min(done.height, TrieNode::kHeightMax)) & 31u;
      node.kind = static_cast<unsigned>(std::countr_zero(done.kinds)) & 7u;
      if (open_.empty()) continue;
      Open& parent = open_.back();
      parent.kinds &= done.kinds & kinds_[node.byte];
      parent.height = std::max(parent.height, done.height + 1);
    }
  }

 private:
  static constexpr uint8_t kAllKinds = (1u << kByteKinds) - 1 + (1u << kAnyByte);
  struct Open {
    size_t node = 0;
    uint8_t kinds = kAllKinds;  // that all bytes below are of
    unsigned height = 0;
  };

  const std::array<uint8_t, 256>& kinds_ = kinds_of_bytes();
  Trie& trie_;
  std::vector<Open> open_;
  std::string_view last_;
};

}  // namespace minimax::grammar
