#include "cli/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace minimax::cli {
namespace {

model::ModelShape m2_like() {
  model::ModelShape shape;
  shape.layers = 62;
  shape.kv_heads = 8;
  shape.head_dim = 128;
  shape.context_tokens_max = 196608;
  return shape;
}

TEST(ServePlan, CountsTheKvOfTheFamily) {
  ServeOptions options;
  options.kv_bytes = int64_t{100} << 30;
  const ServePlan plan =
      plan_serve(options, m2_like(), {.memory_available_bytes = int64_t{512} << 30, .cores = 64});
  EXPECT_EQ(plan.kv_token_bytes, 248 * 1024);  // the published 248 KiB a token
  EXPECT_EQ(plan.context_tokens_max, 196608);
  EXPECT_EQ(plan.kv_tokens, (int64_t{100} << 30) / (248 * 1024 * 16) * 16);
}

TEST(ServePlan, CountsTheCodesAndScalesOfKvInFp8) {
  ServeOptions options;
  options.kv_bytes = int64_t{100} << 30;
  options.kv_dtype = model::KvDtype::kFp8;
  const ServePlan plan = plan_serve(options, m2_like(), {});
  EXPECT_EQ(plan.kv_token_bytes, 62 * 2 * 8 * (128 + 4));
  EXPECT_EQ(plan.kv_tokens, (int64_t{100} << 30) / (62 * 2 * 8 * 132 * 16) * 16);
}

TEST(ServePlan, TooLittleMemoryIsAnErrorWithTheNumberThatFits) {
  ServeOptions options;
  options.kv_bytes = int64_t{10000} * 248 * 1024;
  try {
    plan_serve(options, m2_like(), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--max-model-len 10000"), std::string::npos) << error.what();
  }
  options.max_model_len = -1;
  EXPECT_EQ(plan_serve(options, m2_like(), {}).context_tokens_max, 10000);
}

TEST(ServePlan, NeverTakesMoreThanAllSequencesNeed) {
  ServeOptions options;
  options.running_max = 2;
  options.max_model_len = 1000;
  const ServePlan plan =
      plan_serve(options, m2_like(), {.memory_available_bytes = int64_t{1} << 40, .cores = 2});
  EXPECT_EQ(plan.kv_tokens, 2 * 1008);
}

TEST(ServePlan, AContextBeyondTheModelIsRefused) {
  ServeOptions options;
  options.max_model_len = 200000;
  EXPECT_THROW(plan_serve(options, m2_like(), {.memory_available_bytes = int64_t{1} << 40, .cores = 2}),
               UsageError);
}

}  // namespace
}  // namespace minimax::cli
