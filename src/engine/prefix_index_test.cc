#include "engine/prefix_index.h"

#include <array>

#include <gtest/gtest.h>

namespace minimax::engine {
namespace {

using Tokens = std::array<executor::TokenId, 2>;

BlockContent content(const BlockHash& before, const Tokens& tokens) {
  return {before, hash_block(before, tokens), tokens};
}

TEST(PrefixIndex, FindsABlockOnlyAfterTheSameTokensAndSalt) {
  PrefixIndex index(4, 2);
  const BlockHash start = hash_salt("");
  const Tokens first{1, 2}, second{3, 4};
  const BlockContent a = content(start, first), b = content(a.hash, second);
  index.insert(a, 0);
  index.insert(b, 1);
  EXPECT_EQ(index.find(a), 0);
  EXPECT_EQ(index.find(b), 1);
  EXPECT_FALSE(index.find(content(start, second)));
  EXPECT_FALSE(index.find(content(hash_salt("tenant"), first)));
}

TEST(PrefixIndex, AForgottenBlockIsFoundNoMore) {
  PrefixIndex index(4, 2);
  const Tokens tokens{1, 2};
  const BlockContent a = content(hash_salt(""), tokens);
  index.insert(a, 3);
  index.forget(3);
  EXPECT_FALSE(index.find(a));
  index.insert(a, 2);
  EXPECT_EQ(index.find(a), 2);
  index.clear();
  EXPECT_FALSE(index.find(a));
  EXPECT_EQ(index.size(), 0u);
}

TEST(PrefixIndex, TheFirstOfTwoEqualBlocksStays) {
  PrefixIndex index(4, 2);
  const Tokens tokens{1, 2};
  const BlockContent a = content(hash_salt(""), tokens);
  index.insert(a, 0);
  index.insert(a, 1);
  EXPECT_EQ(index.find(a), 0);
  index.forget(1);
  EXPECT_EQ(index.find(a), 0);
}

// Two contents that the index is told have one hash.
TEST(PrefixIndex, ACollisionCostsAHitAndNeverGivesAWrongBlock) {
  PrefixIndex index(4, 2);
  const BlockHash start = hash_salt(""), other = hash_salt("other"), same{1, 1};
  const Tokens first{1, 2}, second{3, 4};
  index.insert({start, same, first}, 0);
  EXPECT_FALSE(index.find({start, same, second}));
  EXPECT_FALSE(index.find({other, same, first}));
  index.insert({start, same, second}, 1);
  EXPECT_EQ(index.find({start, same, first}), 0);
  EXPECT_FALSE(index.find({start, same, second}));
}

TEST(BlockHash, DependsOnOrderLengthAndSalt) {
  const BlockHash start = hash_salt("");
  const Tokens ab{1, 2}, ba{2, 1};
  EXPECT_FALSE(hash_block(start, ab) == hash_block(start, ba));
  EXPECT_FALSE(hash_salt("a") == hash_salt("b"));
  EXPECT_FALSE(hash_salt("") == hash_salt(std::string_view("\0", 1)));
}

}  // namespace
}  // namespace minimax::engine
