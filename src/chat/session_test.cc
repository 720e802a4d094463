#include "chat/session.h"

#include <gtest/gtest.h>

#include "executor/fake.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::chat {
namespace {

using engine::FinishReason;
using tokenizer::TokenId;

// A world in which the fake model says what the test wants: logit_bias 100 forces a token, so texts are
// scripted by allowing one id; longer scripts come from the pipeline tests below.
struct World {
  explicit World(int64_t step_us = 0)
      : tokenizer(tokenizer::Tokenizer::parse(to_string(tokenizer::small_tokenizer({})), "small")),
        executor({.limits = limits(tokenizer.size()), .step_us = step_us, .not_finite_every = 0}),
        engine(executor, {}) {}

  static executor::Limits limits(int32_t vocab_size) {
    executor::Limits limits = executor::fake_limits();
    limits.vocab_size = vocab_size;
    limits.mask_words = (vocab_size + 31) / 32;
    limits.block_count = 64;
    limits.context_tokens_max = 200;
    return limits;
  }

  GenerationRequest request(std::vector<TokenId> allowed, int32_t max_tokens) {
    GenerationRequest out;
    out.request.id = "test";
    out.request.prompt = {1, 2, 3};
    out.request.max_tokens = max_tokens;
    out.request.spec.temperature = 0;
    out.request.spec.allowed_ids = std::move(allowed);
    return out;
  }

  std::vector<Update> run(Session& session) {
    std::vector<Update> updates;
    while (session.poll(updates)) session.wait();
    return updates;
  }

  tokenizer::Tokenizer tokenizer;
  executor::FakeExecutor executor;
  engine::Engine engine;
};

std::string content_of(const std::vector<Update>& updates, int32_t sample_idx = 0) {
  std::string out;
  for (const Update& update : updates) {
    if (update.sample_idx == sample_idx) out += update.delta.content;
  }
  return out;
}

const Finish& finish_of(const std::vector<Update>& updates, int32_t sample_idx = 0) {
  for (const Update& update : updates) {
    if (update.sample_idx == sample_idx && update.finish) return *update.finish;
  }
  ADD_FAILURE() << "no finish";
  static const Finish kNone;
  return kNone;
}

TEST(Session, TextComesInOrderAndEndsByLength) {
  World world;
  auto session = Session::start(world.engine, world.tokenizer, world.request({'x'}, 5));
  ASSERT_TRUE(session.ok());
  const auto updates = world.run(**session);
  EXPECT_EQ(content_of(updates), "xxxxx");
  EXPECT_EQ(finish_of(updates).reason, FinishReason::kLength);
  EXPECT_EQ((*session)->usage().completion_tokens, 5);
  EXPECT_EQ((*session)->usage().prompt_tokens, 3);
}

TEST(Session, AStopStringEndsTheSampleInTheEngineToo) {
  World world(5000);  // steps long enough for a reader on a busy machine to be heard before the last
  GenerationRequest request = world.request({'x'}, 100);
  request.stop = {"xxx"};
  auto session = Session::start(world.engine, world.tokenizer, request);
  const auto updates = world.run(**session);
  EXPECT_EQ(content_of(updates), "");
  EXPECT_EQ(finish_of(updates).reason, FinishReason::kStop);
  EXPECT_EQ(std::get<std::string>(finish_of(updates).stop_reason), "xxx");
  while (!world.engine.idle()) {
  }
  EXPECT_LT(world.engine.stats().generation_tokens, 100);
}

TEST(Session, EosIsNoTextAndNoStopReasonButOwnStopIdsAre) {
  World world;
  const TokenId eos = *world.tokenizer.added_id("[e~[");
  GenerationRequest request = world.request({eos}, 5);
  request.request.spec.stop_ids = {eos, 'q'};
  request.eos_ids = {eos};
  request.skip_special_tokens = false;
  auto session = Session::start(world.engine, world.tokenizer, request);
  auto updates = world.run(**session);
  EXPECT_EQ(content_of(updates), "");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(finish_of(updates).stop_reason));
  request.request.spec.allowed_ids = {'q'};
  session = Session::start(world.engine, world.tokenizer, request);
  updates = world.run(**session);
  EXPECT_EQ(content_of(updates), "");
  EXPECT_EQ(std::get<TokenId>(finish_of(updates).stop_reason), 'q');
  request.include_stop_str = true;
  session = Session::start(world.engine, world.tokenizer, request);
  EXPECT_EQ(content_of(world.run(**session)), "q");
}

TEST(Session, EverySampleHasAPipelineOfItsOwn) {
  World world;
  GenerationRequest request = world.request({'a', 'b', 'c', 'd', 'e', 'f'}, 30);
  request.request.n = 3;
  request.request.spec.temperature = 1;
  auto session = Session::start(world.engine, world.tokenizer, request);
  const auto updates = world.run(**session);
  EXPECT_EQ(content_of(updates, 0).size(), 30u);
  EXPECT_NE(content_of(updates, 0), content_of(updates, 1));
  EXPECT_NE(content_of(updates, 1), content_of(updates, 2));
}

TEST(Session, AFailureOfTheEngineIsHandedOn) {
  World world;
  GenerationRequest request = world.request({'x'}, 5);
  request.request.prompt.clear();
  EXPECT_FALSE(Session::start(world.engine, world.tokenizer, request).ok());
}

}  // namespace
}  // namespace minimax::chat
