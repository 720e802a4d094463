#include "model/kv_dtype.h"

namespace minimax::model {

std::string_view name_of(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::kBf16:
      return "bfloat16";
    case KvDtype::kFp8:
      return "fp8";
  }
  return "unknown";
}

int64_t kv_token_bytes(const ModelShape& shape, KvDtype dtype) {
  constexpr int64_t kBf16Bytes = 2, kScaleBytes = 4;
  const int64_t head_bytes =
      dtype == KvDtype::kFp8 ? shape.head_dim + kScaleBytes : shape.head_dim * kBf16Bytes;
  return 2 * int64_t{shape.layers} * shape.kv_heads * head_bytes;
}

}  // namespace minimax::model
