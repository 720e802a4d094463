#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/check.h"

namespace minimax::tokenizer {
namespace {

// Below this length a scan over the few ranks beats a queue; a word is about 6 bytes.
constexpr size_t kShortPieceBytes = 48;
constexpr uint32_t kNone = UINT32_MAX;

uint64_t key_of(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

// Eight bits a pair: an eighth of the pairs that do not merge pass.
MergeTable::MergeTable(size_t count)
    : cells_(std::bit_ceil(std::max<size_t>(count * 2, 2))),
      mask_(cells_.size() - 1),
      filter_(std::max<size_t>(std::bit_ceil(count) / 8, 1)),
      filter_mask_(filter_.size() - 1) {}

uint64_t MergeTable::hash_of(uint64_t key) {
  // The finalizer of splitmix64 (Steele, Lea, Flood 2014).
  uint64_t hash = key;
  hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9;
  hash = (hash ^ hash >> 27) * 0x94D049BB133111EB;
  return hash ^ hash >> 31;
}

size_t MergeTable::cell_of(uint64_t key, uint64_t hash) const {
  size_t cell = hash & mask_;  // linear probing from there
  while (cells_[cell].key != key && cells_[cell].key != kEmpty) cell = (cell + 1) & mask_;
  return cell;
}

void MergeTable::add(TokenId left, TokenId right, Merge merge) {
  CHECK(left >= 0 && right >= 0);
  const uint64_t key = key_of(left, right), hash = hash_of(key);
  cells_[cell_of(key, hash)] = {key, merge};
  filter_[hash >> 38 & filter_mask_] |= uint64_t{1} << (hash >> 32 & 63);
}

MergeTable::Merge MergeTable::find(TokenId left, TokenId right) const {
  const uint64_t key = key_of(left, right), hash = hash_of(key);
  if ((filter_[hash >> 38 & filter_mask_] >> (hash >> 32 & 63) & 1) == 0) return {};
  return cells_[cell_of(key, hash)].merge;
}

bool MergeTable::ascending() const {
  struct Maker {
    int64_t rank = -1;
    int count = 0;
  };
  std::vector<Maker> makers;  // by id
  const auto maker = [&](TokenId id) -> Maker& {
    if (static_cast<size_t>(id) >= makers.size()) makers.resize(static_cast<size_t>(id) + 1);
    return makers[static_cast<size_t>(id)];
  };
  for (const Cell& cell : cells_) {
    if (cell.key == kEmpty) continue;
    Maker& one = maker(cell.merge.id);
    one.rank = std::max<int64_t>(one.rank, cell.merge.rank);
    ++one.count;
  }
  return std::all_of(cells_.begin(), cells_.end(), [&](const Cell& cell) {
    if (cell.key == kEmpty) return true;
    const Maker left = maker(static_cast<TokenId>(cell.key >> 32));
    const Maker right = maker(static_cast<TokenId>(cell.key & UINT32_MAX));
    const bool twice_one_token = cell.key >> 32 == (cell.key & UINT32_MAX);
    return std::max(left.rank, right.rank) < cell.merge.rank && !(twice_one_token && left.count > 1);
  });
}

namespace {

// Places by rank, then by place.
class HeapQueue {
 public:
  explicit HeapQueue(std::vector<uint64_t>& heap) : heap_(heap) { heap_.clear(); }

  void push(Bpe::Entry entry) {
    heap_.push_back(static_cast<uint64_t>(entry.rank) << 32 | entry.place);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  bool pop(Bpe::Entry& entry) {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    entry = {static_cast<uint32_t>(heap_.back() >> 32), static_cast<uint32_t>(heap_.back())};
    heap_.pop_back();
    return true;
  }

 private:
  std::vector<uint64_t>& heap_;
};

// Places by rank, those of one rank in the order they came, if no rank is pushed below the last one popped: a
// radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990). Bucket b holds the ranks whose highest bit unlike the
// last rank's is bit b - 1; an entry only moves down, so it costs at most as many moves as a rank has bits.
class RadixQueue {
 public:
  explicit RadixQueue(std::array<std::vector<Bpe::Entry>, 33>& buckets) : buckets_(buckets) {
    for (std::vector<Bpe::Entry>& bucket : buckets_) bucket.clear();
  }

  void push(Bpe::Entry entry) {
    buckets_[static_cast<size_t>(std::bit_width(entry.rank ^ last_))].push_back(entry);
  }
  bool pop(Bpe::Entry& entry) {
    if (at_ == buckets_[0].size()) {
      buckets_[0].clear();
      at_ = 0;
      const auto first =
          std::find_if(buckets_.begin(), buckets_.end(), [](const auto& bucket) { return !bucket.empty(); });
      if (first == buckets_.end()) return false;
      last_ = std::min_element(first->begin(), first->end(), [](Bpe::Entry a, Bpe::Entry b) {
                return a.rank < b.rank;
              })->rank;
      for (const Bpe::Entry one : *first) push(one);  // all into lower buckets
      first->clear();
    }
    entry = buckets_[0][at_++];
    return true;
  }

 private:
  std::array<std::vector<Bpe::Entry>, 33>& buckets_;
  uint32_t last_ = 0;
  size_t at_ = 0;  // in bucket 0
};

}  // namespace

Bpe::Bpe(const std::array<TokenId, 256>& byte_ids, MergeTable merges)
    : byte_ids_(byte_ids), merges_(std::move(merges)), ascending_(merges_.ascending()) {
  of_bytes_.reserve(size_t{256} * 256);
  for (const TokenId left : byte_ids_) {
    for (const TokenId right : byte_ids_) of_bytes_.push_back(merges_.find(left, right));
  }
}

void Bpe::encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  CHECK_LT(piece.size(), size_t{kNone});
  if (piece.size() <= kShortPieceBytes) {
    encode_short(piece, out);
  } else if (ascending_) {
    encode_long(piece, RadixQueue(scratch.buckets), scratch, out);
  } else {
    encode_long(piece, HeapQueue(scratch.heap), scratch, out);
  }
}

void Bpe::encode_short(std::string_view piece, std::vector<TokenId>& out) const {
  std::array<TokenId, kShortPieceBytes> ids, merged;  // of the pair (i, i + 1): the id it makes
  std::array<uint32_t, kShortPieceBytes> ranks;       // and its rank
  size_t count = piece.size();
  const auto look = [&](size_t i) {
    const MergeTable::Merge merge = merges_.find(ids[i], ids[i + 1]);
    ranks[i] = merge.rank;
    merged[i] = merge.id;
  };
  for (size_t i = 0; i < count; ++i) ids[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  for (size_t i = 0; i + 1 < count; ++i) {
    const MergeTable::Merge merge = of_bytes(piece[i], piece[i + 1]);
    ranks[i] = merge.rank;
    merged[i] = merge.id;
  }
  while (count > 1) {
    uint32_t lowest = MergeTable::kNoRank;
    for (size_t i = 0; i + 1 < count; ++i) lowest = std::min(lowest, ranks[i]);
    if (lowest == MergeTable::kNoRank) break;
    size_t at = 0;  // the first of equals
    while (ranks[at] != lowest) ++at;
    ids[at] = merged[at];
    for (size_t i = at + 1; i + 1 < count; ++i) {
      ids[i] = ids[i + 1];
      ranks[i] = ranks[i + 1];
      merged[i] = merged[i + 1];
    }
    --count;
    if (at > 0) look(at - 1);
    if (at + 1 < count) look(at);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
}

// A linked list of symbols and a queue of places by rank. An entry whose pair has changed since is skipped:
// borders only ever vanish, so a place whose pair has the entry's rank still has the entry's pair.
template <typename Queue>
void Bpe::encode_long(std::string_view piece, Queue queue, Scratch& scratch,
                      std::vector<TokenId>& out) const {
  const auto size = static_cast<uint32_t>(piece.size());
  std::vector<TokenId>& ids = scratch.ids;                  // by byte position
  std::vector<MergeTable::Merge>& merges = scratch.merges;  // of the pair that begins at a place
  std::vector<uint32_t>&next = scratch.next, &previous = scratch.previous;
  ids.resize(size);
  merges.resize(size);
  next.resize(size);
  previous.resize(size);
  for (uint32_t i = 0; i < size; ++i) {
    ids[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
    next[i] = i + 1 < size ? i + 1 : kNone;
    previous[i] = i > 0 ? i - 1 : kNone;
    merges[i] = i + 1 < size ? of_bytes(piece[i], piece[i + 1]) : MergeTable::Merge{};
    if (merges[i].rank != MergeTable::kNoRank) queue.push({merges[i].rank, i});
  }
  const auto look = [&](uint32_t place) {
    merges[place] = next[place] != kNone ? merges_.find(ids[place], ids[next[place]]) : MergeTable::Merge{};
    if (merges[place].rank != MergeTable::kNoRank) queue.push({merges[place].rank, place});
  };
  for (Entry entry; queue.pop(entry);) {
    const uint32_t place = entry.place;
    if (merges[place].rank != entry.rank) continue;
    const uint32_t right = next[place];
    ids[place] = merges[place].id;
    merges[right] = {};  // the symbol is gone
    next[place] = next[right];
    if (next[place] != kNone) previous[next[place]] = place;
    if (previous[place] != kNone) look(previous[place]);
    look(place);
  }
  for (uint32_t i = 0; i != kNone; i = next[i]) out.push_back(ids[i]);
}

}  // namespace minimax::tokenizer
