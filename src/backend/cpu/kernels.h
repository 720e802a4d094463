#pragma once
// The inner loops of the forward, compiled once per instruction set (isa/*.cc, from the same ops/*.inl) and
// reached through one table of function pointers chosen at start.
//
// What every kernel keeps, so that tokens do not depend on the company a row is in: the value of an output
// element is computed by one sequence of operations that depends on the shape of the layer and, in attention,
// on absolute positions; never on the number of rows, their order, the thread, or the block table.
// Instruction sets differ in vector width, hence in the order of sums: equal bits are promised on one of
// them, not between them.
//
// Activations are bf16 (uint16_t), one row after another at a stride that is a multiple of kRowAlign, zero
// beyond the width: kernels read whole vectors of x. Pointers to weights need no alignment.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace minimax::backend::cpu {

inline constexpr int64_t kRowAlign = 128;   // elements; of activation rows
inline constexpr int32_t kKeyGroup = 16;    // keys whose K is interleaved in the KV cache (kv.h)
inline constexpr int32_t kKeyTile = 64;     // positions of one step of the online softmax
inline constexpr int32_t kKeySplit = 512;   // positions whose softmax is one partial result
inline constexpr int32_t kLogitGroup = 64;  // ids whose largest logit the sampler keeps
inline constexpr int32_t kTileRows = 4;     // weight rows and activation rows of a register tile

inline constexpr int64_t round_up(int64_t value, int64_t to) {
  return (value + to - 1) / to * to;
}

enum class WeightKind : uint8_t { kF32, kBf16, kE4m3 };

// W of y = W x. data [out, in] row-major; kE4m3: times scales [ceil(out / block_rows), ceil(in /
// block_cols)].
struct Matrix {
  const std::byte* data = nullptr;
  const float* scales = nullptr;
  int64_t out = 0;
  int64_t in = 0;
  int32_t block_rows = 0;
  int32_t block_cols = 0;  // a multiple of 64
  WeightKind kind = WeightKind::kBf16;

  int64_t element_bytes() const { return kind == WeightKind::kF32 ? 4 : kind == WeightKind::kBf16 ? 2 : 1; }
  int64_t bytes() const { return out * in * element_bytes() + scale_bytes(); }
  int64_t scale_bytes() const {
    return block_rows == 0 ? 0 : (out + block_rows - 1) / block_rows * scale_cols() * int64_t{4};
  }
  int64_t scale_cols() const { return block_cols == 0 ? 0 : (in + block_cols - 1) / block_cols; }
};

// Rows [row_begin, row_end) of W times `rows` activations. Per output element: lanes of partial sums over
// ascending columns, fp8 per block of columns acc = fma(partial, scale, acc), then one fixed tree over lanes.
struct LinearTask {
  const Matrix* weight = nullptr;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  int64_t rows = 0;
  const uint16_t* x = nullptr;  // [*, x_stride] bf16
  int64_t x_stride = 0;
  const int32_t* x_index = nullptr;  // [rows]: row i reads x row x_index[i]; nullptr: row i
  // w8a8: [*, scale_cols] f32, indexed like x; the weight's scale is multiplied by it. nullptr: none.
  const float* x_scales = nullptr;
  // Exactly one: y_bf16 [rows, y_stride] rounded, or y_f32 [rows, y_stride].
  uint16_t* y_bf16 = nullptr;
  float* y_f32 = nullptr;
  int64_t y_stride = 0;
  const int32_t* y_index = nullptr;  // [rows]: row i writes y row y_index[i]; nullptr: row i
  uint16_t* scratch = nullptr;       // [kTileRows, round_up(in, kRowAlign)], of the thread
};

