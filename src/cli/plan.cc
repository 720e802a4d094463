#include "cli/plan.h"

#include <algorithm>
#include <fstream>

#include <sched.h>

#include "base/error.h"

namespace minimax::cli {

Machine read_machine() {
  Machine machine;
  std::ifstream meminfo("/proc/meminfo");
  std::string name;
  int64_t kib = 0;
  std::string unit;
  while (meminfo >> name >> kib >> unit) {
    if (name == "MemAvailable:") machine.memory_available_bytes = kib * 1024;
  }
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) machine.cores = std::max(1, CPU_COUNT(&set));
  return machine;
}

int32_t step_rows_of(const ServeOptions& options) {
  return options.step_tokens_max.value_or(options.backend == "cuda" ? kStepRowsDefaultCuda
                                                                    : kStepRowsDefault);
}

ServePlan plan_serve(const ServeOptions& options, const model::ModelShape& shape, const Machine& machine) {
  ServePlan plan;
  plan.running_max = options.running_max;
  plan.step_rows_max = step_rows_of(options);
  plan.kv_token_bytes = model::kv_token_bytes(shape, options.kv_dtype);

  const int64_t block_bytes = plan.kv_token_bytes * options.block_tokens;
  const auto blocks_for = [&](int64_t tokens) {
    return (tokens + options.block_tokens - 1) / options.block_tokens;
  };
  const int64_t longest = options.max_model_len.value_or(shape.context_tokens_max);
  if (longest > shape.context_tokens_max) {
    throw UsageError("--max-model-len {} is beyond the model's {} positions (max_position_embeddings)",
                     longest, shape.context_tokens_max);
  }
  const int64_t wanted_tokens = longest < 0 ? shape.context_tokens_max : longest;
  const auto free_bytes =
      machine.device_kv_bytes > 0
          ? machine.device_kv_bytes
          : static_cast<int64_t>(static_cast<double>(machine.memory_available_bytes) * kKvMemoryShare);
  const int64_t full_bytes = blocks_for(wanted_tokens) * block_bytes * plan.running_max;
  const int64_t budget = options.kv_bytes.value_or(std::min(full_bytes, free_bytes));
  const int64_t blocks = budget / block_bytes;
  plan.kv_bytes = blocks * block_bytes;
  plan.kv_tokens = blocks * options.block_tokens;
  if (blocks == 0) {
    throw Error(
        "the KV cache of {} bytes holds not one block of {} tokens ({} bytes); give more with "
        "--kv-cache-memory-bytes",
        budget, options.block_tokens, block_bytes);
  }
  if (longest >= 0 && blocks < blocks_for(longest)) {
    throw Error(
        "a sequence of {} tokens needs {:.2f} GB of KV cache, but there are {:.2f} GB: give --max-model-len "
        "{} (or -1), "
        "or --kv-cache-memory-bytes {}{}",
        longest, static_cast<double>(blocks_for(longest) * block_bytes) / 1e9,
        static_cast<double>(budget) / 1e9, plan.kv_tokens, blocks_for(longest) * block_bytes,
        machine.device_kv_bytes > 0 ? " if the GPU has so much, or more with --gpu-memory-utilization" : "");
  }
  plan.context_tokens_max = static_cast<int32_t>(std::min(wanted_tokens, plan.kv_tokens));
  return plan;
}

}  // namespace minimax::cli
