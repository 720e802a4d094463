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

void accumulate(std::vector<std::vector<uint32_t>>& masks) {
  for (size_t i = 1; i < masks.size(); ++i) {
    for (size_t word = 0; word < masks[i].size(); ++word) masks[i][word] |= masks[i - 1][word];
  }
}

// How many characters of the set `text` has from `at` on; `at` goes behind them.
int count_run(std::string_view text, const CountedSet& set, size_t& at) {
  int run = 0;
  while (at < text.size()) {
    const auto byte = static_cast<uint8_t>(text[at]);
    const size_t size = !set.bytes[byte] ? 0 : byte < 0x80 ? 1 : char_bytes(text.substr(at));
    if (size == 0) break;
    at += size;
    ++run;
  }
  return run;
}

}  // namespace

ByteRuns::ByteRuns(const Vocabulary& vocabulary, const CountedSet& set)
    : vocabulary_(vocabulary), leaving_(256), without_run_(256, 0), behind_(128), further_(128), tries_(256) {
  CHECK((set.bytes << 128).any());
  up_to_.assign(kLengths + 1, std::vector<uint32_t>(vocabulary.mask_words(), 0));
  leaving_up_to_ = up_to_;
  for (size_t i = 0; i < vocabulary.sorted().size(); ++i) {
    const int32_t id = vocabulary.sorted()[i];
    const std::string_view bytes = vocabulary.sorted_bytes(i);
    size_t at = 0;
    const int run = count_run(bytes, set, at);
    run_max_ = std::max(run_max_, run);
    const bool leaves = at < bytes.size();
    if (run <= static_cast<int>(kLengths)) {
      set_bit((leaves ? leaving_up_to_ : up_to_)[static_cast<size_t>(run)], id);
    } else {
      (leaves ? leaving_longer_ : longer_).emplace_back(run, id);
    }
    if (!leaves) continue;
    const auto exit = static_cast<uint8_t>(bytes[at]);
    if (exit < 0x80) {
      const size_t begin = ++at;
      const int more = count_run(bytes, set, at);
      run_max_ = std::max(run_max_, more);
      if (at == bytes.size()) {
        behind_[exit].push_back({id, more});
      } else {
        const auto second = static_cast<uint8_t>(bytes[at]);
        std::vector<Group>& groups = further_[exit];
        if (groups.empty() || groups.back().exit != second) groups.push_back({second, {}});
        groups.back().tokens.push_back({id, static_cast<uint32_t>(begin)});
      }
    }
    if (run > 0 || exit >= 0x80) {
      leaving_[exit].push_back(id);
    } else {
      ++without_run_[exit];
    }
  }
  std::ranges::sort(longer_);
  std::ranges::sort(leaving_longer_);
  accumulate(up_to_);
  accumulate(leaving_up_to_);
  bytes_used_ = 2 * (kLengths + 1) * vocabulary.mask_words() * sizeof(uint32_t);
  for (const std::vector<int32_t>& tokens : leaving_) bytes_used_ += tokens.size() * sizeof(int32_t);
  for (const std::vector<Behind>& tokens : behind_) bytes_used_ += tokens.size() * sizeof(Behind);
  for (const std::vector<Group>& groups : further_) {
    for (const Group& group : groups) bytes_used_ += sizeof(Group) + group.tokens.size() * sizeof(Further);
  }
  bytes_used_ += kKnownMax * vocabulary.mask_words() * sizeof(uint32_t);
}

void ByteRuns::add(int chars, std::vector<uint32_t>& mask) const {
  const std::vector<uint32_t>& known = up_to_[std::min(static_cast<size_t>(chars), kLengths)];
  for (size_t word = 0; word < mask.size(); ++word) mask[word] |= known[word];
  for (const auto& [length, token] : longer_) {
    if (length > chars) break;
    set_bit(mask, token);
  }
}

void ByteRuns::add_leaving(const std::vector<uint32_t>& tokens, int first, int last,
                           std::vector<uint32_t>& mask) const {
  const auto up_to = [this](int chars) -> const std::vector<uint32_t>& {
    return leaving_up_to_[std::min(static_cast<size_t>(chars), kLengths)];
  };
  const std::vector<uint32_t>& most = up_to(last);
  if (first == 0) {
    for (size_t word = 0; word < mask.size(); ++word) mask[word] |= tokens[word] & most[word];
  } else {
    const std::vector<uint32_t>& fewer = up_to(first - 1);
    for (size_t word = 0; word < mask.size(); ++word) mask[word] |= tokens[word] & most[word] & ~fewer[word];
  }
  for (const auto& [length, token] : leaving_longer_) {
    if (length > last) break;
    if (length >= first && (tokens[static_cast<size_t>(token) / 32] >> (token % 32) & 1) != 0)
      set_bit(mask, token);
  }
}

const std::vector<uint32_t>& ByteRuns::behind(uint8_t exit, int chars) {
  chars = std::min(chars, static_cast<int>(vocabulary_.bytes_max()));
  for (const Known& known : known_) {
    if (known.exit == exit && known.chars == chars) return known.mask;
  }
  std::vector<uint32_t> mask(vocabulary_.mask_words(), 0);
  for (const auto& [token, more] : behind_[exit])
    mask[static_cast<size_t>(token) / 32] |= uint32_t{more <= chars} << (token % 32);
  if (known_.size() == kKnownMax) known_.pop_front();
  return known_.emplace_back(exit, chars, std::move(mask)).mask;
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
  trie.tokens.reserve(leaving_[exit].size());
  TrieBuilder builder(trie);
  for (const int32_t id : leaving_[exit]) builder.add(vocabulary_.bytes(id), id);
  builder.close();
  bytes_used_ += trie.bytes_used();
  return trie;
}

}  // namespace minimax::grammar