// Causal attention of `rows` consecutive rows of one sequence on one KV head, over positions
// [key_begin, min(key_end, own position + 1)), continuing the running softmax in `state`.
struct AttentionTask {
  const uint16_t* q = nullptr;  // [rows, q_stride] bf16: the `heads` query heads of this KV head
  int64_t q_stride = 0;
  int32_t rows = 0;
  int32_t heads = 0;
  int32_t head_dim = 0;
  int32_t first_position = 0;  // of row 0
  int32_t key_begin = 0;       // a multiple of kKeySplit
  int32_t key_end = 0;
  float scale_log2 = 0;                  // log2(e) / sqrt(head_dim)
  const std::byte* pool = nullptr;       // KV pool; block b of this layer and head at pool + b * block_stride
  bool fp8 = false;                      // the pool holds e4m3 codes and scales (kv.h)
  int64_t block_stride = 0;              // bytes
  const int32_t* block_table = nullptr;  // of the sequence
  int32_t block_tokens = 0;              // a multiple of kKeyGroup
  float* state = nullptr;                // [rows, heads, state_floats(head_dim)]
  float* scratch = nullptr;              // [attention_scratch_floats(heads)], of the thread
  uint16_t* widened = nullptr;           // fp8: [widened_tile_values(head_dim)], of the thread
};

// Softmax state of one row and head: running maximum (log2 domain), sum, and head_dim weighted sums of V.
inline constexpr int64_t state_floats(int32_t head_dim) {
  return head_dim + 16;
}
inline constexpr int64_t attention_scratch_floats(int32_t heads) {
  return int64_t{2} * heads * kKeyTile;
}

// K and V of a tile of keys, widened from codes to bf16.
inline constexpr int64_t widened_tile_values(int32_t head_dim) {
  return int64_t{2} * kKeyTile * head_dim;
}

struct Kernels {
  void (*linear)(const LinearTask& task);

  // out = bf16(x / sqrt(mean(x^2) + eps) * weight). x, out [width]; weight [width] f32.
  void (*rms_norm)(const uint16_t* x, const float* weight, int64_t width, float eps, uint16_t* out);
  // Per group of columns: scale = amax / 448 (1 if 0), out = the value on the e4m3 grid of x / scale, as
  // bf16.
  void (*quantise)(const uint16_t* x, int64_t width, int32_t group, uint16_t* out, float* scales);
  // a = bf16(a + b).
  void (*add)(uint16_t* a, const uint16_t* b, int64_t width);
  // out = bf16(silu(gate) * up).
  void (*swiglu)(const uint16_t* gate, const uint16_t* up, int64_t width, uint16_t* out);
  // out = bf16(sum over slots of weights[slot] * y[slot]), in slot order. y [slots, y_stride].
  void (*combine)(const uint16_t* y, int64_t y_stride, const float* weights, int32_t slots, int64_t width,
                  uint16_t* out);
  // In place on `heads` heads: the pairs (i, i + half) of each head's first 2 * half values turn.
  void (*rope)(uint16_t* x, int32_t heads, int32_t head_dim, int32_t half, const float* cos,
               const float* sin);

  // One split (at most kKeySplit positions) from an empty state: writes task.state.
  void (*attention)(const AttentionTask& task);
  // into = into merged with part: both [state_floats]; an empty state has maximum -inf.
  void (*merge_attention)(float* into, const float* part, int32_t head_dim);
  // out = bf16(weighted sums / sum).
  void (*finish_attention)(const float* state, int32_t head_dim, uint16_t* out);

  // out = x / divisor and the largest of each kLogitGroup values of out. True if x holds a NaN.
  // x, out [count]; groups [ceil(count / kLogitGroup)]. out may be x.
  bool (*scale_logits)(const float* x, int64_t count, float divisor, float* out, float* groups);
  bool (*has_nan)(const float* x, int64_t count);
  // Sum of e^(x - largest), relative error below 2^-20.
  double (*sum_exp)(const float* x, int64_t count, float largest);

  // Sum of all words of a buffer: a pure read, as fast as the vector unit loads. For the roof of bench step.
  uint64_t (*read_all)(const std::byte* data, int64_t bytes);
};

enum class Isa : uint8_t { kScalar, kAvx2, kAvx512 };

std::string_view name_of(Isa isa);
// What this machine can run, slowest first; kScalar always.
std::vector<Isa> available_isas();
// "scalar", "avx2", "avx512", or empty for the best. Throws Error for an unknown name and for one this
// machine lacks: avx2 needs FMA too; avx512 needs F, BW, DQ, VL, BF16 and VBMI (Zen 4, Sapphire Rapids and
// later).
Isa choose_isa(std::string_view name);
const Kernels& kernels_of(Isa isa);

}  // namespace minimax::backend::cpu
