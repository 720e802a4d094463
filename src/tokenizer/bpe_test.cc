#include "tokenizer/bpe.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace minimax::tokenizer {
namespace {

using Merges = std::map<std::pair<TokenId, TokenId>, MergeTable::Merge>;

std::array<TokenId, 256> byte_values() {
  std::array<TokenId, 256> ids{};
  for (size_t byte = 0; byte < ids.size(); ++byte) ids[byte] = static_cast<TokenId>(byte);
  return ids;
}

MergeTable table(const Merges& merges) {
  MergeTable table(merges.size());
  for (const auto& [pair, merge] : merges) table.add(pair.first, pair.second, merge);
  return table;
}

// By the definition, quadratic: the lowest rank, the leftmost of equals, until none is left.
std::vector<TokenId> merged_by_definition(const Merges& merges, std::string_view piece) {
  std::vector<TokenId> ids(piece.begin(), piece.end());
  while (true) {
    size_t at = ids.size();
    MergeTable::Merge lowest;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto merge = merges.find({ids[i], ids[i + 1]});
      if (merge == merges.end() || merge->second.rank >= lowest.rank) continue;
      lowest = merge->second;
      at = i;
    }
    if (at == ids.size()) return ids;
    ids[at] = lowest.id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

// Merges of random tokens made before, over three letters. Shuffled ranks are what no training writes; so are
// tokens made twice.
Merges random_merges(std::mt19937& random, size_t count, bool shuffled, bool made_twice) {
  std::vector<TokenId> tokens = {'a', 'b', 'c'};
  std::vector<uint32_t> ranks(count);
  for (size_t i = 0; i < count; ++i) ranks[i] = static_cast<uint32_t>(i * 5);
  if (shuffled) std::shuffle(ranks.begin(), ranks.end(), random);
  Merges merges;
  for (size_t i = 0; i < count; ++i) {
    const TokenId left = tokens[random() % tokens.size()];
    const TokenId right = random() % 4 == 0 ? left : tokens[random() % tokens.size()];
    TokenId made = static_cast<TokenId>(1000 + i);
    if (made_twice && random() % 3 == 0 && tokens.size() > 3)
      made = tokens[3 + random() % (tokens.size() - 3)];
    if (!merges.try_emplace({left, right}, MergeTable::Merge{ranks[i], made}).second) continue;
    tokens.push_back(made);
  }
  return merges;
}

TEST(Bpe, PiecesOfEveryLengthMergeAsTheDefinitionSays) {
  std::mt19937 random(11);
  int ascending = 0;
  for (int round = 0; round < 400; ++round) {
    const bool shuffled = round % 4 == 1, made_twice = round % 4 == 2;
    const Merges merges = random_merges(random, 3 + random() % 60, shuffled, made_twice);
    ascending += table(merges).ascending() ? 1 : 0;
    EXPECT_TRUE(shuffled || made_twice || table(merges).ascending());
    const Bpe bpe(byte_values(), table(merges));
    Bpe::Scratch scratch;
    for (const size_t length : {0, 1, 2, 7, 47, 48, 49, 50, 130, 300}) {
      std::string piece;
      while (piece.size() < length) piece.append(1 + random() % 9, "abcd"[random() % 4]);
      piece.resize(length);
      std::vector<TokenId> ids = {-7};  // what stands before is left alone
      bpe.encode(piece, scratch, ids);
      std::vector<TokenId> expected = merged_by_definition(merges, piece);
      expected.insert(expected.begin(), -7);
      EXPECT_EQ(ids, expected) << "round " << round << ", " << piece;
    }
  }
  EXPECT_GT(ascending, 199);  // both queues were used
  EXPECT_LT(ascending, 400);
}

TEST(MergeTable, TellsMergesThatNeverGoBack) {
  EXPECT_TRUE(table({}).ascending());
  EXPECT_TRUE(table({{{'a', 'b'}, {0, 300}}, {{300, 'c'}, {1, 301}}}).ascending());
  EXPECT_FALSE(table({{{'a', 'b'}, {1, 300}}, {{300, 'c'}, {0, 301}}}).ascending());
  EXPECT_FALSE(table({{{'a', 'b'}, {0, 300}}, {{300, 'c'}, {1, 301}}, {{'b', 'c'}, {2, 300}}}).ascending());
  // Two ways to one token do no harm until it merges with itself.
  const Merges two_ways = {
      {{'a', 'b'}, {0, 300}}, {{300, 'c'}, {1, 302}}, {{'b', 'c'}, {2, 301}}, {{'a', 301}, {3, 302}}};
  EXPECT_TRUE(table(two_ways).ascending());
  Merges with_itself = two_ways;
  with_itself[{302, 302}] = {4, 303};
  EXPECT_FALSE(table(with_itself).ascending());
}

}  // namespace
}  // namespace minimax::tokenizer
