#pragma once
// The paged KV cache. A block holds block_tokens positions of all layers and KV heads, contiguous:
//
//   [layer][kv head] { K [block_tokens / 16][head_dim / 2][16 keys][2 dims], V [block_tokens][head_dim] }
//
// of bf16 values; in fp8 of e4m3 codes, and behind them { scales of K [block_tokens], of V [block_tokens] },
// f32.
//
// K is interleaved so that one vector holds a pair of dims of 16 keys: scores come out one key a lane, with
// no sums across lanes. 16 is kKeyGroup (kernels.h).

#include <cstdint>

#include "backend/common/fp8_kv.h"
#include "backend/common/host_buffer.h"
#include "executor/step.h"
#include "model/config.h"

namespace minimax::backend::cpu {

class KvPool {
 public:
  // Bytes of one block; what a memory plan divides by.
  static int64_t block_bytes(const model::ModelShape& shape, int32_t block_tokens,
                             common::KvDtype dtype = common::KvDtype::kBf16);

  // REQUIRES: block_tokens a multiple of kKeyGroup, block_count >= 1.
  KvPool(const model::ModelShape& shape, int32_t block_tokens, int32_t block_count,
         common::KvDtype dtype = common::KvDtype::kBf16);

  common::KvDtype dtype() const { return dtype_; }
  int32_t block_tokens() const { return block_tokens_; }
  int32_t block_count() const { return block_count_; }
  int64_t block_stride() const { return block_bytes_; }
  int64_t bytes() const { return memory_.bytes(); }
  // K and V of one position in one layer and head.
  int64_t position_bytes() const { return head_bytes_ / block_tokens_; }

  // Where block 0 keeps this layer and head; block b is b * block_stride() bytes further.
  std::byte* base(int32_t layer, int32_t kv_head) const;

  // Stores one row's k and v [kv_heads * head_dim] bf16 of one layer at place `offset` of a block, in fp8 by
  // common::quantise_head.
  void write(int32_t layer, executor::BlockId block, int32_t offset, const uint16_t* k,
             const uint16_t* v) const;

  void copy(executor::BlockCopy copy) const;

 private:
  void write_fp8(std::byte* head, int32_t offset, const uint16_t* k, const uint16_t* v) const;

  common::KvDtype dtype_;
  int32_t kv_heads_;
  int32_t head_dim_;
  int32_t block_tokens_;
  int32_t block_count_;
  int64_t head_bytes_;  // of one layer and head of a block
  int64_t block_bytes_;
  common::HostMemory memory_;
};

}  // namespace minimax::backend::cpu
