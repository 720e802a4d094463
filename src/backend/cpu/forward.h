#pragma once
// The layer sequence of the MiniMax-M2 family on the CPU kernels. What is rounded where: docs/numerics.md,
// the same points as backend/ref; sums run in f32 in the fixed orders of kernels.h instead of f64.

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "backend/common/host_buffer.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/kv.h"
#include "backend/cpu/ranks.h"
#include "backend/cpu/thread_pool.h"
#include "backend/cpu/weights.h"
#include "executor/step.h"
#include "model/taps.h"

namespace minimax::backend::cpu {

using common::HostBuffer;

// The rows of one step, every token known.
struct StepRows {
  std::span<const executor::TokenId> tokens;          // [rows]
  std::span<const executor::SequenceRows> sequences;  // cover the rows
  std::span<const executor::BlockId> block_table;
};

// Borrows all it is given. Threads: one caller at a time, which works in the pool too. Of several ranks each
// has a Forward, and all make the same calls; those of other replicas with rows of their own, or none.
class Forward {
 public:
  struct Parts {
    const Weights& weights;
    const KvPool& kv;
    const Kernels& kernels;
    ThreadPool& threads;
  };
  // rows_max: rows of a step; the experts have those of all replicas at once. Buffers are reserved for it,
  // and touched only as far as steps need.
  Forward(const Parts& parts, int32_t rows_max, int32_t context_tokens_max);
  // One rank's share; parts.kv has its KV heads.
  Forward(const Parts& parts, Share share, int32_t rows_max, int32_t context_tokens_max);

  // Writes K and V of the rows and leaves their final hidden states.
  void run(const StepRows& step);

  // Logits [rows, out_stride] f32 of rows of the last run(), ids [0, vocab_count). REQUIRES: rows.size() at
  // most the step's rows.
  void logits(std::span<const int32_t> rows, int32_t vocab_count, float* out, int64_t out_stride);

  // The pieces of run(), for tests that feed a layer by hand: prepare, then write hidden(row), then layer.
  void prepare(const StepRows& step);
  uint16_t* hidden(int32_t row) { return h_.row(row); }  // [hidden] bf16
  void layer(int32_t n);

  // Called at every tap, in the order of the layer; nullptr: none. REQUIRES: one rank.
  void set_taps(model::TapSink* sink);

  int64_t buffer_bytes() const;

  // Weights (each once) and K and V (once a sequence) that the last run() and the logits() after it read.
  int64_t bytes_read() const { return bytes_read_; }

 private:
  // bf16 rows at a stride padded for the kernels.
  struct Rows {
    HostBuffer<uint16_t> buffer;
    int64_t width = 0;
    int64_t stride = 0;
    Rows() = default;
    Rows(int64_t rows, int64_t row_width, const char* what)
        : buffer(rows * round_up(row_width, kRowAlign), what),
          width(row_width),
          stride(round_up(row_width, kRowAlign)) {}
    uint16_t* row(int64_t i) const { return buffer.data() + i * stride; }
  };
  // The input of a linear: bf16, or with w8a8 its quantised form.
  struct Input {
    const Rows* rows = nullptr;
    const float* scales = nullptr;
  };
  struct AttentionItem {
    int32_t sequence = 0;
    int32_t row = 0;  // of the step
    int32_t rows = 0;
    int32_t kv_head = 0;  // of the KV pool: the first of the share is 0
  };
  static constexpr int32_t kAttentionRows = 8;  // of one item: they share the keys in the cache
  // Rows grouped by expert: part = row * experts_per_token + slot.
  struct ExpertRows {
    int32_t expert = 0;
    int32_t begin = 0;  // into part_rows_ and parts_
    int32_t count = 0;
  };

  // forward.cc
  void attention_block(const LayerWeights& weights);
  void experts_block(const LayerWeights& weights);
  // The rows of the step, into those of `out` from out_begin on.
  void norm(const Rows& x, const std::vector<float>& weight, const Rows& out, int64_t out_begin = 0);
  void add_to_hidden(std::string_view tap_name);
  Input quantised(const Rows& x, const Rows& grid, const HostBuffer<float>& scales, int64_t rows);
  LinearTask task_of(const Matrix& weight, const Input& input, const Rows& out) const;
  // Only these rows of the weight, which are columns of its output.
  static LinearTask part_of(LinearTask task, const model::Range& rows);
  static LinearTask heads_of(LinearTask task, const model::Range& heads, int32_t head_dim);
  // All ranks' slices of the rows; nothing to do for one rank.
  comm::Gather slices_of(const Rows& rows, std::span<const comm::Slice> slices, int64_t count) const;
  void gather(std::initializer_list<comm::Gather> buffers);
  void gather_of_all(const comm::Gather& buffer);
  bool has_ranks() const { return share_.ranks > 1; }
  bool has_replicas() const { return share_.replicas > 1; }
  void linear(std::initializer_list<LinearTask> tasks);
  void rotate(const Rows& x, const model::Range& heads);
  void tap(std::string_view name, const Rows& rows);
  void tap(std::string_view name, const Rows& rows, int64_t count);
  void tap_floats(std::string_view name, const float* values, int64_t width);
  int64_t grain(int64_t items, double item_ns) const;
  static double weight_row_ns(const Matrix& weight, int64_t rows);
  uint16_t* linear_scratch(int32_t thread) const {
    return linear_scratch_.data() + thread * linear_scratch_stride_;
  }

