#include "backend/cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/exact_math.h"
#include "base/gumbel.h"

namespace minimax::backend::cpu {

using executor::SampleOutcome;
using executor::SampleSpec;
using executor::TokenId;

static constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

Sampler::Sampler(const Kernels& kernels, int32_t vocab_size)
    : kernels_(kernels),
      vocab_size_(vocab_size),
      x_(static_cast<size_t>(vocab_size)),
      groups_(static_cast<size_t>((vocab_size + kLogitGroup - 1) / kLogitGroup)) {}

// ---------------------------------------------------------------------------------------------------------------
// Masks, bias, penalties: steps 2 and 3 of docs/sampling.md, in the order of the oracle.

void Sampler::apply_allowed(const SampleSpec& spec, std::span<const uint32_t> mask) {
  if (!spec.allowed_ids.empty()) {
    allowed_.assign(x_.size(), 0);
    for (const TokenId id : spec.allowed_ids) allowed_[static_cast<size_t>(id)] = 1;
    for (size_t id = 0; id < x_.size(); ++id)
      if (allowed_[id] == 0) x_[id] = kMinusInfinity;
  }
  if (mask.empty()) return;
  CHECK_GE(mask.size() * 32, x_.size());
  for (size_t id = 0; id < x_.size(); ++id)
    if ((mask[id / 32] >> (id % 32) & 1) == 0) x_[id] = kMinusInfinity;
}

static void apply_bad_words(std::vector<float>& x, const common::SlotState& slot) {
  for (const std::vector<TokenId>& word : slot.spec.bad_words) {
    if (word.empty() || word.size() - 1 > slot.tokens.size()) continue;
    const auto tail = std::span(slot.tokens).last(word.size() - 1);
    if (std::equal(tail.begin(), tail.end(), word.begin()))
      x[static_cast<size_t>(word.back())] = kMinusInfinity;
  }
}

static void apply_penalties(std::vector<float>& x, const common::SlotState& slot) {
  const SampleSpec& spec = slot.spec;
  for (const common::TokenCount& count : slot.counts) {
    float& value = x[static_cast<size_t>(count.token)];
    if (spec.repetition_penalty != 1.0f)
      value = value > 0 ? value / spec.repetition_penalty : value * spec.repetition_penalty;
    if (count.output_count == 0) continue;
    value -= spec.frequency_penalty * static_cast<float>(count.output_count);
    value -= spec.presence_penalty;
  }
}

// Leaves the adjusted logits in x_ if anything changes them; false: nothing does, x_ is untouched.
bool Sampler::adjust(const float* logits, const common::SlotState& slot, int32_t output_position,
                     std::span<const uint32_t> mask) {
  const SampleSpec& spec = slot.spec;
  const bool stops_masked = output_position < spec.min_tokens && !spec.stop_ids.empty();
  if (spec.allowed_ids.empty() && mask.empty() && spec.bad_words.empty() && !stops_masked &&
      spec.logit_bias.empty() && !common::needs_counts(spec))
    return false;
  std::memcpy(x_.data(), logits, x_.size() * sizeof(float));
  apply_allowed(spec, mask);
  apply_bad_words(x_, slot);
  if (stops_masked)
    for (const TokenId id : spec.stop_ids) x_[static_cast<size_t>(id)] = kMinusInfinity;
  for (const executor::LogitBias& bias : spec.logit_bias) x_[static_cast<size_t>(bias.token)] += bias.bias;
  if (common::needs_counts(spec)) apply_penalties(x_, slot);
  return true;
}

// ---------------------------------------------------------------------------------------------------------------
// Selection and draw: steps 4 and 5.

// The k-th largest of the groups' largest values: at least k ids reach it. Minus infinity with fewer groups.
float Sampler::kth_group(int32_t k) {
  if (k < 1 || static_cast<size_t>(k) > groups_.size()) return kMinusInfinity;
  sorted_groups_ = groups_;
  const auto kth = sorted_groups_.begin() + (k - 1);
  std::nth_element(sorted_groups_.begin(), kth, sorted_groups_.end(), std::greater<>());
  return *kth;
}

// All ids with x >= lower_bound that can be drawn, by falling x, ties by id.
void Sampler::collect(float lower_bound) {
  candidates_.clear();
  for (size_t group = 0; group < groups_.size(); ++group) {
    if (!(groups_[group] >= lower_bound)) continue;
    const size_t begin = group * kLogitGroup, end = std::min(begin + kLogitGroup, x_.size());
    for (size_t id = begin; id < end; ++id)
      if (x_[id] >= lower_bound && x_[id] != kMinusInfinity)
        candidates_.push_back({static_cast<TokenId>(id), x_[id]});
  }
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return a.x > b.x || (a.x == b.x && a.token < b.token);
  });
}

