#pragma once
// From what was asked for, the model and the machine to what is done: a pure function, printed at start.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/serve_options.h"
#include "model/config.h"

namespace minimax::cli {

struct Machine {
  int64_t memory_available_bytes = 0;
  int32_t cores = 1;
  int64_t device_kv_bytes = 0;  // of a rank, where the KV cache lies in a GPU's memory
};
Machine read_machine();  // /proc/meminfo and the affinity mask

struct ServePlan {
  int32_t context_tokens_max = 0;
  int32_t step_rows_max = 0;
  int32_t running_max = 0;
  int64_t kv_token_bytes = 0;  // fp8: with scales
  int64_t kv_bytes = 0;
  int64_t kv_tokens = 0;
};

// The share of the free memory that the KV cache takes on a CPU unless --kv-cache-memory-bytes says
// otherwise; never more than all sequences at full context need.
inline constexpr double kKvMemoryShare = 0.25;
inline constexpr int32_t kStepRowsDefault = 512;
inline constexpr int32_t kStepRowsDefaultCuda = 2048;
int32_t step_rows_of(const ServeOptions& options);

// shape: of a rank. Throws Error with the numbers if one sequence of the wanted context does not fit.
ServePlan plan_serve(const ServeOptions& options, const model::ModelShape& shape, const Machine& machine);

}  // namespace minimax::cli
