#pragma once
// The op vocabulary of the forward, as free functions: slow, clear, float values with double sums. Every
// back-end has ops of these names and this order of arguments (backend/*/ops) and is tested against them.
//
// What is rounded, and where, is defined in docs/numerics.md: an op reads values that are bf16 (held in
// floats) and, unless its comment says otherwise, rounds what it writes to bf16, once. All matrices are
// row-major and dense. Formulas: the published modeling_minimax_m2.py, and vLLM's
// vllm/model_executor/models/minimax_m2.py where both agree.

#include <cstdint>
#include <span>
#include <vector>

#include "backend/common/arithmetic.h"
#include "executor/step.h"
#include "model/tensors.h"

namespace minimax::backend::ref {

using common::Arithmetic;

// How projections are stored and multiplied.
struct LinearFormat {
  Arithmetic arithmetic = Arithmetic::kBf16;
  int32_t block_rows = 128;  // of an fp8 scale block: ModelShape::fp8_block_rows
  int32_t block_cols = 128;  // of an fp8 scale block and of a group of quantised activations
};

// out[i] = table[ids[i]]. table [vocab, hidden] -> [ids, hidden]; exact if the table is bf16.
std::vector<float> embed(const model::TensorView& table, std::span<const executor::TokenId> ids);

// x / sqrt(mean(x^2) + eps) * weight, over the last dimension. x [rows, width], weight [width] of any dtype.
// Inside: double; the weight multiplies before the one rounding (as vLLM; HF rounds once more before it).
std::vector<float> rms_norm(std::span<const float> x, const model::TensorView& weight, double eps);

// y = x W^T. x [rows, in], weight [out, in] -> [rows, out].
//   not quantised: W as stored; in the arithmetic bf16 rounded to it (exact if it is stored so).
//   bf16:  W = bf16(float(fp8 * scale)).
//   w8a16: sum over blocks of scale * sum(fp8 * x).
//   w8a8:  x is quantised first (quantise_e4m3); sum over blocks of float(scale_w * scale_x) * sum(fp8 *
//   fp8).
std::vector<float> linear(std::span<const float> x, const model::LinearView& weight,
                          const LinearFormat& format);

// linear without the rounding to bf16: the result is float. For the router and the head.
std::vector<float> linear_f32(std::span<const float> x, const model::LinearView& weight,
                              const LinearFormat& format);

// One row of activations in fp8, per group of `group` columns (the last may be shorter):
// scale = float(amax / 448), value = e4m3(float(x / scale)), nearest even. A group of zeros has scale 1.
struct QuantisedRow {
  std::vector<float> values;  // [width], values of e4m3
  std::vector<float> scales;  // [ceil(width / group)]
};
QuantisedRow quantise_e4m3(std::span<const float> x, int32_t group);

// Rotary embedding, NeoX halves: of each head's first rotary_dim values the pairs (i, i + rotary_dim / 2)
// turn by position * theta^(-2 i / rotary_dim); the rest passes through. cos and sin are rounded to float.
// x [rows, heads * head_dim], positions [rows]. Source: Su et al., "RoFormer" (2021), section 3.4.2.
std::vector<float> rope(std::span<const float> x, std::span<const int32_t> positions, int32_t head_dim,
                        int32_t rotary_dim, double theta);

// K or V in fp8: value = code * scale, never formed as such (docs/numerics.md, "The KV cache in fp8").
struct Fp8Side {
  std::span<uint8_t> codes;  // [blocks, block_tokens, kv_heads * head_dim] e4m3
  std::span<float> scales;   // [blocks, block_tokens, kv_heads]
};

// K and V of one layer, paged: position p of a sequence lies in block table[p / block_tokens], at place
// p % block_tokens. Either k and v, [blocks, block_tokens, kv_heads * head_dim] f32 holding bf16 values, or
// k_fp8 and v_fp8.
struct PagedKv {
  std::span<float> k;
  std::span<float> v;
  int32_t block_tokens = 0;
  Fp8Side k_fp8 = {};
  Fp8Side v_fp8 = {};
  bool fp8() const { return !k_fp8.codes.empty(); }
};

// The place of one row in its sequence.
struct RowPlace {
  int32_t position = 0;
  std::span<const executor::BlockId> table;  // covers position
};

// Stores the rows' k and v [rows, kv_width] at their places, in fp8 by quantise_e4m3 with a group a head.
void write_kv(std::span<const float> k, std::span<const float> v, std::span<const RowPlace> places,
              const PagedKv& kv);

// Causal attention of each row over positions 0..its own: softmax(q k^T / sqrt(head_dim)) v, query head h
// on KV head h / (q_heads / kv_heads). q [rows, q_heads * head_dim] -> same. Scores, softmax and sums in
// double; neither the scores nor the probabilities are rounded. In fp8 a score is (q . codes of k) * scale of
// k / sqrt(head_dim), and the sum is over (share * scale of v) * codes of v.
std::vector<float> attention(std::span<const float> q, std::span<const RowPlace> places, const PagedKv& kv,
                             int32_t q_heads, int32_t kv_heads, int32_t head_dim);

// The experts of each row. scores = float(sigmoid(logits)); chosen are the largest of float(scores + bias),
// ties to the lower id; weights are the scores of the chosen, without bias, over their sum (float).
// logits [rows, experts] f32; bias [experts], or no data: none.
struct Routing {
  std::vector<float> scores;   // [rows, experts] f32
  std::vector<int32_t> ids;    // [rows, experts_per_token], by falling score + bias
  std::vector<float> weights;  // [rows, experts_per_token] f32
};
Routing route(std::span<const float> logits, const model::TensorView& bias, int32_t experts,
              int32_t experts_per_token);

// silu(gate) * up = gate / (1 + e^-gate) * up, rounded once.
std::vector<float> swiglu(std::span<const float> gate, std::span<const float> up);

// a + b.
std::vector<float> add(std::span<const float> a, std::span<const float> b);

// out[row] = sum over slots, in order, of weights[row][slot] * y[row][slot], rounded once.
// y [rows, slots, width], weights [rows, slots] f32 -> [rows, width].
std::vector<float> combine(std::span<const float> y, std::span<const float> weights, int64_t rows,
                           int32_t slots);

}  // namespace minimax::backend::ref
