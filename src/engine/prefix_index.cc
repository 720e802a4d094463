#include "engine/prefix_index.h"

#include <algorithm>

#include "base/check.h"

namespace minimax::engine {
namespace {

// Two lanes of a multiply-and-fold mix; collisions are caught by comparing tokens, so no cryptography is
// needed.
uint64_t fold(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

BlockHash mix(const BlockHash& hash, uint64_t value) {
  return {fold(hash.low ^ value ^ 0x9E3779B97F4A7C15u, 0xD1342543DE82EF95u ^ hash.high),
          fold(hash.high ^ value ^ 0xC2B2AE3D27D4EB4Fu, 0xA0761D6478BD642Fu ^ hash.low)};
}

}  // namespace

BlockHash hash_salt(std::string_view salt) {
  BlockHash hash{0x243F6A8885A308D3u, 0x13198A2E03707344u};
  hash = mix(hash, salt.size());
  for (const char c : salt) hash = mix(hash, static_cast<unsigned char>(c));
  return hash;
}

BlockHash hash_block(const BlockHash& before, std::span<const executor::TokenId> tokens) {
  BlockHash hash = before;
  for (const executor::TokenId token : tokens) hash = mix(hash, static_cast<uint32_t>(token));
  return hash;
}

PrefixIndex::PrefixIndex(int32_t block_count, int32_t block_tokens)
    : block_tokens_(block_tokens),
      entries_(static_cast<size_t>(block_count)),
      tokens_(static_cast<size_t>(block_count) * static_cast<size_t>(block_tokens)) {}

std::span<const executor::TokenId> PrefixIndex::tokens_of(executor::BlockId block) const {
  return std::span(tokens_).subspan(static_cast<size_t>(block) * static_cast<size_t>(block_tokens_),
                                    static_cast<size_t>(block_tokens_));
}

std::optional<executor::BlockId> PrefixIndex::find(const BlockContent& content) const {
  CHECK_EQ(std::ssize(content.tokens), block_tokens_);
  const auto it = blocks_.find(content.hash);
  if (it == blocks_.end()) return {};
  const Entry& entry = entries_[static_cast<size_t>(it->second)];
  if (!(entry.before == content.before) || !std::ranges::equal(tokens_of(it->second), content.tokens))
    return {};
  return it->second;
}

void PrefixIndex::insert(const BlockContent& content, executor::BlockId block) {
  CHECK_EQ(std::ssize(content.tokens), block_tokens_);
  Entry& entry = entries_[static_cast<size_t>(block)];
  if (entry.indexed && entry.hash == content.hash) return;
  if (!blocks_.emplace(content.hash, block).second) return;
  CHECK(!entry.indexed);
  entry = {true, content.before, content.hash};
  std::ranges::copy(content.tokens, tokens_.begin() + static_cast<ptrdiff_t>(block) * block_tokens_);
}

void PrefixIndex::forget(executor::BlockId block) {
  Entry& entry = entries_[static_cast<size_t>(block)];
  if (!entry.indexed) return;
  blocks_.erase(entry.hash);
  entry.indexed = false;
}

void PrefixIndex::clear() {
  blocks_.clear();
  for (Entry& entry : entries_) entry.indexed = false;
}

}  // namespace minimax::engine
