#include "engine/block_manager.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace minimax::engine {
namespace {

TEST(BlockManager, BlocksComeBackInOrderOfLastUse) {
  BlockManager blocks(3);
  const BlockId a = blocks.take(), b = blocks.take(), c = blocks.take();
  EXPECT_EQ(blocks.free_count(), 0);
  blocks.release(b);
  blocks.release(c);
  blocks.release(a);
  EXPECT_EQ(blocks.take(), b);
  EXPECT_EQ(blocks.take(), c);
  EXPECT_EQ(blocks.take(), a);
  blocks.check_consistency();
}

TEST(BlockManager, ABlockIsFreeOnlyAfterItsLastReference) {
  BlockManager blocks(2);
  const BlockId a = blocks.take();
  blocks.share(a);
  blocks.release(a);
  EXPECT_EQ(blocks.references(a), 1);
  EXPECT_EQ(blocks.free_count(), 1);
  blocks.release(a);
  EXPECT_EQ(blocks.free_count(), 2);
  blocks.check_consistency();
}

TEST(BlockManager, AFreeBlockCanBeSharedAgainFromTheMiddleOfTheList) {
  BlockManager blocks(3);
  const BlockId a = blocks.take(), b = blocks.take(), c = blocks.take();
  for (const BlockId block : {a, b, c}) blocks.release(block);
  blocks.share(b);
  EXPECT_EQ(blocks.references(b), 1);
  blocks.check_consistency();
  EXPECT_EQ(blocks.take(), a);
  EXPECT_EQ(blocks.take(), c);
  EXPECT_EQ(blocks.free_count(), 0);
}

TEST(BlockManager, RandomUseKeepsListAndCountsConsistent) {
  std::mt19937 rng(7);
  BlockManager blocks(13);
  std::vector<BlockId> held;
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t choice = rng() % 3;
    if (choice == 0 && blocks.free_count() > 0) {
      held.push_back(blocks.take());
    } else if (choice == 1 && held.size() < 40) {
      const auto block = static_cast<BlockId>(rng() % 13);
      blocks.share(block);
      held.push_back(block);
    } else if (choice == 2 && !held.empty()) {
      std::swap(held[rng() % held.size()], held.back());
      blocks.release(held.back());
      held.pop_back();
    }
    blocks.check_consistency();
    for (BlockId block = 0; block < 13; ++block)
      ASSERT_EQ(blocks.references(block), std::ranges::count(held, block));
  }
}

TEST(BlockManagerDeathTest, MisuseEndsTheProcess) {
  BlockManager blocks(1);
  EXPECT_DEATH(blocks.release(0), "references");
  EXPECT_DEATH(blocks.share(1), "total");
  blocks.take();
  EXPECT_DEATH(blocks.take(), "free_count_");
}

}  // namespace
}  // namespace minimax::engine
