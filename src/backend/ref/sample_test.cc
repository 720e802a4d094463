#include "backend/ref/sample.h"

#include <cmath>
#include <functional>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace minimax::backend::ref {
namespace {

using executor::SampleOutcome;
using executor::SampleSpec;
using testing::ElementsAre;

constexpr float kNone = -INFINITY;
using F = std::vector<float>;
using Ids = std::vector<int32_t>;

std::vector<int32_t> kept(const F& logits, const SampleSpec& spec) {
  Ids ids;
  for (const Candidate& candidate : select_candidates(logits, spec)) ids.push_back(candidate.token);
  return ids;
}

F adjusted(const F& logits, const SampleSpec& spec, const Ids& history = {}, int32_t prompt_tokens = 0,
           const std::vector<uint32_t>& mask = {}) {
  return adjust_logits(logits, {.spec = spec,
                                .history = history,
                                .prompt_tokens = prompt_tokens,
                                .output_position = static_cast<int32_t>(history.size()) - prompt_tokens,
                                .mask = mask});
}

Draw draw(const F& logits, const SampleSpec& spec, int32_t output_position = 0) {
  return draw_token(logits, {.spec = spec, .history = {}, .output_position = output_position});
}

SampleSpec greedy() {
  SampleSpec spec;
  spec.temperature = 0;
  return spec;
}

TEST(Adjust, AllowedIdsAndMaskBothHold) {
  SampleSpec spec;
  spec.allowed_ids = {0, 2, 3};
  EXPECT_THAT(adjusted({1, 2, 3, 4}, spec), ElementsAre(1, kNone, 3, 4));
  EXPECT_THAT(adjusted({1, 2, 3, 4}, spec, {}, 0, {0b0110}), ElementsAre(kNone, kNone, 3, kNone));
  EXPECT_THAT(adjusted({1, 2, 3, 4}, {}, {}, 0, {0b1001}), ElementsAre(1, kNone, kNone, 4));
}

TEST(Adjust, BadWordsMaskTheirLastIdAfterTheIdsBefore) {
  SampleSpec spec;
  spec.bad_words = {{2, 3}, {1}, {0, 2, 0}};
  EXPECT_THAT(adjusted({1, 1, 1, 1}, spec), ElementsAre(1, kNone, 1, 1));
  // The tail may reach into the prompt, and across its end.
  EXPECT_THAT(adjusted({1, 1, 1, 1}, spec, {0, 2}, 2), ElementsAre(kNone, kNone, 1, kNone));
  EXPECT_THAT(adjusted({1, 1, 1, 1}, spec, {0, 2}, 1), ElementsAre(kNone, kNone, 1, kNone));
  EXPECT_THAT(adjusted({1, 1, 1, 1}, spec, {2, 0}, 0), ElementsAre(1, kNone, 1, 1));
}

TEST(Adjust, StopIdsAreMaskedUntilMinTokens) {
  SampleSpec spec;
  spec.stop_ids = {1, 3};
  spec.min_tokens = 2;
  EXPECT_THAT(adjusted({1, 1, 1, 1}, spec, {0, 0}, 2), ElementsAre(1, kNone, 1, kNone));
  EXPECT_THAT(adjusted({1, 1, 1, 1}, spec, {0, 0}, 1), ElementsAre(1, kNone, 1, kNone));
  EXPECT_THAT(adjusted({1, 1, 1, 1}, spec, {0, 0}, 0), ElementsAre(1, 1, 1, 1));
}

TEST(Adjust, PenaltiesFollowTheirFormulas) {
  SampleSpec spec;
  spec.repetition_penalty = 2;
  spec.frequency_penalty = 0.5;
  spec.presence_penalty = 0.25;
  // Id 0 only in the prompt; 1 twice, and 2 once in the output; 3 nowhere. The bias comes before them.
  spec.logit_bias = {{2, -5.0f}};
  EXPECT_THAT(adjusted({4, 4, 1, 4}, spec, {0, 1, 1, 2}, 1),
              ElementsAre(2, 2 - 1 - 0.25f, -4 * 2 - 0.5f - 0.25f, 4));
}

TEST(Adjust, PenaltiesDependOnWhereThePromptEndsAlone) {
  SampleSpec spec;
  spec.presence_penalty = 1;
  EXPECT_THAT(adjusted({1, 1, 1}, spec, {0, 1}, 2), ElementsAre(1, 1, 1));
  EXPECT_THAT(adjusted({1, 1, 1}, spec, {0, 1}, 1), ElementsAre(1, 0, 1));
  EXPECT_THAT(adjusted({1, 1, 1}, spec, {0, 1}, 0), ElementsAre(0, 0, 1));
}

TEST(Adjust, BiasCannotBringBackAMaskedId) {
  SampleSpec spec;
  spec.allowed_ids = {1};
  spec.logit_bias = {{0, 100}, {1, 1}};
  EXPECT_THAT(adjusted({1, 1}, spec), ElementsAre(kNone, 2));
}

TEST(Select, TopKKeepsTiesWithTheKth) {
  SampleSpec spec;
  spec.top_k = 2;
  EXPECT_THAT(kept({1, 3, 2, 2, 0}, spec), ElementsAre(1, 2, 3));
  spec.top_k = 1;
  EXPECT_THAT(kept({1, 3, 2, 2, 0}, spec), ElementsAre(1));
  spec.top_k = 99;
  EXPECT_THAT(kept({1, 3, 2, 2, 0}, spec), ElementsAre(1, 2, 3, 0, 4));
}

TEST(Select, TopPKeepsTheSmallestSetThatReachesItTiesById) {
  SampleSpec spec;
  const auto l = [](double p) { return static_cast<float>(std::log(p)); };
  const F logits = {l(0.2), l(0.3), l(0.1), l(0.2), l(0.2)};
  spec.top_p = 0.29f;
  EXPECT_THAT(kept(logits, spec), ElementsAre(1));
  spec.top_p = 0.31f;
  EXPECT_THAT(kept(logits, spec), ElementsAre(1, 0));
  spec.top_p = 0.69f;
  EXPECT_THAT(kept(logits, spec), ElementsAre(1, 0, 3));
  spec.top_p = 1e-6f;
  EXPECT_THAT(kept(logits, spec), ElementsAre(1));
  spec.top_p = 1;
  EXPECT_EQ(kept(logits, spec).size(), 5u);
}

TEST(Select, TopPIsExactOnEqualMasses) {
  SampleSpec spec;
  spec.top_p = 0.5f;  // exactly two of four
  EXPECT_THAT(kept({1, 1, 1, 1}, spec), ElementsAre(0, 1));
}

TEST(Select, TopPCountsOnlyWhatTopKLeft) {
  SampleSpec spec;
  spec.top_k = 2;  // 0.5 and 0.25 of the whole: two thirds and one third of what is left
  spec.top_p = 0.65f;
  const F logits = {std::log(0.5f), std::log(0.25f), std::log(0.125f), std::log(0.125f)};
  EXPECT_THAT(kept(logits, spec), ElementsAre(0));
  spec.top_k = 0;
  EXPECT_THAT(kept(logits, spec), ElementsAre(0, 1));
}

TEST(Select, MinPIsRelativeToTheLikeliestAndAfterTemperature) {
  SampleSpec spec;
  const F logits = {0, std::log(0.49f), std::log(0.51f)};
  spec.min_p = 0.5f;
  EXPECT_THAT(kept(logits, spec), ElementsAre(0, 2));
  spec.temperature = 2;  // 0.7 and 0.71 of the largest
  EXPECT_THAT(kept(logits, spec), ElementsAre(0, 2, 1));
  spec.min_p = 1;
  EXPECT_THAT(kept(logits, spec), ElementsAre(0));
}

TEST(Draw, GreedyTakesTheLowestIdAmongEquals) {
  EXPECT_EQ(draw({1, 5, 5, 2}, greedy()).token, 1);
}

TEST(Draw, StopIdIsReported) {
  SampleSpec spec = greedy();
  spec.stop_ids = {1};
  EXPECT_EQ(draw({1, 5}, spec).outcome, SampleOutcome::kStop);
  EXPECT_EQ(draw({5, 1}, spec).outcome, SampleOutcome::kToken);
}

TEST(Draw, RowsThatCannotBeDrawnFromSaySo) {
  for (const float temperature : {0.0f, 1.0f}) {
    SampleSpec spec;
    spec.temperature = temperature;
    EXPECT_EQ(draw({1, NAN}, spec).outcome, SampleOutcome::kNotFinite);
    EXPECT_EQ(draw({1, INFINITY}, spec).outcome, SampleOutcome::kNotFinite);
    EXPECT_EQ(draw({kNone, kNone}, spec).outcome, SampleOutcome::kNotFinite);
    EXPECT_EQ(draw({kNone, 1}, spec).token, 1);
  }
}

TEST(Draw, DependsOnSeedSampleAndPositionAlone) {
  const F logits(50, 1.0f);
  SampleSpec spec;
  std::set<int32_t> tokens;
  for (int32_t position = 0; position < 200; ++position) {
    EXPECT_EQ(draw(logits, spec, position).token, draw(logits, spec, position).token);
    tokens.insert(draw(logits, spec, position).token);
  }
  EXPECT_GT(tokens.size(), 40u);
  const auto first_tokens = [&](uint64_t seed, int32_t sample_idx) {
    SampleSpec other;
    other.seed = seed;
    other.sample_idx = sample_idx;
    Ids ids;
    for (int32_t position = 0; position < 10; ++position) ids.push_back(draw(logits, other, position).token);
    return ids;
  };
  EXPECT_NE(first_tokens(1, 0), first_tokens(2, 0));
  EXPECT_NE(first_tokens(1, 0), first_tokens(1, 1));
}

// Adding a constant to all logits, or removing ids that a filter drops anyway, does not change the draw.
TEST(Draw, IsTheSameWithAndWithoutIdsThatFiltersDrop) {
  F logits;
  for (int id = 0; id < 64; ++id) logits.push_back(static_cast<float>((id * 37) % 64) / 8);
  SampleSpec spec;
  spec.top_k = 8;
  F only(64, kNone);
  for (const int32_t id : kept(logits, spec)) only[static_cast<size_t>(id)] = logits[static_cast<size_t>(id)];
  for (int32_t position = 0; position < 100; ++position)
    EXPECT_EQ(draw(logits, spec, position).token, draw(only, {}, position).token);
}

// Pearson's chi-square of many draws against the exact distribution of what the filters leave.
void expect_distribution(const F& logits, const SampleSpec& spec) {
  constexpr int kDraws = 20000;
  const std::vector<Candidate> candidates = select_candidates(logits, spec);
  double total = 0;
  for (const Candidate& candidate : candidates) total += std::exp(candidate.x);
  std::map<int32_t, int> counts;
  for (int32_t position = 0; position < kDraws; ++position) ++counts[draw(logits, spec, position).token];
  double chi_square = 0;
  int seen = 0;
  for (const Candidate& candidate : candidates) {
    const double expected = kDraws * std::exp(candidate.x) / total;
    const int count = counts[candidate.token];
    chi_square += (count - expected) * (count - expected) / expected;
    seen += count;
  }
  EXPECT_EQ(seen, kDraws) << "a token was drawn that the filters drop";
  // Mean d, variance 2 d: five standard deviations.
  const double degrees = static_cast<double>(candidates.size()) - 1;
  EXPECT_LT(chi_square, degrees + 5 * std::sqrt(2 * degrees) + 5);
}

TEST(Draw, FollowsTheExactDistribution) {
  F logits;
  for (int id = 0; id < 100; ++id) logits.push_back(std::sin(static_cast<float>(id)) * 2);
  const std::vector<std::function<void(SampleSpec&)>> changes = {
      [](SampleSpec&) {},
      [](SampleSpec& spec) { spec.temperature = 0.5f; },
      [](SampleSpec& spec) { spec.temperature = 3; },
      [](SampleSpec& spec) { spec.top_k = 7; },
      [](SampleSpec& spec) { spec.top_p = 0.6f; },
      [](SampleSpec& spec) { spec.min_p = 0.3f; },
      [](SampleSpec& spec) {
        spec.temperature = 0.8f, spec.top_k = 40, spec.top_p = 0.95f, spec.min_p = 0.02f;
      }};
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    SampleSpec spec;
    spec.seed = 1000 + i;
    changes[i](spec);
    expect_distribution(logits, spec);
  }
}

