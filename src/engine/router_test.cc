#include "engine/router.h"

#include <map>

#include <gtest/gtest.h>

namespace minimax::engine {
namespace {

using Prompt = std::vector<executor::TokenId>;

// `blocks` blocks of four tokens, and one token more.
Prompt prompt_of(int32_t first, int32_t blocks) {
  Prompt prompt;
  for (int32_t i = 0; i < 4 * blocks + 1; ++i) prompt.push_back(first + i);
  return prompt;
}

RouterOptions three() {
  return {.replicas = 3, .block_tokens = 4, .hints_max = 100};
}

TEST(Router, SpreadsWhatItDoesNotKnowOverTheLeastBusy) {
  Router router(three());
  std::map<int32_t, int> given;
  for (int32_t i = 0; i < 9; ++i)
    ++given[router.choose("", prompt_of(100 * i, 2), std::vector<int64_t>{0, 0, 0})];
  EXPECT_EQ(given, (std::map<int32_t, int>{{0, 3}, {1, 3}, {2, 3}}));
  EXPECT_EQ(router.choose("", prompt_of(5000, 2), std::vector<int64_t>{3, 2, 7}), 1);
  EXPECT_EQ(router.by_load(), 10);
}

TEST(Router, FollowsThePrefixUnlessItsReplicaIsBusy) {
  Router router(three());
  const Prompt prompt = prompt_of(0, 3);
  const int32_t home = router.choose("", prompt, std::vector<int64_t>{1, 0, 1});
  EXPECT_EQ(home, 1);
  Prompt longer = prompt;  // the same three blocks, then others
  for (int32_t i = 0; i < 20; ++i) longer.push_back(7);
  EXPECT_EQ(router.choose("", longer, std::vector<int64_t>{0, Router::kOpenSlack, 0}), home);
  EXPECT_EQ(router.by_prefix(), 1);
  // Another salt is another prefix.
  EXPECT_NE(router.choose("tenant", prompt, std::vector<int64_t>{0, Router::kOpenSlack, 0}), home);
  const int32_t elsewhere = router.choose("", longer, std::vector<int64_t>{0, Router::kOpenSlack + 1, 9});
  EXPECT_EQ(elsewhere, 0);
  // It is there now too, and the last place counts.
  EXPECT_EQ(router.choose("", longer, std::vector<int64_t>{1, 0, 0}), elsewhere);
}

TEST(Router, AFullReplicaGetsNothing) {
  Router router(three());
  const Prompt prompt = prompt_of(0, 3);
  const int32_t home = router.choose("", prompt, std::vector<int64_t>{0, 1, 1});
  EXPECT_EQ(home, 0);
  EXPECT_EQ(router.choose("", prompt, std::vector<int64_t>{Router::kFull, 5, 4}), 2);
  EXPECT_EQ(router.choose("", prompt, std::vector<int64_t>(3, Router::kFull)), -1);
}

TEST(Router, ForgetsTheLeastRecentlyUsedAndKeepsTheBeginnings) {
  RouterOptions options = three();
  options.hints_max = 5;
  Router router(options);
  const int32_t home = router.choose("", prompt_of(0, 4), std::vector<int64_t>{0, 1, 1});
  router.choose("", prompt_of(900, 3), std::vector<int64_t>{1, 0, 1});
  EXPECT_EQ(router.hints(), 5);
  EXPECT_EQ(router.choose("", prompt_of(0, 4), std::vector<int64_t>{2, 0, 0}),
            home);  // by its first two blocks
  router.clear();
  EXPECT_NE(router.choose("", prompt_of(0, 4), std::vector<int64_t>{2, 0, 0}), home);
}

TEST(Router, WithoutPrefixCachingTheLoadDecides) {
  RouterOptions options = three();
  options.prefixes = false;
  Router router(options);
  const Prompt prompt = prompt_of(0, 3);
  EXPECT_EQ(router.choose("", prompt, std::vector<int64_t>{0, 1, 1}), 0);
  EXPECT_EQ(router.choose("", prompt, std::vector<int64_t>{1, 1, 0}), 2);
  EXPECT_EQ(router.hints(), 0);
}

}  // namespace
}  // namespace minimax::engine
