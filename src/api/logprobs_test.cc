#include "api/logprobs.h"

#include <cmath>

#include <gtest/gtest.h>

#include "api/test_context.h"

namespace minimax::api {
namespace {

engine::TokenLogprobs logprobs_of(float logprob, std::vector<engine::LogprobEntry> top = {}) {
  return {logprob, 1, std::move(top)};
}

TEST(LogprobsTest, ATokenIsShownWithItsBytes) {
  const tokenizer::Tokenizer tokenizer = test_tokenizer();
  const chat::TokenInfo token{257, true, logprobs_of(-0.5f, {{257, -0.5f}, {0xe2, -1.5f}, {'x', -2.5f}})};
  EXPECT_EQ(to_string(chat_logprob(token, {tokenizer, false, 2})),
            "{\"token\":\"the\",\"logprob\":-0.5,\"bytes\":[116,104,101],\"top_logprobs\":["
            "{\"token\":\"the\",\"logprob\":-0.5,\"bytes\":[116,104,101]},"
            "{\"token\":\"\xef\xbf\xbd\",\"logprob\":-1.5,\"bytes\":[226]}]}");
  EXPECT_EQ(token_text(257, {tokenizer, true}), "token_id:257");
}

TEST(LogprobsTest, NothingIsBelowTheLowestNumber) {
  EXPECT_EQ(finite_logprob(-INFINITY), -9999.0);
  EXPECT_EQ(finite_logprob(-1.0f), -1.0);
}

TEST(LogprobsTest, CompletionsListTheTokenAndItsRivals) {
  const tokenizer::Tokenizer tokenizer = test_tokenizer();
  CompletionLogprobs lists({tokenizer, false, 1});
  lists.add('a', nullptr, 0);
  const engine::TokenLogprobs known = logprobs_of(-3.0f, {{'c', -0.25f}, {'d', -4.0f}});
  lists.add('b', &known, 1);
  std::string text;
  lists.take(text);
  EXPECT_EQ(text, R"({"text_offset":[0,1],"token_logprobs":[null,-3.0],"tokens":["a","b"],)"
                  R"("top_logprobs":[null,{"b":-3.0,"c":-0.25}]})");
  EXPECT_TRUE(lists.empty());
}

TEST(LogprobsTest, PromptsBeginWithATokenThatHasNone) {
  const tokenizer::Tokenizer tokenizer = test_tokenizer();
  const std::vector<engine::TokenLogprobs> known{{-2.0f, 2, {{'x', -0.5f}}}};
  std::string text;
  append_prompt_logprobs(text, {'a', 'b'}, known, tokenizer);
  EXPECT_EQ(text, R"([null,{"98":{"logprob":-2.0,"rank":2,"decoded_token":"b"},)"
                  R"("120":{"logprob":-0.5,"rank":1,"decoded_token":"x"}}])");
}

}  // namespace
}  // namespace minimax::api
