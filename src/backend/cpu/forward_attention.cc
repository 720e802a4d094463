// The attention of a step: which (rows, KV head) pairs there are, and how they are shared out. Which thread
// takes which piece changes no bit: a split's partial softmax depends on positions only, and splits are
// merged in ascending order, whether one thread runs through them or several compute them first.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "backend/cpu/forward.h"
#include "base/check.h"

namespace minimax::backend::cpu {

void Forward::init_attention(int32_t context_tokens_max) {
  CHECK_EQ(share_.q_heads.size() % share_.kv_heads.size(), 0);
  heads_per_kv_ = static_cast<int32_t>(share_.q_heads.size() / share_.kv_heads.size());
  attention_scratch_stride_ = attention_scratch_floats(heads_per_kv_) + 2 * state_stride();
  if (kv_.dtype() == common::KvDtype::kFp8)
    widened_tiles_ = HostBuffer<uint16_t>(threads_.size() * widened_tile_values(shape_.head_dim), "scratch");
  attention_scratch_ = HostBuffer<float>(threads_.size() * attention_scratch_stride_, "scratch");
  const int64_t splits_max = (context_tokens_max + kKeySplit - 1) / kKeySplit;
  split_states_ = HostBuffer<float>(2 * threads_.size() * splits_max * state_stride(), "attention states");
}

int32_t Forward::splits_of(const AttentionItem& item) const {
  const int32_t keys = positions_[static_cast<size_t>(item.row + item.rows - 1)] + 1;
  return (keys + kKeySplit - 1) / kKeySplit;
}

void Forward::plan_attention() {
  attention_items_.clear();
  int32_t splits = 1;
  for (size_t s = 0; s < step_.sequences.size(); ++s) {
    const executor::SequenceRows& sequence = step_.sequences[s];
    for (int32_t i = 0; i < sequence.row_count; i += kAttentionRows) {
      AttentionItem item;
      item.sequence = static_cast<int32_t>(s);
      item.row = sequence.row_begin + i;
      item.rows = std::min(kAttentionRows, sequence.row_count - i);
      for (item.kv_head = 0; item.kv_head < share_.kv_heads.size(); ++item.kv_head)
        attention_items_.push_back(item);
      splits = std::max(splits, splits_of(item));
    }
  }
  const bool too_few = static_cast<int32_t>(attention_items_.size()) <= 2 * threads_.size();
  splits_ = too_few && splits > 1 && threads_.size() > 1 ? splits : 0;
  // The longest first: what is left at the end is short.
  std::stable_sort(
      attention_items_.begin(), attention_items_.end(),
      [&](const AttentionItem& a, const AttentionItem& b) { return splits_of(a) > splits_of(b); });
}

void Forward::write_kv() {
  const int64_t first = share_.kv_heads.begin * shape_.head_dim;
  const int64_t width = share_.kv_heads.size() * shape_.head_dim;
  threads_.run(
      rows_, grain(rows_, 2.0 * static_cast<double>(width)), [&](int64_t begin, int64_t end, int32_t) {
        for (int64_t row = begin; row < end; ++row) {
          const executor::SequenceRows& sequence =
              step_.sequences[static_cast<size_t>(sequence_of_[static_cast<size_t>(row)])];
          const int32_t position = positions_[static_cast<size_t>(row)];
          const auto entry = static_cast<size_t>(sequence.block_begin + position / kv_.block_tokens());
          kv_.write(layer_, step_.block_table[entry], position % kv_.block_tokens(), k_.row(row) + first,
                    v_.row(row) + first);
        }
      });
}

AttentionTask Forward::attention_task(const AttentionItem& item, int32_t split, float* state,
                                      int32_t thread) const {
  const executor::SequenceRows& sequence = step_.sequences[static_cast<size_t>(item.sequence)];
  const int32_t first = positions_[static_cast<size_t>(item.row)];
  return {
      .q =
          q_.row(item.row) + (share_.q_heads.begin + int64_t{item.kv_head} * heads_per_kv_) * shape_.head_dim,
      .q_stride = q_.stride,
      .rows = item.rows,
      .heads = heads_per_kv_,
      .head_dim = shape_.head_dim,
      .first_position = first,
      .key_begin = split * kKeySplit,
      .key_end = std::min((split + 1) * kKeySplit, first + item.rows),
      .scale_log2 = static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(shape_.head_dim))),
      .pool = kv_.base(layer_, item.kv_head),
      .fp8 = kv_.dtype() == common::KvDtype::kFp8,
      .block_stride = kv_.block_stride(),
      .block_table = step_.block_table.data() + sequence.block_begin,
      .block_tokens = kv_.block_tokens(),
      .state = state,
      .scratch = attention_scratch_.data() + thread * attention_scratch_stride_,
      .widened = widened_tiles_.data() + thread * widened_tile_values(shape_.head_dim)};
}

