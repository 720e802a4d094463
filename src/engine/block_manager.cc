#include "engine/block_manager.h"

#include "base/check.h"

namespace minimax::engine {

BlockManager::BlockManager(int32_t block_count)
    : nodes_(static_cast<size_t>(block_count) + 1), free_count_(block_count) {
  CHECK_GT(block_count, 0);
  for (int32_t i = 0; i <= block_count; ++i) {
    nodes_[static_cast<size_t>(i)].next = i == block_count ? 0 : i + 1;
    nodes_[static_cast<size_t>(i)].previous = i == 0 ? block_count : i - 1;
  }
}

size_t BlockManager::index(BlockId block) const {
  CHECK(block >= 0 && block < total());
  return static_cast<size_t>(block);
}

void BlockManager::unlink(int32_t node) {
  const Node& self = nodes_[static_cast<size_t>(node)];
  nodes_[static_cast<size_t>(self.previous)].next = self.next;
  nodes_[static_cast<size_t>(self.next)].previous = self.previous;
  --free_count_;
}

BlockId BlockManager::take() {
  CHECK_GT(free_count_, 0);
  const BlockId block = nodes_.back().next;
  unlink(block);
  nodes_[index(block)].references = 1;
  return block;
}

void BlockManager::share(BlockId block) {
  Node& node = nodes_[index(block)];
  if (node.references++ == 0) unlink(block);
}

void BlockManager::release(BlockId block) {
  Node& node = nodes_[index(block)];
  CHECK_GT(node.references, 0);
  if (--node.references > 0) return;
  const int32_t head = total();
  node.next = head;
  node.previous = nodes_.back().previous;
  nodes_[static_cast<size_t>(node.previous)].next = block;
  nodes_.back().previous = block;
  ++free_count_;
}

void BlockManager::check_consistency() const {
  int32_t seen = 0;
  for (int32_t node = nodes_.back().next; node != total(); node = nodes_[static_cast<size_t>(node)].next) {
    CHECK_EQ(nodes_[static_cast<size_t>(node)].references, 0);
    CHECK_EQ(nodes_[static_cast<size_t>(nodes_[static_cast<size_t>(node)].next)].previous, node);
    ++seen;
  }
  CHECK_EQ(seen, free_count_);
  int32_t referenced = 0;
  for (int32_t block = 0; block < total(); ++block)
    referenced += nodes_[static_cast<size_t>(block)].references > 0;
  CHECK_EQ(referenced, used_count());
}

}  // namespace minimax::engine