// Probability relative to the likeliest, in units of 2^-40: integers, so that sums have no order.
static uint64_t mass_of(float x, float largest) {
  return static_cast<uint64_t>(exact_exp(x - largest) * 0x1p40f);
}

// What min_p, top_k and top_p leave, in candidates_. REQUIRES: one of them is on.
void Sampler::select(const SampleSpec& spec) {
  if (spec.min_p <= 0 && spec.top_k <= 0) return select_by_mass(spec);
  // A little below the exact bound of min_p: the exact test follows.
  const float min_p_bound =
      spec.min_p > 0 ? largest_ + std::log(spec.min_p) * 1.0001f - 0.01f : kMinusInfinity;
  collect(std::max(min_p_bound, kth_group(spec.top_k)));
  const auto keep_while = [&](auto predicate) {
    candidates_.erase(std::find_if_not(candidates_.begin(), candidates_.end(), predicate), candidates_.end());
  };
  if (spec.min_p > 0) keep_while([&](const Candidate& c) { return exact_exp(c.x - largest_) >= spec.min_p; });
  if (spec.top_k > 0 && static_cast<size_t>(spec.top_k) < candidates_.size()) {
    const float kth = candidates_[static_cast<size_t>(spec.top_k) - 1].x;
    keep_while([&](const Candidate& c) { return c.x >= kth; });
  }
  if (spec.top_p >= 1) return;
  uint64_t total = 0;
  for (const Candidate& candidate : candidates_) total += mass_of(candidate.x, largest_);
  keep_mass(spec.top_p, total);
}

// Keeps the smallest leading run whose mass reaches top_p of `total`; false if all of them do not.
bool Sampler::keep_mass(float top_p, uint64_t total) {
  const double wanted = static_cast<double>(top_p) * static_cast<double>(total);
  uint64_t sum = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || static_cast<double>(sum) < wanted))
    sum += mass_of(candidates_[kept++].x, largest_);
  candidates_.resize(kept);
  return static_cast<double>(sum) >= wanted;
}

// top_p alone: the mass of the whole vocabulary, then as few of the likeliest as reach it. Ids more than 28
// below the largest have no mass at all, but still count as candidates if nothing else is left to take.
void Sampler::select_by_mass(const SampleSpec& spec) {
  uint64_t total = 0;
  for (const float x : x_)
    if (x - largest_ > -28.0f) total += mass_of(x, largest_);
  for (const float depth : {4.0f, 10.0f, 20.0f}) {
    collect(largest_ - depth);
    if (keep_mass(spec.top_p, total)) return;
  }
  collect(kMinusInfinity);
  keep_mass(spec.top_p, total);
}

TokenId Sampler::draw_greedy() const {
  if (!std::isfinite(largest_)) return -1;
  const auto group = std::find(groups_.begin(), groups_.end(), largest_) - groups_.begin();
  const auto first = x_.begin() + group * kLogitGroup;
  return static_cast<TokenId>(std::find(first, x_.end(), largest_) - x_.begin());
}

// Nothing restricts the draw: every id takes part. The noise is below 23, so ids that far behind the best
// score so far cannot win.
TokenId Sampler::draw_from_all(const SampleSpec& spec, int32_t output_position) const {
  constexpr float kNoiseMax = 23.0f;
  TokenId best = -1;
  float best_score = kMinusInfinity;
  PhiloxBlock words{};
  for (size_t group = 0; group < groups_.size(); ++group) {
    if (groups_[group] - largest_ + kNoiseMax < best_score) continue;
    const size_t begin = group * kLogitGroup, end = std::min(begin + kLogitGroup, x_.size());
    for (size_t id = begin; id < end; ++id) {
      if (id % 4 == 0)
        words = gumbel_words(spec.seed, spec.sample_idx, output_position, static_cast<uint32_t>(id >> 2));
      const float behind = x_[id] - largest_;
      if (x_[id] == kMinusInfinity || behind + kNoiseMax < best_score) continue;
      const float score = behind + gumbel_from_word(words[id & 3]);
      if (best == -1 || score > best_score) {  // ids ascend: the lower one keeps a tie
        best = static_cast<TokenId>(id);
        best_score = score;
      }
    }
  }
  return best;
}