TEST(Score, GivesRawLogProbabilityRankAndTop) {
  const F logits = {0, 2, 1, 2, -1};
  double sum = 0;
  for (const float x : logits) sum += std::exp(x);
  std::vector<executor::TopLogprob> top(1);
  const executor::TokenLogprob score = score_token(logits, 2, 3, top);
  EXPECT_FLOAT_EQ(score.logprob, static_cast<float>(1 - std::log(sum)));
  EXPECT_EQ(score.rank, 3);
  EXPECT_EQ(score.top_begin, 1);
  ASSERT_EQ(score.top_count, 3);
  EXPECT_EQ(top[1].token, 1);  // ties by id
  EXPECT_EQ(top[2].token, 3);
  EXPECT_EQ(top[3].token, 2);
  EXPECT_EQ(top[3].logprob, score.logprob);
  EXPECT_EQ(score_token(logits, 3, 0, top).rank, 1);  // no id is larger
}

TEST(Score, TopKIsCutAtTheVocabularyAndNaNIsPassedOn) {
  std::vector<executor::TopLogprob> top;
  EXPECT_EQ(score_token(F{1, 2}, 0, 5, top).top_count, 2);
  const executor::TokenLogprob broken = score_token(F{1, NAN}, 0, 5, top);
  EXPECT_TRUE(std::isnan(broken.logprob));
  EXPECT_EQ(broken.top_count, 0);
}

}  // namespace
}  // namespace minimax::backend::ref
