// The sampler against the oracle's: the same tokens for the same logits, always.

#include "backend/cpu/sample.h"

#include <cmath>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "backend/cpu/test_ops.h"
#include "backend/ref/sample.h"

namespace minimax::backend::cpu {
namespace {

using executor::SampleSpec;
using executor::TokenId;

// Logits of several characters: flat, peaked, with many equal values, with masked ids.
std::vector<float> make_logits(int32_t vocab, uint64_t kind, Values& random) {
  constexpr float kDeviations[] = {0.01f, 1.0f, 3.0f, 10.0f};
  std::vector<float> logits = random.f32(vocab, kDeviations[kind % 4]);
  if (kind % 3 == 1)  // bf16 heads make ties
    for (float& x : logits) x = round_to_bf16(x);
  if (kind % 5 == 2)
    for (size_t i = 0; i < logits.size(); i += 3) logits[i] = -std::numeric_limits<float>::infinity();
  if (kind % 7 == 3) logits[logits.size() / 2] += 20.0f;
  return logits;
}

common::SlotState make_slot(int32_t vocab, uint64_t kind, Values& random) {
  common::SlotState slot;
  const auto pick = [&](auto... choices) {
    const float all[] = {static_cast<float>(choices)...};
    return all[random.next() % sizeof...(choices)];
  };
  const auto id = [&] { return static_cast<TokenId>(random.next() % static_cast<uint64_t>(vocab)); };
  SampleSpec& spec = slot.spec;
  spec.temperature = pick(0, 0.3, 0.7, 1, 1, 1.7);
  spec.top_p = pick(1, 1, 0.95, 0.5, 0.999, 1e-4);
  spec.min_p = pick(0, 0, 0, 0.05, 0.5, 1);
  spec.top_k = static_cast<int32_t>(pick(0, 0, 1, 2, 40, 300, vocab, 2 * vocab));
  spec.seed = random.next();
  spec.sample_idx = static_cast<int32_t>(kind % 3);
  if (kind % 4 == 1) {
    spec.repetition_penalty = 1.3f;
    spec.frequency_penalty = 0.2f;
    spec.presence_penalty = -0.4f;
  }
  if (kind % 6 == 2) spec.logit_bias = {{id(), 5.0f}, {id(), -100.0f}, {id(), 2.5f}};
  if (kind % 6 == 3)
    for (int i = 0; i < 10; ++i) spec.allowed_ids.push_back(id());
  slot.prompt_tokens = 20;
  for (int i = 0; i < 30; ++i) slot.tokens.push_back(id());
  if (kind % 6 == 4) spec.bad_words = {{id()}, {slot.tokens.back(), id()}, {id(), id()}};
  if (kind % 5 == 1) {
    spec.min_tokens = 11 - static_cast<int32_t>(kind % 2);
    spec.stop_ids = {id(), id()};
  }
  if (common::needs_counts(spec)) slot.counts = common::count_tokens(slot.tokens, slot.prompt_tokens);
  return slot;
}

TEST(Sampler, DrawsTheOraclesToken) {
  for (const Isa isa : available_isas()) {
    for (const int32_t vocab : {1, 63, 64, 500, 4099}) {
      Sampler sampler(kernels_of(isa), vocab);
      Values random(static_cast<uint64_t>(vocab));
      std::set<TokenId> seen;
      for (uint64_t kind = 0; kind < 400; ++kind) {
        const std::vector<float> logits = make_logits(vocab, kind, random);
        const common::SlotState slot = make_slot(vocab, kind, random);
        std::vector<uint32_t> mask;
        if (kind % 9 == 5)
          for (int32_t i = 0; i < (vocab + 31) / 32; ++i)
            mask.push_back(static_cast<uint32_t>(random.next()));
        const ref::Draw expected = ref::draw_token(logits, {.spec = slot.spec,
                                                            .history = slot.tokens,
                                                            .prompt_tokens = slot.prompt_tokens,
                                                            .output_position = slot.output_tokens(),
                                                            .mask = mask});
        const Sampler::Draw drawn = sampler.draw(logits.data(), slot, slot.output_tokens(), mask);
        ASSERT_EQ(drawn.token, expected.token) << name_of(isa) << " vocab " << vocab << " kind " << kind;
        ASSERT_EQ(drawn.outcome, expected.outcome) << name_of(isa) << " vocab " << vocab << " kind " << kind;
        seen.insert(drawn.token);
      }
      if (vocab < 500) continue;
      EXPECT_GT(seen.size(), 50u);  // the cases are not all alike
    }
  }
}

TEST(Sampler, DrawsTheOraclesTokenFromALargeVocabulary) {
  constexpr int32_t kVocab = 200064;
  Values random(9);
  for (const Isa isa : available_isas()) {
    Sampler sampler(kernels_of(isa), kVocab);
    for (uint64_t kind = 0; kind < 6; ++kind) {
      const std::vector<float> logits = make_logits(kVocab, kind, random);
      common::SlotState slot;
      slot.spec.seed = random.next();
      if (kind % 3 != 0) slot.spec.top_p = 0.95f;
      if (kind % 3 == 1) slot.spec.top_k = 40;
      const ref::Draw expected = ref::draw_token(logits, {.spec = slot.spec, .history = {}});
      EXPECT_EQ(sampler.draw(logits.data(), slot, 0, {}).token, expected.token)
          << name_of(isa) << " " << kind;
    }
  }
}

TEST(Sampler, ScoresAsTheOracle) {
  for (const Isa isa : available_isas()) {
    for (const int32_t vocab : {1, 70, 4099}) {
      Sampler sampler(kernels_of(isa), vocab);
      Values random(5);
      for (uint64_t kind = 0; kind < 60; ++kind) {
        const std::vector<float> logits = make_logits(vocab, kind, random);
        const auto token = static_cast<TokenId>(random.next() % static_cast<uint64_t>(vocab));
        const int32_t top_k = kind % 2 == 0 ? 20 : static_cast<int32_t>(kind % 5) * vocab;
        std::vector<executor::TopLogprob> top, oracle_top;
        const auto expected = ref::score_token(logits, token, top_k, oracle_top);
        const auto scored = sampler.score(logits.data(), token, top_k, top);
        if (!std::isfinite(expected.logprob)) {
          EXPECT_EQ(std::isnan(scored.logprob), std::isnan(expected.logprob));
          EXPECT_EQ(std::isinf(scored.logprob), std::isinf(expected.logprob));
        } else {
          // The sum of exponentials is right to 2^-20; what is left is the rounding of the result.
          EXPECT_NEAR(scored.logprob, expected.logprob, 2e-6f + 0x1p-22f * std::fabs(expected.logprob));
        }
        EXPECT_EQ(scored.rank, expected.rank);
        ASSERT_EQ(top.size(), oracle_top.size());
        for (size_t i = 0; i < top.size(); ++i) ASSERT_EQ(top[i].token, oracle_top[i].token) << i;
      }
    }
  }
}

TEST(Sampler, RefusesNanAndInfinity) {
  for (const Isa isa : available_isas()) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const size_t place : {0u, 65u, 99u}) {
        std::vector<float> logits(100, 1.0f);
        logits[place] = bad;
        Sampler sampler(kernels_of(isa), 100);
        common::SlotState slot;
        slot.spec.allowed_ids = {3, static_cast<TokenId>(place)};  // seen also under a mask
        EXPECT_EQ(sampler.draw(logits.data(), slot, 0, {}).outcome, executor::SampleOutcome::kNotFinite);
        slot.spec.temperature = 0;
        EXPECT_EQ(sampler.draw(logits.data(), slot, 0, {}).outcome, executor::SampleOutcome::kNotFinite);
      }
    }
  }
}

}  // namespace
}  // namespace minimax::backend::cpu
