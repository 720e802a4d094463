#include "backend/ref/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/exact_math.h"
#include "base/gumbel.h"

namespace minimax::backend::ref {

using executor::SampleOutcome;
using executor::SampleSpec;
using executor::TokenId;

static constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

static bool has_nan(std::span<const float> logits) {
  return std::any_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x); });
}

static float& value_of(std::vector<float>& x, TokenId id) {
  CHECK_GE(id, 0);
  CHECK_LT(static_cast<size_t>(id), x.size());
  return x[static_cast<size_t>(id)];
}

// Keeps only the allowed ids of the spec and of the mask.
static void apply_allowed(std::vector<float>& x, const DrawContext& context) {
  if (!context.spec.allowed_ids.empty()) {
    std::vector<bool> allowed(x.size(), false);
    for (const TokenId id : context.spec.allowed_ids) {
      value_of(x, id);  // in range
      allowed[static_cast<size_t>(id)] = true;
    }
    for (size_t id = 0; id < x.size(); ++id)
      if (!allowed[id]) x[id] = kMinusInfinity;
  }
  if (!context.mask.empty()) {
    CHECK_GE(context.mask.size() * 32, x.size());
    for (size_t id = 0; id < x.size(); ++id)
      if ((context.mask[id / 32] >> (id % 32) & 1) == 0) x[id] = kMinusInfinity;
  }
}

// The last id of a bad word is masked where the ids before it are the tail of the history.
static void apply_bad_words(std::vector<float>& x, const DrawContext& context) {
  for (const std::vector<TokenId>& word : context.spec.bad_words) {
    if (word.empty() || word.size() - 1 > context.history.size()) continue;
    const auto tail = context.history.last(word.size() - 1);
    if (std::equal(tail.begin(), tail.end(), word.begin())) value_of(x, word.back()) = kMinusInfinity;
  }
}

// Repetition over prompt and output, frequency and presence over the output. Source: docs/sampling.md, as
// vLLM's V1 sampler (vllm/v1/sample/ops/penalties.py) and Keskar et al., "CTRL" (2019), section 4.1.
static void apply_penalties(std::vector<float>& x, const DrawContext& context) {
  std::vector<int32_t> output_count(x.size(), 0);
  std::vector<bool> seen(x.size(), false);
  for (size_t i = 0; i < context.history.size(); ++i) {
    const auto id = static_cast<size_t>(context.history[i]);
    CHECK_LT(id, x.size());
    seen[id] = true;
    if (i >= static_cast<size_t>(context.prompt_tokens)) ++output_count[id];
  }
  const SampleSpec& spec = context.spec;
  for (size_t id = 0; id < x.size(); ++id) {
    if (!seen[id]) continue;
    if (spec.repetition_penalty != 1.0f)
      x[id] = x[id] > 0 ? x[id] / spec.repetition_penalty : x[id] * spec.repetition_penalty;
    if (output_count[id] == 0) continue;
    x[id] -= spec.frequency_penalty * static_cast<float>(output_count[id]);
    x[id] -= spec.presence_penalty;
  }
}

std::vector<float> adjust_logits(std::span<const float> logits, const DrawContext& context) {
  std::vector<float> x(logits.begin(), logits.end());
  apply_allowed(x, context);
  apply_bad_words(x, context);
  if (context.output_position < context.spec.min_tokens)
    for (const TokenId id : context.spec.stop_ids) value_of(x, id) = kMinusInfinity;
  for (const executor::LogitBias& bias : context.spec.logit_bias) value_of(x, bias.token) += bias.bias;
  apply_penalties(x, context);
  return x;
}

// Probability relative to the likeliest candidate, in units of 2^-40: integers, so that a sum does not depend
// on its order.
static uint64_t mass_of(float x, float x_max) {
  return static_cast<uint64_t>(exact_exp(x - x_max) * 0x1p40f);
}

// The smallest leading run whose mass reaches top_p of the whole.
static void apply_top_p(std::vector<Candidate>& candidates, float top_p) {
  const float x_max = candidates.front().x;
  uint64_t total = 0;
  for (const Candidate& candidate : candidates) total += mass_of(candidate.x, x_max);
  const double wanted = static_cast<double>(top_p) * static_cast<double>(total);
  uint64_t sum = 0;
  size_t kept = 0;
  while (kept < candidates.size() && (kept == 0 || static_cast<double>(sum) < wanted))
    sum += mass_of(candidates[kept++].x, x_max);
  candidates.resize(kept);
}

