#pragma once
// The layer sequence of the MiniMax-M2 family on the device: docs/numerics.md, the same points as
// backend/ref. All work of a step goes to one stream; nothing is allocated after construction.
//
// A rank of several (peer.h) holds its heads, its width of every expert and its rows of embedding and head.
// Hidden states, routing and logits are whole on every rank, bit for bit the same.
// With expert parallelism (layout.ep > 1) a rank holds whole experts. Replicas (layout.dp > 1) then run their
// steps together: the experts of all ranks work on the rows of all replicas, one list, while everything else
// is the replica's own. A replica without rows takes part.
// A rank alone (layout.tp > 1 and no peers) leaves out what it would exchange: true shapes and bytes for
// timing, meaningless results. Tokens of other ranks' embedding rows get one of its own, other ranks' logits
// are zeros, norms and sums go over its own part.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kv.h"
#include "backend/cuda/peer.h"
#include "backend/cuda/weights.h"
#include "executor/step.h"
#include "model/taps.h"

namespace minimax::backend::cuda {

// The rows of one step, every token known.
struct StepRows {
  std::span<const executor::TokenId> tokens;          // [rows]
  std::span<const executor::SequenceRows> sequences;  // cover the rows
  std::span<const executor::BlockId> block_table;
};

// Decode steps are recorded as graphs, one for each form of a step (rows, and how its attention is laid out),
// when that form comes for the second time. The least recently used is given up.
inline constexpr size_t kGraphsMax = 128;
inline constexpr int32_t kGraphRowsMax = 256;

// How a step is launched; no choice changes a bit of a result. For tests; the default chooses by size.
enum class AttentionForm : uint8_t { kBySize, kWide, kNarrow, kNarrowLeaves, kWideLeaves };

struct ForwardSizes {
  int32_t rows_max = 0;         // of a step
  int32_t expert_rows_max = 0;  // the same, of all replicas that share experts
  int32_t context_tokens_max = 0;
  int32_t table_blocks_max = 0;  // entries of a step's block table
  int32_t logit_rows_max = 0;    // of one call of logits()
};

// What the host sends each step, in one image.
struct StepImage {
  int32_t* tokens;
  int32_t* positions;
  int64_t* places;
  RowTile* tiles;
  int32_t* logit_rows;
  int32_t* table;  // last: only its used part is sent

  static int64_t bytes(const ForwardSizes& sizes);
  static StepImage at(std::byte* base, const ForwardSizes& sizes);
};

// Where a forward keeps its activations: bf16 unless float.
struct ForwardBuffers {
  std::byte* device_image_ = nullptr;
  uint8_t* grid_ = nullptr;  // e4m3, or f16 of GridOrder::kFragments
  uint16_t *h_ = nullptr, *norm_ = nullptr, *q_ = nullptr, *q_turned_ = nullptr, *k_ = nullptr,
           *k_normed_ = nullptr, *k_turned_ = nullptr, *v_ = nullptr, *attn_ = nullptr, *out_ = nullptr,
           *inner_ = nullptr, *expert_out_ = nullptr, *final_ = nullptr;
  float *grid_scales_ = nullptr, *cos_ = nullptr, *sin_ = nullptr, *router_logits_ = nullptr,
        *scores_ = nullptr, *expert_weights_ = nullptr, *partials_ = nullptr, *logits_ = nullptr,
        *rank_sums_ = nullptr;  // o_proj of a rank, before the sum over ranks
  int32_t *expert_ids_ = nullptr, *parts_ = nullptr, *part_tile_count_ = nullptr;
  PartTile* part_tiles_ = nullptr;

  // Places all from `base` on and returns the bytes; nullptr: counts alone. shape: the rank's.
  int64_t lay_out(std::byte* base, const model::ModelShape& shape, const model::ModelShape& whole,
                  const ForwardSizes& sizes);
};

// Borrows all it is given. Threads: one caller at a time.
class Forward : private ForwardBuffers {
 public:
  struct Parts {
    const Weights& weights;
    const KvPool& kv;
    const Stream& stream;
    PeerGroup* peers = nullptr;  // of a replica's ranks, where they are several and not alone
    PeerGroup* world = nullptr;  // of all ranks, where replicas share experts
  };
  Forward(const Parts& parts, const ForwardSizes& sizes);

