#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/check.h"

namespace minimax::tokenizer {
namespace {

// Below this length a scan over the few ranks beats the heap; a word is about 6 bytes.
constexpr size_t kShortPieceBytes = 48;
constexpr uint32_t kNone = UINT32_MAX;

uint64_t key_of(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(size_t count)
    : cells_(std::bit_ceil(std::max<size_t>(count * 2, 2))), mask_(cells_.size() - 1) {}

size_t MergeTable::cell_of(uint64_t key) const {
  // The finalizer of splitmix64 (Steele, Lea, Flood 2014); linear probing from there.
  uint64_t hash = key;
  hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9;
  hash = (hash ^ hash >> 27) * 0x94D049BB133111EB;
  size_t cell = (hash ^ hash >> 31) & mask_;
  while (cells_[cell].key != key && cells_[cell].key != kEmpty) cell = (cell + 1) & mask_;
  return cell;
}

void MergeTable::add(TokenId left, TokenId right, Merge merge) {
  CHECK(left >= 0 && right >= 0);
  const uint64_t key = key_of(left, right);
  cells_[cell_of(key)] = {key, merge};
}

MergeTable::Merge MergeTable::find(TokenId left, TokenId right) const {
  return cells_[cell_of(key_of(left, right))].merge;
}

void Bpe::encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  CHECK_LT(piece.size(), size_t{kNone});
  if (piece.size() <= kShortPieceBytes) {
    encode_short(piece, scratch, out);
  } else {
    encode_long(piece, scratch, out);
  }
}

void Bpe::encode_short(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  std::vector<TokenId>& ids = scratch.ids;
  std::vector<uint32_t>& ranks = scratch.ranks;  // ranks[i]: of the pair (i, i + 1)
  ids.clear();
  ranks.clear();
  for (const char c : piece) ids.push_back(byte_ids_[static_cast<uint8_t>(c)]);
  for (size_t i = 0; i + 1 < ids.size(); ++i) ranks.push_back(merges_.find(ids[i], ids[i + 1]).rank);
  while (!ranks.empty()) {
    const auto lowest = std::min_element(ranks.begin(), ranks.end());  // the first of equals
    if (*lowest == MergeTable::kNoRank) break;
    const auto at = static_cast<size_t>(lowest - ranks.begin());
    ids[at] = merges_.find(ids[at], ids[at + 1]).id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
    ranks.erase(lowest);
    if (at > 0) ranks[at - 1] = merges_.find(ids[at - 1], ids[at]).rank;
    if (at < ranks.size()) ranks[at] = merges_.find(ids[at], ids[at + 1]).rank;
  }
  out.insert(out.end(), ids.begin(), ids.end());
}

// A linked list of symbols and a heap of rank and place. An entry whose pair has changed since is skipped:
// borders only ever vanish, so a place whose pair has the entry's rank still has the entry's pair.
void Bpe::encode_long(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  const auto size = static_cast<uint32_t>(piece.size());
  std::vector<TokenId>& ids = scratch.ids;  // by byte position; -1: merged into an earlier one
  std::vector<uint32_t>&next = scratch.next, &previous = scratch.previous;
  std::vector<uint64_t>& heap = scratch.heap;
  ids.resize(size);
  next.resize(size);
  previous.resize(size);
  heap.clear();
  for (uint32_t i = 0; i < size; ++i) {
    ids[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
    next[i] = i + 1 < size ? i + 1 : kNone;
    previous[i] = i > 0 ? i - 1 : kNone;
  }
  const auto entry = [](uint32_t rank, uint32_t place) { return static_cast<uint64_t>(rank) << 32 | place; };
  for (uint32_t i = 0; i + 1 < size; ++i) {
    const uint32_t rank = merges_.find(ids[i], ids[i + 1]).rank;
    if (rank != MergeTable::kNoRank) heap.push_back(entry(rank, i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push = [&](uint32_t place) {
    const uint32_t rank = merges_.find(ids[place], ids[next[place]]).rank;
    if (rank == MergeTable::kNoRank) return;
    heap.push_back(entry(rank, place));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    const auto place = static_cast<uint32_t>(heap.back());
    heap.pop_back();
    if (ids[place] < 0 || next[place] == kNone) continue;
    const uint32_t right = next[place];
    const MergeTable::Merge merge = merges_.find(ids[place], ids[right]);
    if (merge.rank != rank) continue;
    ids[place] = merge.id;
    ids[right] = -1;
    next[place] = next[right];
    if (next[place] != kNone) previous[next[place]] = place;
    if (previous[place] != kNone) push(previous[place]);
    if (next[place] != kNone) push(place);
  }
  for (uint32_t i = 0; i != kNone; i = next[i]) out.push_back(ids[i]);
}

}  // namespace minimax::tokenizer
