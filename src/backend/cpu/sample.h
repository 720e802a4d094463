#pragma once
// The sampler of the CPU back-end: the tokens of backend/ref/sample.h, bit for bit (docs/sampling.md),
// without sorting the vocabulary. One pass leaves the largest value of each group of ids; top_k, min_p and
// top_p give a lower bound, and only ids above it are collected, sorted and drawn from.

#include <cstdint>
#include <span>
#include <vector>

#include "backend/common/slot_table.h"
#include "backend/cpu/kernels.h"
#include "executor/step.h"

namespace minimax::backend::cpu {

// Scratch for one row at a time: one Sampler a thread.
class Sampler {
 public:
  struct Draw {
    executor::TokenId token = -1;  // -1 with kNotFinite
    executor::SampleOutcome outcome = executor::SampleOutcome::kNotFinite;
  };

  Sampler(const Kernels& kernels, int32_t vocab_size);

  // logits [vocab_size]. mask: of allowed ids, as StepBatch::masks; empty: none.
  Draw draw(const float* logits, const common::SlotState& slot, int32_t output_position,
            std::span<const uint32_t> mask);

  // As ref::score_token, but for the sum of exponentials (f32 terms): logprob within 2e-6 of it. Appends the
  // top_k likeliest ids to `top`.
  executor::TokenLogprob score(const float* logits, executor::TokenId token, int32_t top_k,
                               std::vector<executor::TopLogprob>& top);

 private:
  struct Candidate {
    executor::TokenId token = 0;
    float x = 0;
  };

  bool adjust(const float* logits, const common::SlotState& slot, int32_t output_position,
              std::span<const uint32_t> mask);
  void apply_allowed(const executor::SampleSpec& spec, std::span<const uint32_t> mask);
  executor::TokenId draw_greedy() const;
  executor::TokenId draw_random(const executor::SampleSpec& spec, int32_t output_position);
  executor::TokenId draw_from_all(const executor::SampleSpec& spec, int32_t output_position) const;
  void select(const executor::SampleSpec& spec);
  bool keep_mass(float top_p, uint64_t total);
  void select_by_mass(const executor::SampleSpec& spec);
  void collect(float lower_bound);
  float kth_group(int32_t k);

  const Kernels& kernels_;
  int32_t vocab_size_;
  std::vector<float> x_;       // adjusted, later divided by the temperature
  std::vector<float> groups_;  // largest x of each kLogitGroup ids
  float largest_ = 0;
  std::vector<float> sorted_groups_;
  std::vector<Candidate> candidates_;  // by falling x, ties by id
  std::vector<uint8_t> allowed_;
};

}  // namespace minimax::backend::cpu
