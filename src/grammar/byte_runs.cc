#include "grammar/byte_runs.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"

namespace minimax::grammar {
namespace {

void set_bit(std::vector<uint32_t>& mask, int32_t token) {
  mask[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
}

// Bytes of the character that `text` begins with; 0: none, or not all of one.
size_t char_bytes(std::string_view text) {
  const utf8::Decoded found = utf8::decode(text);
  return found.valid ? static_cast<size_t>(found.bytes) : 0;
}

}  // namespace

ByteRuns::ByteRuns(const Vocabulary& vocabulary, const CountedSet& set)
    : vocabulary_(vocabulary), leaving_(256), tries_(256) {
  CHECK(set.bytes.any());
  up_to_.assign(kLengths + 1, std::vector<uint32_t>(vocabulary.mask_words(), 0));
  for (const int32_t id : vocabulary.sorted()) {
    const std::string_view bytes = vocabulary.bytes(id);
    size_t run = 0, at = 0;  // characters, and their bytes
    while (at < bytes.size()) {
      const auto byte = static_cast<uint8_t>(bytes[at]);
      const size_t size = set.bytes[byte] ? 1 : set.wide && byte >= 0x80 ? char_bytes(bytes.substr(at)) : 0;
      if (size == 0) break;
      at += size;
      ++run;
    }
    run_max_ = std::max(run_max_, static_cast<int32_t>(run));
    if (at < bytes.size()) {
      leaving_[static_cast<uint8_t>(bytes[at])].push_back(id);
    } else if (run <= kLengths) {
      set_bit(up_to_[run], id);
    } else {
      longer_.emplace_back(static_cast<int>(run), id);
    }
  }
  std::ranges::sort(longer_);
  for (size_t chars = 1; chars <= kLengths; ++chars) {
    for (size_t word = 0; word < up_to_[chars].size(); ++word) up_to_[chars][word] |= up_to_[chars - 1][word];
  }
  bytes_used_ = (kLengths + 1) * vocabulary.mask_words() * sizeof(uint32_t);
  for (const std::vector<int32_t>& tokens : leaving_) bytes_used_ += tokens.size() * sizeof(int32_t);
}

void ByteRuns::add(int chars, std::vector<uint32_t>& mask) const {
  const std::vector<uint32_t>& known = up_to_[std::min(static_cast<size_t>(chars), kLengths)];
  for (size_t word = 0; word < mask.size(); ++word) mask[word] |= known[word];
  for (const auto& [length, token] : longer_) {
    if (length > chars) break;
    set_bit(mask, token);
  }
}

bool ByteRuns::is_cheap(const ByteSet& exits) const {
  size_t tokens = 0;
  for (size_t byte = 0; byte < tries_.size(); ++byte) {
    if (exits[byte] && tries_[byte].empty()) tokens += leaving_[byte].size();
  }
  return tokens <= kQuickTokens;
}

const Trie& ByteRuns::leaving(uint8_t exit) {
  Trie& trie = tries_[exit];
  if (!trie.empty() || leaving_[exit].empty()) return trie;
  TrieBuilder builder(trie);
  for (const int32_t id : leaving_[exit]) builder.add(vocabulary_.bytes(id), id);
  builder.close();
  bytes_used_ += trie.bytes_used();
  return trie;
}

}  // namespace minimax::grammar
