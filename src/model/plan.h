#pragma once
// What memory a layout takes: weights a rank by role, bytes of KV a token, and how many tokens fit. A pure
// function of its request, from the table of tensors in their published dtypes; a back-end that packs weights
// otherwise says so in its own report.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/kv_dtype.h"
#include "model/shard.h"

namespace minimax::model {

inline constexpr size_t kRoles = 6;
using BytesByRole = std::array<uint64_t, kRoles>;  // indexed by Role
std::string_view name_of(Role role);

// Elements of weights, scales of blocks not counted.
struct ParameterCount {
  int64_t total = 0;
  int64_t active = 0;  // that a token is multiplied with: its experts, and no embedding table
};
ParameterCount count_parameters(const ModelShape& shape);

// Weights as published, scales counted.
BytesByRole weight_bytes(const ModelShape& shape);
uint64_t total(const BytesByRole& bytes);
// In decimal units, as disks and checkpoints are counted; below 10 kB exactly.
std::string human_bytes(uint64_t bytes);

struct PlanRequest {
  ModelShape shape = {};
  ParallelLayout layout = {};
  KvDtype kv_dtype = KvDtype::kBf16;
  int32_t block_tokens = 16;
  uint64_t device_bytes = 0;   // of one device; 0: unknown, nothing is said about what fits
  double utilisation = 0.9;    // the part of device_bytes that may be used
  uint64_t reserve_bytes = 0;  // activations and workspaces of one rank
};

// What one rank holds.
struct RankShare {
  int32_t rank = 0;
  int32_t replica = 0;
  Range q_heads = {}, kv_heads = {}, experts = {}, expert_width = {}, vocab_rows = {};
  uint64_t weight_bytes = 0;
};
// "rank 1 of 4: query heads 12-23, KV heads 2-3, experts 0-255, columns 384-767 of each, ids 50016-100031;
// weights 57.66 GB"; with several replicas after the colon "replica 0, ".
std::string to_text(const RankShare& share, const ParallelLayout& layout);

struct MemoryPlan {
  std::vector<RankShare> ranks;
  BytesByRole rank_weights = {};  // of the rank with the most weights
  uint64_t rank_weight_bytes = 0;
  uint64_t kv_token_bytes = 0;  // of one token on one rank, all layers, scales counted
  uint64_t kv_block_bytes = 0;
  // Only with device_bytes: what one replica can hold.
  int64_t missing_bytes = 0;  // above 0: the weights and the reserve alone do not fit, by so much a device
  uint64_t kv_bytes = 0;      // a rank
  int64_t blocks = 0;
  int64_t tokens = 0;
};

// Throws Error if the layout does not fit the shape, or utilisation is not in (0, 1].
MemoryPlan plan_memory(const PlanRequest& request);

}  // namespace minimax::model
