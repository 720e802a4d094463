#include "backend/cuda/kv.h"

#include "base/check.h"

namespace minimax::backend::cuda {

int64_t KvPool::block_bytes(const model::ModelShape& shape, int32_t block_tokens) {
  return int64_t{2} * 2 * shape.layers * shape.kv_width() * block_tokens;
}

KvPool::KvPool(const model::ModelShape& shape, int32_t block_tokens, int32_t block_count)
    : shape_(shape),
      block_tokens_(block_tokens),
      block_count_(block_count),
      memory_(block_bytes(shape, block_tokens) * block_count, "KV blocks (--kv-cache-memory-bytes)") {}

KvLayer KvPool::layer(int32_t n) const {
  const int64_t side = int64_t{shape_.kv_width()} * block_tokens_;
  return {.base = memory_.as<uint16_t>() + 2 * side * n,
          .block_stride = 2 * side * shape_.layers,
          .v_offset = side,
          .block_tokens = block_tokens_,
          .kv_heads = shape_.kv_heads};
}

void KvPool::copy(const executor::BlockCopy& copy, const Stream& stream) const {
  CHECK_LT(copy.src, block_count_);
  CHECK_LT(copy.dst, block_count_);
  const int64_t bytes = block_bytes(shape_, block_tokens_);
  stream.copy(memory_.data() + copy.dst * bytes, memory_.data() + copy.src * bytes, bytes);
}

}  // namespace minimax::backend::cuda
