#include "chat/guide.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/json.h"
#include "grammar/compiler.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::chat {
namespace {

using tokenizer::TokenId;

class GuideTest : public testing::Test {
 protected:
  GuideTest()
      : tokenizer_(tokenizer::Tokenizer::parse(to_string(tokenizer::small_tokenizer({})), "tokenizer.json")) {
    options_.after_thinking = true;
    options_.end_ids = {id("[e~[")};
    options_.think_end = id("</think>");
    options_.tool_begin = id("<minimax:tool_call>");
  }

  TokenId id(std::string_view text) const { return *tokenizer_.added_id(text); }
  std::unique_ptr<engine::Guide> start() { return make_guide(options_)->start(); }
  // The ids that may come; nothing: any.
  std::optional<std::vector<TokenId>> allowed(engine::Guide& guide) const {
    std::vector<uint32_t> mask((static_cast<size_t>(tokenizer_.size()) + 31) / 32, 0);
    if (!guide.fill(mask)) return {};
    std::vector<TokenId> ids;
    for (TokenId i = 0; i < tokenizer_.size(); ++i) {
      if ((mask[static_cast<size_t>(i) / 32] >> (i % 32) & 1) != 0) ids.push_back(i);
    }
    return ids;
  }
  void choose_from(std::vector<std::string> choices) {
    grammar::Constraint constraint;
    constraint.kind = grammar::Constraint::Kind::kChoice;
    constraint.choices = std::move(choices);
    options_.machine = *compiler_.compile(constraint);
  }

  tokenizer::Tokenizer tokenizer_;
  grammar::Compiler compiler_{text_tokens(tokenizer_)};  // its vocabulary is that of the machines
  GuideOptions options_;
};

using Ids = std::vector<TokenId>;

TEST_F(GuideTest, SpentThinkingMustEnd) {
  options_.thinking_tokens_max = 2;
  const auto guide = start();
  for (const TokenId token : {'a', 'b'}) {
    EXPECT_FALSE(allowed(*guide)) << "thinking is free";
    EXPECT_FALSE(guide->finished());
    EXPECT_TRUE(guide->accept(token));
  }
  EXPECT_EQ(allowed(*guide), Ids{id("</think>")});
  EXPECT_TRUE(guide->accept(id("</think>")));
  EXPECT_FALSE(allowed(*guide)) << "so is what follows";
  EXPECT_TRUE(guide->finished());
}

TEST_F(GuideTest, WithoutAnyBudgetThinkingEndsAtOnce) {
  options_.thinking_tokens_max = 0;
  EXPECT_EQ(allowed(*start()), Ids{id("</think>")});
}

TEST_F(GuideTest, ThinkingThatEndsByItselfOrByACallIsLeftAlone) {
  for (const char* marker : {"</think>", "<minimax:tool_call>"}) {
    options_.thinking_tokens_max = 3;
    const auto guide = start();
    guide->accept('a');
    EXPECT_TRUE(guide->accept(id(marker)));
    EXPECT_TRUE(guide->finished()) << marker;
  }
}

TEST_F(GuideTest, TheAnswerIsGuidedBehindSpentThinking) {
  choose_from({"xy"});
  options_.thinking_tokens_max = 1;
  const auto guide = start();
  const std::optional<Ids> free = allowed(*guide);
  ASSERT_TRUE(free);
  for (const TokenId evading : {id("[e~["), id("<minimax:tool_call>")})
    EXPECT_EQ(std::ranges::count(*free, evading), 0) << evading;
  EXPECT_EQ(std::ranges::count(*free, 'a'), 1);
  guide->accept('a');
  EXPECT_EQ(allowed(*guide), Ids{id("</think>")});
  guide->accept(id("</think>"));
  EXPECT_EQ(allowed(*guide), Ids{'x'});
  EXPECT_TRUE(guide->accept('x'));
  EXPECT_FALSE(guide->accept('y')) << "nothing may follow";
  EXPECT_FALSE(guide->finished());
}

}  // namespace
}  // namespace minimax::chat
