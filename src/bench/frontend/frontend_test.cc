#include "bench/frontend/frontend.h"

#include <gtest/gtest.h>

#include "bench/frontend/byte_client.h"

namespace minimax::bench {
namespace {

// The figures are the machine's; what is held here is that every stream was answered whole.
TEST(Frontend, EveryStreamIsAnsweredAndEveryTokenCounted) {
  ByteClient client;
  auto tokenizer = tokenizer::Tokenizer::load(std::string(MINIMAX_SOURCE_DIR) + "/models/tiny-m2");
  FrontendOptions options;
  options.streams = {1, 8};
  options.requests_least = 16;
  options.answer_tokens = 80;
  const auto answer = std::ssize(frontend_answer(tokenizer, options.answer_tokens));
  EXPECT_GE(answer, 80);
  const std::vector<FrontendRecord> records = run_frontend_bench(options, std::move(tokenizer), client, {});
  ASSERT_EQ(records.size(), 2u);
  for (const FrontendRecord& record : records) {
    EXPECT_EQ(record.requests, 16);
    EXPECT_EQ(record.failed, 0);
    // The engine counts a step's tokens after it has told them: the last may be missed, or that of the load
    // before be counted here.
    EXPECT_NEAR(static_cast<double>(record.tokens), static_cast<double>(16 * answer), 2);
    EXPECT_GT(record.cpu_us_per_token, 0);
  }
}

}  // namespace
}  // namespace minimax::bench