  // Starts the step: writes K and V of the rows and leaves their final hidden states. Where replicas share
  // experts: returns once all ranks have called it.
  void run(const StepRows& step);

  // Starts the logits [rows, whole vocab_rows] f32 of rows of the last run(), on the device; valid until the
  // next call. REQUIRES: at most logit_rows_max rows.
  const float* logits(std::span<const int32_t> rows);

  // The pieces of run(), for comparisons that feed a layer by hand.
  void prepare(const StepRows& step);
  void set_hidden(std::span<const uint16_t> bits);  // [rows, hidden] bf16
  void layer(int32_t n);

  // Called at every tap after the device has finished it: slow. nullptr: none.
  void set_taps(model::TapSink* sink) { sink_ = sink; }
  void set_attention_form(AttentionForm form) { form_ = form; }
  void set_graphs(bool on) { graphs_on_ = on; }
  void set_peer_form(PeerForm form) { peer_form_ = form; }
  int64_t graph_launches() const { return graph_launches_; }

  int64_t buffer_bytes() const;

 private:
  void plan_attention(const StepRows& step);
  void attention_part(int32_t n);
  void experts_part(int32_t n);
  void launch_layers();
  Graph* find_graph(bool& changed);
  void begin_layers(int32_t n);
  void layer_body(int32_t n, int32_t next);
  void embed_rows();
  bool sharded() const { return weights_.shard().layout.tp > 1; }
  void join(const ResidualTask& task);
  void join_parts(const ResidualTask& task);
  bool shares_experts() const { return world_ != nullptr; }
  int32_t expert_rows() const { return shares_experts() ? wave_.all : rows_; }
  ResidualTask norm_task(const float* norm, const Matrix& reader, GridOrder order) const;
  bool quantises(const Matrix& weight) const;
  GridOrder order_for(const Matrix& weight, int32_t columns, bool of_experts) const;
  int32_t expert_tile() const;
  void set_input(LinearTask& task, const Matrix& weight, const uint16_t* x, GridOrder order) const;
  QuantiseTask quantise_task(const Matrix& weight, const uint16_t* x, int32_t rows, GridOrder order) const;
  void tap(std::string_view name, const uint16_t* values, int64_t rows, int64_t width);
  void tap(std::string_view name, const float* values, int64_t rows, int64_t width);
  void tap(std::string_view name, const int32_t* values, int64_t rows, int64_t width);
  void fetch(const void* from, int64_t bytes);

  const Weights& weights_;
  const KvPool& kv_;
  const Stream& stream_;
  PeerGroup* const group_;
  PeerGroup* const world_;
  const PeerView peers_;            // of the replica
  const PeerView world_peers_;      // of world_
  const model::ModelShape& shape_;  // of this rank
  const model::ModelShape& whole_;
  ForwardSizes sizes_;
  AttentionForm form_ = AttentionForm::kBySize;
  PeerForm peer_form_ = PeerForm::kBySize;
  DeviceMemory arena_;
  DeviceMemory frequencies_;

  // What the host sends each step: one pinned image, one copy.
  PinnedMemory staging_;
  StepImage host_{}, device_{};

  // The step in progress.
  int32_t rows_ = 0;
  WaveRows wave_;  // where replicas share experts
  int32_t tile_count_ = 0;
  int32_t leaves_max_ = 0;
  bool wide_ = false;
  bool leaves_apart_ = false;
  int32_t layer_ = -1;

  // What the launches of a step depend on.
  struct StepForm {
    int32_t rows = 0;
    int32_t tiles = 0;
    int32_t leaves = 0;
    bool wide = false;
    bool leaves_apart = false;
    WaveRows wave;
    bool operator==(const StepForm&) const = default;
  };
  struct StepGraph {
    StepForm form;
    int64_t last_use = 0;
    Graph graph;  // empty after the first time
  };
  std::vector<StepGraph> graphs_;
  int64_t graph_clock_ = 0;
  int64_t graph_launches_ = 0;
  bool graphs_on_ = true;
  bool decode_only_ = false;

  model::TapSink* sink_ = nullptr;
  std::vector<std::byte> fetched_;
  std::vector<float> tap_values_;
};

}  // namespace minimax::backend::cuda
