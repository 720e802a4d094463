#pragma once
// Which part of every tensor a rank holds, as data: pure functions of shape, layout and rank. Positions are
// absolute, in elements of the checkpoint's tensor, so that the fp8 scale of an element is found by its
// absolute block wherever the cut goes: an eighth of 1536 expert rows is 192, one block and a half.

#include <cstdint>

#include "model/config.h"
#include "model/tensors.h"

namespace minimax::model {

// tp ranks form one replica: they share its attention by heads, its embedding and head by vocabulary rows.
// dp replicas hold the same. Experts:
//   ep 1   every replica slices each of its experts over its tp ranks (gate and up by rows, down by columns);
//   ep > 1 all tp * dp ranks form ep groups of tp * dp / ep ranks; a group holds whole experts, a contiguous
//          range, and slices each over its ranks. vLLM's --enable-expert-parallel is ep = tp * dp.
struct ParallelLayout {
  int32_t tp = 1;
  int32_t dp = 1;
  int32_t ep = 1;

  int32_t ranks() const { return tp * dp; }
  int32_t ranks_per_expert() const { return ep == 1 ? tp : ranks() / ep; }
  bool operator==(const ParallelLayout&) const = default;
};

// Throws Error unless the layout divides what it must: heads, expert width, ranks over expert groups. Names
// the nearest tensor parallel sizes that work.
void check_layout(const ModelShape& shape, const ParallelLayout& layout);

struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool contains(int64_t i) const { return i >= begin && i < end; }
  bool operator==(const Range&) const = default;
};

// Rows and columns of a tensor; one of one dimension is a column, [n, 1]. Either all elements or none are
// held if a range is empty.
struct Box {
  Range rows;
  Range cols;
  int64_t elements() const { return rows.size() * cols.size(); }
  bool operator==(const Box&) const = default;
};

// Heads and experts of a rank, for those who do not think in tensors.
Range q_heads_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank);
// With more ranks than KV heads neighbours hold the same one.
Range kv_heads_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank);
Range experts_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank);
Range expert_width_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank);
Range vocab_rows_of(const ModelShape& shape, const ParallelLayout& layout, int32_t rank);

// REQUIRES: check_layout passed, 0 <= rank < layout.ranks(). For a weight_scale_inv the box counts blocks:
// all that the rank's part of the weight touches, so that neighbours may both hold one.
Box box_of(const TensorSpec& spec, const ModelShape& shape, const ParallelLayout& layout, int32_t rank);

// How many ranks are meant to hold an element of this tensor (for a scale: at least).
int32_t copies_of(const TensorSpec& spec, const ModelShape& shape, const ParallelLayout& layout);

// What one rank holds, as a shape: its heads, its experts and their width, its vocabulary rows. With ep 1 it
// is a decoder that the rank computes if it stands alone; else the router still goes over all experts.
// REQUIRES: check_layout passed.
ModelShape shape_of_rank(const ModelShape& shape, const ParallelLayout& layout, int32_t rank);

}  // namespace minimax::model