TokenId Sampler::draw_random(const SampleSpec& spec, int32_t output_position) {
  if (!std::isfinite(largest_)) return -1;
  if (spec.min_p <= 0 && spec.top_k <= 0 && spec.top_p >= 1) return draw_from_all(spec, output_position);
  select(spec);
  TokenId best = -1;
  float best_score = kMinusInfinity;
  for (const Candidate& candidate : candidates_) {
    const float noise = gumbel_noise(spec.seed, spec.sample_idx, output_position, candidate.token);
    const float score = (candidate.x - largest_) + noise;
    if (best == -1 || score > best_score || (score == best_score && candidate.token < best)) {
      best = candidate.token;
      best_score = score;
    }
  }
  return best;
}

Sampler::Draw Sampler::draw(const float* logits, const common::SlotState& slot, int32_t output_position,
                            std::span<const uint32_t> mask) {
  const SampleSpec& spec = slot.spec;
  const bool greedy = spec.temperature < executor::kGreedyTemperature;
  const bool adjusted = adjust(logits, slot, output_position, mask);
  // A NaN under a mask still says that the row is broken.
  bool broken = adjusted && kernels_.has_nan(logits, vocab_size_);
  broken |= kernels_.scale_logits(adjusted ? x_.data() : logits, vocab_size_,
                                  greedy ? 1.0f : spec.temperature, x_.data(), groups_.data());
  if (broken) return {};
  largest_ = *std::max_element(groups_.begin(), groups_.end());
  const TokenId token = greedy ? draw_greedy() : draw_random(spec, output_position);
  if (token < 0) return {};
  const bool stop = std::find(spec.stop_ids.begin(), spec.stop_ids.end(), token) != spec.stop_ids.end();
  return {token, stop ? SampleOutcome::kStop : SampleOutcome::kToken};
}

executor::TokenLogprob Sampler::score(const float* logits, TokenId token, int32_t top_k,
                                      std::vector<executor::TopLogprob>& top) {
  CHECK_GE(token, 0);
  CHECK_LT(token, vocab_size_);
  executor::TokenLogprob result;
  result.top_begin = static_cast<int32_t>(top.size());
  if (kernels_.scale_logits(logits, vocab_size_, 1.0f, x_.data(), groups_.data())) {
    result.logprob = std::numeric_limits<float>::quiet_NaN();
    return result;
  }
  largest_ = *std::max_element(groups_.begin(), groups_.end());
  const double log_sum = std::log(kernels_.sum_exp(logits, vocab_size_, largest_));
  const auto logprob = [&](float x) {
    return static_cast<float>(static_cast<double>(x) - static_cast<double>(largest_) - log_sum);
  };
  const float own = logits[token];
  result.logprob = logprob(own);
  int32_t larger = 0;
  for (const float x : x_) larger += x > own ? 1 : 0;
  result.rank = 1 + larger;
  result.top_count = std::clamp(top_k, 0, vocab_size_);
  if (result.top_count == 0) return result;
  collect(kth_group(result.top_count));
  const auto known = static_cast<int32_t>(candidates_.size());
  for (int32_t i = 0; i < std::min(result.top_count, known); ++i) {
    const Candidate& candidate = candidates_[static_cast<size_t>(i)];
    top.push_back({candidate.token, logprob(candidate.x)});
  }
  // Ids of probability zero, by id, where more are asked for than have any.
  for (TokenId id = 0; known < result.top_count && id < vocab_size_; ++id)
    if (logits[id] == kMinusInfinity &&
        static_cast<int32_t>(top.size()) - result.top_begin < result.top_count)
      top.push_back({id, kMinusInfinity});
  return result;
}

}  // namespace minimax::backend::cpu
