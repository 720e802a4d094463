#pragma once
// What `minimax inspect MODEL` says about a checkpoint: architecture, parameters, bytes by dtype and role,
// and the memory plan of a parallel layout.

#include <cstdint>
#include <filesystem>
#include <string>

#include "model/plan.h"

namespace minimax::model {

struct InspectOptions {
  ParallelLayout layout = {};
  KvDtype kv_dtype = KvDtype::kBf16;
  int32_t block_tokens = 16;
  uint64_t device_bytes = 0;  // 0: the plan says what is needed, not what fits
  double utilisation = 0.9;
  uint64_t reserve_bytes = 0;
  bool json = false;
};

// Reads config.json and, if there are weights, every header, and binds the tensors. Without weights (only
// config.json at hand) the bytes are those of the published layout, and the report says so. Throws Error as
// load_config, Checkpoint::open, bind_tensors and plan_memory do. The text ends with a newline.
std::string inspect(const std::filesystem::path& model_dir, const InspectOptions& options);

}  // namespace minimax::model