std::vector<Candidate> select_candidates(std::span<const float> adjusted, const SampleSpec& spec) {
  CHECK_GE(spec.temperature, executor::kGreedyTemperature);
  std::vector<Candidate> candidates;
  for (size_t id = 0; id < adjusted.size(); ++id)
    if (adjusted[id] != kMinusInfinity)
      candidates.push_back({static_cast<TokenId>(id), adjusted[id] / spec.temperature});
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.x > b.x; });
  if (candidates.empty() || !std::isfinite(candidates.front().x)) return {};

  const auto keep_while = [&](auto predicate) {
    candidates.erase(std::find_if_not(candidates.begin(), candidates.end(), predicate), candidates.end());
  };
  const float x_max = candidates.front().x;
  if (spec.min_p > 0) keep_while([&](const Candidate& c) { return exact_exp(c.x - x_max) >= spec.min_p; });
  if (spec.top_k > 0 && static_cast<size_t>(spec.top_k) < candidates.size()) {
    const float kth = candidates[static_cast<size_t>(spec.top_k) - 1].x;
    keep_while([&](const Candidate& c) { return c.x >= kth; });  // ties with the k-th stay
  }
  if (spec.top_p < 1) apply_top_p(candidates, spec.top_p);
  return candidates;
}

static TokenId draw_greedy(std::span<const float> adjusted) {
  const auto largest = std::max_element(adjusted.begin(), adjusted.end());  // the first among equals
  if (largest == adjusted.end() || !std::isfinite(*largest)) return -1;
  return static_cast<TokenId>(largest - adjusted.begin());
}

static TokenId draw_random(std::span<const float> adjusted, const DrawContext& context) {
  const std::vector<Candidate> candidates = select_candidates(adjusted, context.spec);
  TokenId best = -1;
  float best_score = kMinusInfinity;
  for (const Candidate& candidate : candidates) {
    const float noise =
        gumbel_noise(context.spec.seed, context.spec.sample_idx, context.output_position, candidate.token);
    const float score = (candidate.x - candidates.front().x) + noise;
    if (best == -1 || score > best_score || (score == best_score && candidate.token < best)) {
      best = candidate.token;
      best_score = score;
    }
  }
  return best;
}

Draw draw_token(std::span<const float> logits, const DrawContext& context) {
  if (has_nan(logits)) return {};
  const std::vector<float> adjusted = adjust_logits(logits, context);
  const SampleSpec& spec = context.spec;
  const bool greedy = spec.temperature < executor::kGreedyTemperature;
  const TokenId token = greedy ? draw_greedy(adjusted) : draw_random(adjusted, context);
  if (token < 0) return {};
  const bool stop = std::find(spec.stop_ids.begin(), spec.stop_ids.end(), token) != spec.stop_ids.end();
  return {token, stop ? SampleOutcome::kStop : SampleOutcome::kToken};
}

executor::TokenLogprob score_token(std::span<const float> logits, TokenId token, int32_t top_k,
                                   std::vector<executor::TopLogprob>& top) {
  CHECK_GE(token, 0);
  CHECK_LT(static_cast<size_t>(token), logits.size());
  if (has_nan(logits))
    return {.logprob = std::numeric_limits<float>::quiet_NaN(),
            .top_begin = static_cast<int32_t>(top.size())};
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - largest);
  const double log_sum = std::log(sum);
  const auto logprob = [&](size_t id) {
    return static_cast<float>(static_cast<double>(logits[id]) - largest - log_sum);
  };

  executor::TokenLogprob result;
  const float own = logits[static_cast<size_t>(token)];
  result.logprob = logprob(static_cast<size_t>(token));
  result.rank =
      1 + static_cast<int32_t>(std::count_if(logits.begin(), logits.end(), [&](float x) { return x > own; }));
  result.top_begin = static_cast<int32_t>(top.size());
  result.top_count =
      static_cast<int32_t>(std::min<size_t>(static_cast<size_t>(std::max(top_k, 0)), logits.size()));
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::partial_sort(ids.begin(), ids.begin() + result.top_count, ids.end(), [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  for (int32_t i = 0; i < result.top_count; ++i)
    top.push_back({ids[static_cast<size_t>(i)], logprob(static_cast<size_t>(ids[static_cast<size_t>(i)]))});
  return result;
}

}  // namespace minimax::backend::ref