  // forward_attention.cc
  void init_attention(int32_t context_tokens_max);
  void plan_attention();
  void write_kv();
  void attend();
  AttentionTask attention_task(const AttentionItem& item, int32_t split, float* state, int32_t thread) const;
  void attend_all_splits(const AttentionItem& item, int32_t thread);
  void merge_splits(int64_t item_idx, int32_t thread);
  void finish_item(const AttentionItem& item, const float* states);
  int32_t splits_of(const AttentionItem& item) const;
  int64_t state_stride() const { return kAttentionRows * heads_per_kv_ * state_floats(shape_.head_dim); }

  // forward_experts.cc
  void agree_on_rows();
  void gather_rows();
  void route(const std::vector<float>& bias);
  void route_row(int64_t row, const std::vector<float>& bias);
  void group_by_expert();
  void run_experts(const LayerWeights& weights);
  void gather_inner();
  void combine();
  void tap_inner();
  void gate_and_up(const ExpertWeights& weights, const ExpertRows& rows, const Input& x, int64_t begin,
                   int64_t end, int32_t thread);

  const Weights& weights_;
  const KvPool& kv_;
  const Kernels& kernels_;
  ThreadPool& threads_;
  const model::ModelShape& shape_;
  Share share_;
  int32_t rows_max_;
  model::TapSink* sink_ = nullptr;
  int32_t layer_ = -1;  // in progress

  // The step.
  StepRows step_;
  int64_t rows_ = 0;
  // The rows that go through the experts together: those of all replicas, in their order. This one's are
  // [wave_begin_, wave_begin_ + rows_).
  int64_t wave_rows_ = 0;
  int64_t wave_begin_ = 0;
  std::vector<int32_t> replica_rows_;       // [replicas]
  std::vector<int32_t> wave_row_replicas_;  // [wave_rows_], kRowNotRead for this one's, which are here
  int64_t bytes_read_ = 0;
  std::vector<int32_t> sequence_of_;  // [rows]
  std::vector<int32_t> positions_;    // [rows]
  HostBuffer<float> cos_, sin_;       // [rows, rotary_dim / 2]
  std::vector<double> frequencies_;
  std::vector<AttentionItem> attention_items_;
  int32_t splits_ = 0;  // of the longest item, if the splits of an item are shared out; 0: they are not

  // Activations.
  Rows h_, q_, k_, v_, attn_, sub_out_;
  Rows x_;  // [rows], before the experts [wave rows]; so its quantised form
  Rows x_grid_, attn_grid_, inner_grid_;
  HostBuffer<float> x_scales_, attn_scales_, inner_scales_;
  Rows gate_, up_, expert_out_;  // [wave rows * experts_per_token]
  HostBuffer<float> router_logits_, router_scores_, expert_weights_;
  std::vector<int32_t> expert_ids_;  // [wave rows, experts_per_token]
  std::vector<ExpertRows> expert_rows_;
  std::vector<int32_t> expert_begin_;
  std::vector<int32_t> parts_;        // grouped by expert
  std::vector<int32_t> part_rows_;    // the row of each
  std::vector<int32_t> part_groups_;  // of several ranks: those that hold each

  // Per thread.
  HostBuffer<uint16_t> linear_scratch_;
  int64_t linear_scratch_stride_ = 0;
  HostBuffer<float> attention_scratch_;
  int64_t attention_scratch_stride_ = 0;
  HostBuffer<uint16_t> widened_tiles_;  // fp8 KV: [threads, widened_tile_values()]
  int32_t heads_per_kv_ = 0;
  HostBuffer<float> split_states_;  // [items, splits_, state_stride()]
  std::vector<float> tap_values_;
};

}  // namespace minimax::backend::cpu
