#include "backend/cpu/kv.h"

#include <cstring>

#include "backend/cpu/kernels.h"
#include "base/check.h"

namespace minimax::backend::cpu {

static int64_t head_bytes(int32_t block_tokens, int32_t head_dim) {
  return int64_t{2} * block_tokens * head_dim * static_cast<int64_t>(sizeof(uint16_t));
}

int64_t KvPool::block_bytes(const model::ModelShape& shape, int32_t block_tokens) {
  return int64_t{shape.layers} * shape.kv_heads * head_bytes(block_tokens, shape.head_dim);
}

KvPool::KvPool(const model::ModelShape& shape, int32_t block_tokens, int32_t block_count)
    : kv_heads_(shape.kv_heads),
      head_dim_(shape.head_dim),
      block_tokens_(block_tokens),
      block_count_(block_count),
      block_bytes_(block_bytes(shape, block_tokens)),
      memory_(block_bytes_ * block_count, "the KV cache") {
  CHECK_GE(block_count, 1);
  CHECK_EQ(block_tokens % kKeyGroup, 0);
}

std::byte* KvPool::base(int32_t layer, int32_t kv_head) const {
  return memory_.data() + (int64_t{layer} * kv_heads_ + kv_head) * head_bytes(block_tokens_, head_dim_);
}

void KvPool::write(int32_t layer, executor::BlockId block, int32_t offset, const uint16_t* k,
                   const uint16_t* v) const {
  CHECK_GE(block, 0);
  CHECK_LT(block, block_count_);
  CHECK_LT(offset, block_tokens_);
  for (int32_t head = 0; head < kv_heads_; ++head, k += head_dim_, v += head_dim_) {
    auto* const keys = reinterpret_cast<uint16_t*>(base(layer, head) + block * block_bytes_);
    const int32_t lane = offset % kKeyGroup;
    uint16_t* const group = keys + int64_t{offset - lane} * head_dim_ + int64_t{2} * lane;
    for (int32_t dim = 0; dim < head_dim_; dim += 2)
      std::memcpy(group + int64_t{dim} * kKeyGroup, k + dim, 2 * sizeof(uint16_t));
    uint16_t* const values = keys + int64_t{block_tokens_ + offset} * head_dim_;
    std::memcpy(values, v, static_cast<size_t>(head_dim_) * sizeof(uint16_t));
  }
}

void KvPool::copy(executor::BlockCopy copy) const {
  for (const executor::BlockId block : {copy.src, copy.dst}) {
    CHECK_GE(block, 0);
    CHECK_LT(block, block_count_);
  }
  if (copy.src == copy.dst) return;
  std::memcpy(memory_.data() + copy.dst * block_bytes_, memory_.data() + copy.src * block_bytes_,
              static_cast<size_t>(block_bytes_));
}

}  // namespace minimax::backend::cpu