void Forward::attend() {
  for (const executor::SequenceRows& sequence : step_.sequences)
    bytes_read_ +=
        int64_t{sequence.first_position + sequence.row_count} * share_.kv_heads.size() * kv_.position_bytes();
  const auto items = static_cast<int64_t>(attention_items_.size());
  if (splits_ == 0) {
    // By the first item, the longest: where they differ much there are few, and pieces are small.
    const AttentionItem& longest = attention_items_.front();
    const int32_t keys = positions_[static_cast<size_t>(longest.row)] + 1;
    const double ns = 0.08 * longest.rows * heads_per_kv_ * shape_.head_dim * keys;
    threads_.run(items, grain(items, ns), [&](int64_t begin, int64_t end, int32_t thread) {
      for (int64_t i = begin; i < end; ++i)
        attend_all_splits(attention_items_[static_cast<size_t>(i)], thread);
    });
    return;
  }
  threads_.run(items * splits_, 1, [&](int64_t begin, int64_t end, int32_t thread) {
    for (int64_t i = begin; i < end; ++i) {
      const AttentionItem& item = attention_items_[static_cast<size_t>(i / splits_)];
      const auto split = static_cast<int32_t>(i % splits_);
      if (split >= splits_of(item)) continue;
      kernels_.attention(attention_task(item, split, split_states_.data() + i * state_stride(), thread));
    }
  });
  threads_.run(items, 1, [&](int64_t begin, int64_t end, int32_t thread) {
    for (int64_t i = begin; i < end; ++i) merge_splits(i, thread);
  });
}

// An empty state: nothing seen.
static void clear_states(float* states, int64_t count, int64_t floats) {
  std::fill(states, states + count * floats, 0.0f);
  for (int64_t i = 0; i < count; ++i) states[i * floats] = -std::numeric_limits<float>::infinity();
}

void Forward::attend_all_splits(const AttentionItem& item, int32_t thread) {
  float* const scratch = attention_scratch_.data() + thread * attention_scratch_stride_;
  float* const part = scratch + attention_scratch_floats(heads_per_kv_);
  float* const whole = part + state_stride();
  const int64_t floats = state_floats(shape_.head_dim);
  const int64_t states = int64_t{item.rows} * heads_per_kv_;
  clear_states(whole, states, floats);
  for (int32_t split = 0; split < splits_of(item); ++split) {
    kernels_.attention(attention_task(item, split, part, thread));
    for (int64_t i = 0; i < states; ++i)
      kernels_.merge_attention(whole + i * floats, part + i * floats, shape_.head_dim);
  }
  finish_item(item, whole);
}

void Forward::merge_splits(int64_t item_idx, int32_t thread) {
  const AttentionItem& item = attention_items_[static_cast<size_t>(item_idx)];
  float* const whole = attention_scratch_.data() + thread * attention_scratch_stride_;
  const int64_t floats = state_floats(shape_.head_dim);
  const int64_t states = int64_t{item.rows} * heads_per_kv_;
  clear_states(whole, states, floats);
  for (int32_t split = 0; split < splits_of(item); ++split) {
    const float* const part = split_states_.data() + (item_idx * splits_ + split) * state_stride();
    for (int64_t i = 0; i < states; ++i)
      kernels_.merge_attention(whole + i * floats, part + i * floats, shape_.head_dim);
  }
  finish_item(item, whole);
}

void Forward::finish_item(const AttentionItem& item, const float* states) {
  for (int32_t row = 0; row < item.rows; ++row) {
    for (int32_t head = 0; head < heads_per_kv_; ++head) {
      const int64_t at = share_.q_heads.begin + int64_t{item.kv_head} * heads_per_kv_ + head;
      kernels_.finish_attention(states, shape_.head_dim, attn_.row(item.row + row) + at * shape_.head_dim);
      states += state_floats(shape_.head_dim);
    }
  }
}

}  // namespace minimax::backend::cpu
