#include "model/plan.h"

#include <limits>

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/synth.h"

namespace minimax::model {
namespace {

constexpr double kGb = 1e9;

MemoryPlan plan_of(const ParallelLayout& layout, uint64_t device_bytes = 0) {
  PlanRequest request;
  request.shape = m2_shape();
  request.layout = layout;
  request.device_bytes = device_bytes;
  return plan_memory(request);
}

// Figures of the published model: 228.69 B parameters, 10.42 B active, 230.1 GB.
TEST(Plan, CountsThePublishedModel) {
  const ParameterCount count = count_parameters(m2_shape());
  EXPECT_EQ(count.total, 228'689'764'864);
  EXPECT_NEAR(static_cast<double>(count.active), 10.42e9, 0.005e9);
  const BytesByRole bytes = weight_bytes(m2_shape());
  EXPECT_NEAR(static_cast<double>(total(bytes)), 230.1 * kGb, 0.05 * kGb);
  EXPECT_EQ(bytes[static_cast<size_t>(Role::kHead)], 200064u * 3072 * 2);
  EXPECT_EQ(bytes[static_cast<size_t>(Role::kRouter)], 62u * (256 * 3072 + 256) * 4);
}

TEST(Plan, OneTpFourRankHolds57Point7Gb) {
  const MemoryPlan plan = plan_of({.tp = 4});
  EXPECT_NEAR(static_cast<double>(plan.rank_weight_bytes), 57.7 * kGb, 0.05 * kGb);
  EXPECT_EQ(plan.kv_token_bytes, 248u * 1024 / 4);
  EXPECT_NEAR(static_cast<double>(plan_of({.tp = 2}).rank_weight_bytes), 115 * kGb, 0.3 * kGb);
}

TEST(Plan, KvIs248KibATokenInBf16AndHalfWithScalesInFp8) {
  EXPECT_EQ(plan_of({}).kv_token_bytes, 248u * 1024);
  PlanRequest request;
  request.shape = m2_shape();
  request.kv_dtype = KvDtype::kFp8;
  EXPECT_EQ(plan_memory(request).kv_token_bytes, 124u * 1024 + 2 * 62 * 8 * 4);
  // More ranks than KV heads: each still holds one.
  EXPECT_EQ(plan_of({.tp = 16}).kv_token_bytes, 248u * 1024 / 8);
}

TEST(Plan, ExpertParallelKeepsAttentionWhole) {
  const MemoryPlan plan = plan_of({.tp = 1, .dp = 8, .ep = 8});
  const BytesByRole all = weight_bytes(m2_shape());
  const auto of = [](const BytesByRole& bytes, Role role) { return bytes[static_cast<size_t>(role)]; };
  EXPECT_EQ(of(plan.rank_weights, Role::kAttention), of(all, Role::kAttention));
  EXPECT_EQ(of(plan.rank_weights, Role::kExpert), of(all, Role::kExpert) / 8);
  EXPECT_EQ(plan.kv_token_bytes, 248u * 1024);
}

TEST(Plan, ReplicasWithoutExpertParallelHoldAll) {
  EXPECT_EQ(plan_of({.tp = 4, .dp = 2}).rank_weight_bytes, plan_of({.tp = 4}).rank_weight_bytes);
}

TEST(Plan, TokensThatFitAreWhatTheBudgetLeaves) {
  PlanRequest request;
  request.shape = m2_shape();
  request.layout.tp = 4;
  request.device_bytes = uint64_t{80} << 30;
  request.reserve_bytes = uint64_t{2} << 30;
  const MemoryPlan plan = plan_memory(request);
  const auto usable = static_cast<uint64_t>(static_cast<double>(request.device_bytes) * 0.9);
  EXPECT_EQ(plan.missing_bytes, 0);
  EXPECT_GT(plan.blocks, 0);
  EXPECT_LE(plan.rank_weight_bytes + request.reserve_bytes + plan.kv_bytes, usable);
  EXPECT_GT(plan.rank_weight_bytes + request.reserve_bytes + plan.kv_bytes + plan.kv_block_bytes, usable);
  EXPECT_EQ(plan.tokens, plan.blocks * 16);
}

TEST(Plan, SaysByHowMuchTheWeightsDoNotFit) {
  const MemoryPlan plan = plan_of({.tp = 2}, uint64_t{80} << 30);
  EXPECT_EQ(plan.blocks, 0);
  EXPECT_NEAR(static_cast<double>(plan.missing_bytes), 115.2 * kGb - 0.9 * 85.9 * kGb, 0.3 * kGb);
}

TEST(Plan, ABadRequestIsRefused) {
  EXPECT_THROW(plan_of({.tp = 7}), Error);
  PlanRequest request;
  request.shape = m2_shape();
  for (const double utilisation : {0.0, -1.0, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    request.utilisation = utilisation;
    EXPECT_THROW(plan_memory(request), Error) << utilisation;
  }
}

}  // namespace
}  // namespace minimax::model
