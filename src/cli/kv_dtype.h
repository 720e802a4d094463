#pragma once
// --kv-cache-dtype, as every verb that has it reads it.

#include "cli/args.h"
#include "model/kv_dtype.h"

namespace minimax::cli {

// "auto" and "bfloat16": bf16, as are the K and V of the family; "fp8" and "fp8_e4m3": fp8. Throws UsageError
// for others, for those of the peer by what there is to say of them.
model::KvDtype kv_dtype_of(const Args& args);

}  // namespace minimax::cli
