#include "cli/kv_dtype.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"

namespace minimax::cli {

model::KvDtype kv_dtype_of(const Args& args) {
  constexpr std::string_view kFlag = "--kv-cache-dtype";
  constexpr std::array<std::string_view, 3> kOtherFp8{"fp8_e5m2", "fp8_inc", "fp8_ds_mla"};
  constexpr std::array<std::string_view, 4> kKvDtypes{"auto", "bfloat16", "fp8", "fp8_e4m3"};
  const std::optional<std::string> given = args.text(kFlag);
  if (given && std::ranges::find(kOtherFp8, *given) != kOtherFp8.end())
    throw UsageError("{} {}: of the fp8 formats the KV cache takes e4m3 alone; fp8 or fp8_e4m3, or bfloat16",
                     kFlag, *given);
  const std::string name = args.choice(kFlag, kKvDtypes).value_or("auto");
  return name.starts_with("fp8") ? model::KvDtype::kFp8 : model::KvDtype::kBf16;
}

}  // namespace minimax::cli
