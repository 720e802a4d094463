#pragma once
// The layer sequence of the MiniMax-M2 family, op by op, with a tap after each: the oracle of every other
// forward. docs/numerics.md says what is rounded where; model/taps.h names the taps.

#include <cstdint>
#include <span>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/common/fp8_kv.h"
#include "backend/common/host_buffer.h"
#include "backend/ref/ops.h"
#include "model/taps.h"
#include "model/tensors.h"

namespace minimax::backend::ref {

// K and V of all layers, zero at first: [layer][block][block_tokens][kv_width] f32 holding bf16 values; in
// fp8 e4m3 codes of that shape, and [layer][block][block_tokens][kv_heads] f32 scales. Pages that no block
// was written to cost nothing.
class KvCache {
 public:
  KvCache(const model::ModelShape& shape, int32_t block_tokens, int32_t block_count,
          common::KvDtype dtype = common::KvDtype::kBf16);

  static int64_t bytes_of_block(const model::ModelShape& shape, int32_t block_tokens,
                                common::KvDtype dtype = common::KvDtype::kBf16);

  PagedKv layer(int32_t layer);
  void copy_block(executor::BlockId src, executor::BlockId dst);  // in every layer

 private:
  // One layer's K or V: values, or codes and scales.
  struct Side {
    common::HostBuffer<float> values, scales;
    common::HostBuffer<uint8_t> codes;
  };
  Fp8Side fp8_side(const Side& side) const;

  common::KvDtype dtype_;
  int32_t block_tokens_;
  int32_t block_count_;
  size_t block_values_;  // of one layer's K (or V) of one block
  size_t block_scales_;
  std::vector<Side> k_, v_;
};

// Borrows the view, which must outlive it. `sink` may be nullptr; otherwise it sees every tap of every call.
// Threads: one at a time.
class Forward {
 public:
  Forward(const model::ModelView& model, common::Arithmetic arithmetic, model::TapSink* sink = nullptr);

  // ids -> hidden states [ids, hidden].
  std::vector<float> embed(std::span<const executor::TokenId> ids) const;

  // One layer on hidden states h [rows, hidden] -> [rows, hidden]. Writes the rows' K and V at their places,
  // then attends. Can be called for any one layer with any input: that is how layers are compared.
  std::vector<float> layer(int32_t layer, std::span<const float> h, std::span<const RowPlace> places,
                           const PagedKv& kv) const;

  // Final norm and head: h [rows, hidden] -> logits [rows, vocab_rows] f32.
  std::vector<float> head(std::span<const float> h) const;

  // All layers: ids at their places -> hidden states [ids, hidden].
  std::vector<float> run(std::span<const executor::TokenId> ids, std::span<const RowPlace> places,
                         KvCache& kv) const;

 private:
  std::vector<float> attention_part(int32_t layer, std::span<const float> x, std::span<const RowPlace> places,
                                    const PagedKv& kv) const;
  std::vector<float> experts_part(int32_t layer, std::span<const float> x) const;
  void tap(std::string_view name, int32_t layer, int64_t width, std::span<const float> values) const;

  const model::ModelView& model_;
  LinearFormat format_;
  model::TapSink* sink_;
};

}  // namespace minimax::backend::ref
