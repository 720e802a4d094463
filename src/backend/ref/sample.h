#pragma once
// The sampler oracle: from one row of logits to one token, as docs/sampling.md defines it, step by step on
// whole vectors. Every faster sampler must choose the same token from the same logits, bit for bit.
//
// Pure functions: nothing but the arguments decides, so a draw cannot depend on batch mates, on the order of
// requests, on chunking or on preemption.
//
// logits: [vocab_size] f32, the ids the tokenizer knows; rows of the head beyond them are not passed in.

#include <cstdint>
#include <span>
#include <vector>

#include "executor/step.h"

namespace minimax::backend::ref {

// All that a draw depends on besides the logits. Borrows.
struct DrawContext {
  const executor::SampleSpec& spec;
  std::span<const executor::TokenId> history;  // prompt and output
  int32_t prompt_tokens = 0;
  int32_t output_position = 0;
  std::span<const uint32_t> mask = {};  // of allowed ids, as StepBatch::masks; empty: none
};

// Masks, logit_bias and penalties (steps 2 and 3 of docs/sampling.md). [vocab_size]; -inf: cannot be drawn.
std::vector<float> adjust_logits(std::span<const float> logits, const DrawContext& context);

struct Candidate {
  executor::TokenId token = 0;
  float x = 0;  // adjusted logit / temperature
};

// What temperature, min_p, top_k and top_p leave (step 4), by falling x, ties by id. Empty if nothing can be
// drawn or the largest x is not finite. REQUIRES: spec.temperature >= kGreedyTemperature.
std::vector<Candidate> select_candidates(std::span<const float> adjusted, const executor::SampleSpec& spec);

struct Draw {
  executor::TokenId token = -1;  // -1 with kNotFinite
  executor::SampleOutcome outcome = executor::SampleOutcome::kNotFinite;
};

// The whole way: adjust, select, draw.
Draw draw_token(std::span<const float> logits, const DrawContext& context);

// Raw log-probability and rank of `token`, and the top_k likeliest ids by falling log-probability, ties by
// id, appended to `top`. Softmax in f64. A row with a NaN gives NaN, rank 0 and no
// top ids.
executor::TokenLogprob score_token(std::span<const float> logits, executor::TokenId token, int32_t top_k,
                                   std::vector<executor::TopLogprob>& top);

}  // namespace minimax::backend::ref
