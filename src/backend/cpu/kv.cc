#include "backend/cpu/kv.h"

#include <cstring>

#include "backend/cpu/kernels.h"
#include "base/check.h"

namespace minimax::backend::cpu {

int64_t KvPool::block_bytes(const model::ModelShape& shape, int32_t block_tokens, common::KvDtype dtype) {
  return model::kv_token_bytes(shape, dtype) * block_tokens;
}

KvPool::KvPool(const model::ModelShape& shape, int32_t block_tokens, int32_t block_count,
               common::KvDtype dtype)
    : dtype_(dtype),
      kv_heads_(shape.kv_heads),
      head_dim_(shape.head_dim),
      block_tokens_(block_tokens),
      block_count_(block_count),
      head_bytes_(block_bytes(shape, block_tokens, dtype) / (int64_t{shape.layers} * shape.kv_heads)),
      block_bytes_(block_bytes(shape, block_tokens, dtype)),
      memory_(block_bytes_ * block_count, "the KV cache") {
  CHECK_GE(block_count, 1);
  CHECK_EQ(block_tokens % kKeyGroup, 0);
}

std::byte* KvPool::base(int32_t layer, int32_t kv_head) const {
  return memory_.data() + (int64_t{layer} * kv_heads_ + kv_head) * head_bytes_;
}

// A key's pairs of dims, 2 * kKeyGroup elements apart.
template <typename T>
static void write_keys(const T* k, int32_t head_dim, int32_t offset, T* keys) {
  const int32_t lane = offset % kKeyGroup;
  T* const group = keys + int64_t{offset - lane} * head_dim + int64_t{2} * lane;
  for (int32_t dim = 0; dim < head_dim; dim += 2)
    std::memcpy(group + int64_t{dim} * kKeyGroup, k + dim, 2 * sizeof(T));
}

void KvPool::write_fp8(std::byte* head, int32_t offset, const uint16_t* k, const uint16_t* v) const {
  const auto dims = static_cast<size_t>(head_dim_);
  auto* const keys = reinterpret_cast<uint8_t*>(head);
  uint8_t* const values = keys + int64_t{block_tokens_} * head_dim_;
  auto* const scales = reinterpret_cast<float*>(values + int64_t{block_tokens_} * head_dim_);
  // V's codes, rows of their own, go straight to their place; K's are spread from there, and then replaced.
  uint8_t* const row = values + int64_t{offset} * head_dim_;
  scales[offset] = common::quantise_head({k, dims}, row);
  write_keys(row, head_dim_, offset, keys);
  scales[block_tokens_ + offset] = common::quantise_head({v, dims}, row);
}

void KvPool::write(int32_t layer, executor::BlockId block, int32_t offset, const uint16_t* k,
                   const uint16_t* v) const {
  CHECK_GE(block, 0);
  CHECK_LT(block, block_count_);
  CHECK_LT(offset, block_tokens_);
  for (int32_t head = 0; head < kv_heads_; ++head, k += head_dim_, v += head_dim_) {
    std::byte* const at = base(layer, head) + block * block_bytes_;
    if (dtype_ == common::KvDtype::kFp8) {
      write_fp8(at, offset, k, v);
      continue;
    }
    auto* const keys = reinterpret_cast<uint16_t*>(at);
    write_keys(k, head_dim_, offset, keys);
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
