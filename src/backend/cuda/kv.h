#pragma once
// The paged KV cache on the device, bf16 or fp8. A block is contiguous over all layers, so that a copy is one
// copy:
//
//   [block][layer][K, V][kv head][place][head_dim], with fp8 the scales after the codes: kernels.h, KvLayer

#include <cstdint>

#include "backend/cuda/device.h"
#include "backend/cuda/kernels.h"
#include "executor/step.h"
#include "model/config.h"

namespace minimax::backend::cuda {

class KvPool {
 public:
  static int64_t block_bytes(const model::ModelShape& shape, int32_t block_tokens, bool fp8);

  // Throws Error naming the bytes wanted and those free.
  KvPool(const model::ModelShape& shape, int32_t block_tokens, int32_t block_count, bool fp8);

  int32_t block_tokens() const { return block_tokens_; }
  int32_t block_count() const { return block_count_; }
  int64_t bytes() const { return memory_.bytes(); }
  KvLayer layer(int32_t n) const;
  void copy(const executor::BlockCopy& copy, const Stream& stream) const;

 private:
  model::ModelShape shape_;
  int32_t block_tokens_;
  int32_t block_count_;
  bool fp8_;
  DeviceMemory memory_;
};

}  // namespace minimax::backend::cuda
