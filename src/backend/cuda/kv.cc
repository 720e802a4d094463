#include "backend/cuda/kv.h"

#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace minimax::backend::cuda {

// Of K or V of a layer.
static int64_t side_bytes(const model::ModelShape& shape, int32_t block_tokens, bool fp8) {
  const int64_t places = int64_t{shape.kv_heads} * block_tokens;
  return places * (fp8 ? kHeadDim + 4 : kHeadDim * 2);
}

int64_t KvPool::block_bytes(const model::ModelShape& shape, int32_t block_tokens, bool fp8) {
  return 2 * shape.layers * side_bytes(shape, block_tokens, fp8);
}

// Codes are copied 16 bytes at a time, so K and V of every layer must begin at a multiple of that.
static int64_t checked_bytes(const model::ModelShape& shape, int32_t block_tokens, bool fp8) {
  if (side_bytes(shape, block_tokens, fp8) % 16 != 0)
    throw Error(
        "cuda back-end: --kv-cache-dtype fp8 with {} KV heads a rank: --block-size: expected a multiple of "
        "{}, "
        "found {}",
        shape.kv_heads, 4 / std::gcd(4, shape.kv_heads), block_tokens);
  return KvPool::block_bytes(shape, block_tokens, fp8);
}

KvPool::KvPool(const model::ModelShape& shape, int32_t block_tokens, int32_t block_count, bool fp8)
    : shape_(shape),
      block_tokens_(block_tokens),
      block_count_(block_count),
      fp8_(fp8),
      memory_(checked_bytes(shape, block_tokens, fp8) * block_count, "KV blocks (--kv-cache-memory-bytes)") {}

KvLayer KvPool::layer(int32_t n) const {
  const int64_t side = side_bytes(shape_, block_tokens_, fp8_);
  return {.base = memory_.data() + 2 * side * n,
          .block_bytes = 2 * side * shape_.layers,
          .v_bytes = side,
          .block_tokens = block_tokens_,
          .kv_heads = shape_.kv_heads,
          .fp8 = fp8_};
}

void KvPool::copy(const executor::BlockCopy& copy, const Stream& stream) const {
  CHECK_LT(copy.src, block_count_);
  CHECK_LT(copy.dst, block_count_);
  const int64_t bytes = block_bytes(shape_, block_tokens_, fp8_);
  stream.copy(memory_.data() + copy.dst * bytes, memory_.data() + copy.src * bytes, bytes);
}

}  // namespace minimax::backend::cuda
