#pragma once
// Who holds which KV block: reference counts, and a free list in order of last use. A free block keeps its
// content until it is taken, so the prefix index can hand it out again. Pure bookkeeping; one thread.

#include <cstdint>
#include <vector>

#include "executor/step.h"

namespace minimax::engine {

using executor::BlockId;

class BlockManager {
 public:
  explicit BlockManager(int32_t block_count);

  int32_t total() const { return static_cast<int32_t>(nodes_.size()) - 1; }
  int32_t free_count() const { return free_count_; }
  int32_t used_count() const { return total() - free_count_; }
  int32_t references(BlockId block) const { return nodes_[index(block)].references; }

  // The block unused for longest, with one reference. REQUIRES: free_count() > 0.
  BlockId take();
  // One more reference; a free block leaves the free list with its content.
  void share(BlockId block);
  // One reference less; at zero the block joins the free list as the most recently used.
  void release(BlockId block);

  // For tests: walks the free list and CHECKs that it and the counts agree.
  void check_consistency() const;

 private:
  // Doubly linked through indices; node total() is the head of the ring.
  struct Node {
    int32_t references = 0;
    int32_t previous = 0, next = 0;
  };
  size_t index(BlockId block) const;
  void unlink(int32_t node);

  std::vector<Node> nodes_;
  int32_t free_count_ = 0;
};

}  // namespace minimax::engine
