#include "backend/cuda/device_sampler.h"

#include <cmath>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/sample.h"
#include "base/check.h"

namespace minimax::backend::cuda {
namespace {

using executor::SampleOutcome;
using executor::SampleSpec;
using executor::TokenId;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What a draw is a function of.
struct Case {
  std::vector<float> logits;
  common::SlotState slot;
  std::vector<uint32_t> mask;
};

// Spread like a model's, flat, few-valued (ties), or broken.
std::vector<float> random_logits(std::mt19937& random, int32_t vocab) {
  std::vector<float> logits(static_cast<size_t>(vocab));
  const int kind = static_cast<int>(random() % 8);
  std::normal_distribution<float> normal(0.0f, kind == 0 ? 0.01f : kind == 1 ? 12.0f : 3.0f);
  for (float& x : logits) x = kind == 2 ? std::round(normal(random)) : normal(random);
  if (kind == 3) logits[random() % logits.size()] = NAN;
  if (kind == 4) std::fill(logits.begin(), logits.end(), random() % 2 == 0 ? 0.0f : -kInfinity);
  if (kind == 5)
    for (size_t i = 0; i < logits.size(); ++i)
      if (i % 7 != 3) logits[i] = -kInfinity;
  return logits;
}

Case random_case(std::mt19937& random, int32_t vocab) {
  const auto chance = [&](unsigned one_in) { return random() % one_in == 0; };
  const auto token = [&] { return static_cast<TokenId>(random() % static_cast<unsigned>(vocab)); };
  const auto one_of = [&](std::initializer_list<float> values) {
    return values.begin()[random() % values.size()];
  };
  Case result;
  result.logits = random_logits(random, vocab);
  SampleSpec& spec = result.slot.spec;
  spec.temperature = one_of({0.0f, 0.3f, 0.7f, 1.0f, 1.0f, 2.5f});
  spec.top_k = static_cast<int32_t>(one_of({0, 0, 1, 5, 40, 40, 300, 100000}));
  spec.top_p = one_of({1.0f, 1.0f, 0.95f, 0.5f, 0.01f});
  spec.min_p = one_of({0.0f, 0.0f, 0.0f, 0.05f, 1.0f});
  spec.seed = random();
  spec.sample_idx = static_cast<int32_t>(random() % 3);
  const size_t prompt = 1 + random() % 50, output = random() % 50;
  for (size_t i = 0; i < prompt + output; ++i) result.slot.tokens.push_back(token());
  result.slot.prompt_tokens = static_cast<int32_t>(prompt);
  if (chance(3)) spec.repetition_penalty = 1.3f;
  if (chance(4)) spec.frequency_penalty = 0.4f;
  if (chance(4)) spec.presence_penalty = -0.7f;
  if (chance(4))
    for (int i = 0; i < 20; ++i)
      spec.logit_bias.push_back({static_cast<TokenId>(token() % 12), one_of({-3.0f, 2.5f, 0.1f})});
  if (chance(4)) {
    spec.stop_ids = {token(), token()};
    spec.min_tokens = static_cast<int32_t>(random() % 60);
  }
  if (chance(4)) spec.bad_words = {{token()}, {result.slot.tokens.back(), token()}, {token(), token()}};
  if (chance(4)) {
    result.mask.resize(static_cast<size_t>((vocab + 31) / 32));
    for (uint32_t& word : result.mask) word = random() & random();
  }
  if (common::needs_counts(spec))
    result.slot.counts = common::count_tokens(result.slot.tokens, result.slot.prompt_tokens);
  return result;
}

class DeviceSamplerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (device_count() == 0) GTEST_SKIP() << "no CUDA device: nothing of the device's sampler was run";
    select_device(0);
  }
};

// Returns how many of the draws were left to the host.
int32_t compare(std::mt19937& random, int32_t vocab, int32_t rounds) {
  const Stream stream;
  DeviceSampler sampler(stream, vocab);
  cpu::Sampler reference(cpu::kernels_of(cpu::choose_isa("")), vocab);
  const int32_t stride = vocab + 5;
  DeviceMemory logits(int64_t{4} * stride * kDrawsMax, "logits");
  int32_t left = 0;
  for (int32_t round = 0; round < rounds; ++round) {
    std::vector<Case> cases;
    sampler.clear();
    for (int32_t i = 0; i < kDrawsMax; ++i) {
      const Case& one = cases.emplace_back(random_case(random, vocab));
      logits.upload(int64_t{4} * stride * i, one.logits.data(), int64_t{4} * vocab);
      const executor::Sample sample{.output_position = one.slot.output_tokens()};
      EXPECT_EQ(sampler.add(one.slot, sample, i, one.mask), DeviceSampler::Added::kYes);
    }
    EXPECT_EQ(sampler.add(cases[0].slot, {}, 0, {}), DeviceSampler::Added::kFull);
    sampler.run(logits.as<float>(), stride);
    for (int32_t i = 0; i < kDrawsMax; ++i) {
      const Case& one = cases[static_cast<size_t>(i)];
      if (sampler.token(i) == kDrawUndecided) {
        ++left;
        continue;
      }
      const auto expected = reference.draw(one.logits.data(), one.slot, one.slot.output_tokens(), one.mask);
      EXPECT_EQ(sampler.token(i), expected.token)
          << "vocab " << vocab << ", round " << round << ", draw " << i << ": temperature "
          << one.slot.spec.temperature << ", top_k " << one.slot.spec.top_k << ", top_p "
          << one.slot.spec.top_p << ", min_p " << one.slot.spec.min_p;
    }
  }
  return left;
}

TEST_F(DeviceSamplerTest, DrawsTheTokensOfTheHost) {
  std::mt19937 random(20251126);
  // Whole and ragged groups, quads and mask words; few ids always fit.
  for (const int32_t vocab : {1, 7, 64, 500, 2048, 3001}) EXPECT_EQ(compare(random, vocab, 6), 0) << vocab;
  const int32_t rounds = 4;
  EXPECT_LT(compare(random, 50017, rounds), rounds * kDrawsMax / 2);
}

TEST_F(DeviceSamplerTest, LeavesToTheHostWhatItDoesNotServe) {
  const Stream stream;
  DeviceSampler sampler(stream, 100);
  common::SlotState slot;
  slot.spec.allowed_ids = {1, 2};
  EXPECT_EQ(sampler.add(slot, {}, 0, {}), DeviceSampler::Added::kHost);
  slot.spec = {};
  slot.spec.logprobs = 0;
  EXPECT_EQ(sampler.add(slot, {}, 0, {}), DeviceSampler::Added::kHost);
}

}  // namespace
}  // namespace minimax::backend::cuda
