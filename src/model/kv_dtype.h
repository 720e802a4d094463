#pragma once
// How K and V lie in the KV cache, and what that takes (docs/numerics.md, "The KV cache in fp8").

#include <cstdint>
#include <string_view>

#include "model/config.h"

namespace minimax::model {

enum class KvDtype : uint8_t {
  kBf16,  // the values as they are
  kFp8,   // e4m3 codes, and one fp32 scale per token and KV head, for K and for V apart
};

std::string_view name_of(KvDtype dtype);  // "bfloat16", "fp8"

// Of one token in all layers, K and V of all KV heads, scales counted.
int64_t kv_token_bytes(const ModelShape& shape, KvDtype dtype);

}  // namespace minimax::model
