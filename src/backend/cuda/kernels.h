#pragma once
// The launchers of the kernels: plain arguments, device pointers unless said otherwise, work put on `stream`.
// bf16 values are uint16_t bits. Rows are dense unless a stride is given.
//
// Bits: an element of a result depends on its own row (and, in attention, its own sequence) and the layer's
// shape alone, never on how many rows are given, in what order, or which of a kernel's forms was launched.

#include <cstdint>

#include "backend/cuda/device.h"

namespace minimax::backend::cuda {

inline constexpr int32_t kScaleCols = 128;  // columns of an fp8 scale block, and K of one chain of products
inline constexpr int32_t kHeadDim = 128;
inline constexpr int32_t kLeafKeys = 128;  // keys of one leaf of the attention's sums, by absolute position

enum class WeightKind : uint8_t { kE4m3, kBf16, kF32 };

// One weight, or the same weight of all experts of a layer one after the other. [out, in] row-major.
struct Matrix {
  const void* data = nullptr;
  const float* scales = nullptr;  // kE4m3: [ceil(out / block_rows), ceil(in / kScaleCols)]
  int32_t out = 0;
  int32_t in = 0;          // a multiple of 16
  int32_t block_rows = 0;  // a multiple of 16
  WeightKind kind = WeightKind::kBf16;

  constexpr int64_t element_bytes() const {
    return kind == WeightKind::kE4m3 ? 1 : kind == WeightKind::kBf16 ? 2 : 4;
  }
  constexpr int64_t expert_elements() const { return int64_t{out} * in; }
  constexpr int64_t scale_cols() const { return (in + kScaleCols - 1) / kScaleCols; }
  constexpr int64_t expert_scales() const {
    return kind == WeightKind::kE4m3 ? (out + block_rows - 1) / block_rows * scale_cols() : 0;
  }
};

// Rows `begin` to `begin + count` of the list of routed parts, all of one expert.
struct PartTile {
  int32_t expert = 0;
  int32_t begin = 0;
  int32_t count = 0;
};

struct LinearTask {
  Matrix weight = {};
  const uint16_t* x = nullptr;      // [*, in] bf16; w8a8: values of e4m3
  const float* x_scales = nullptr;  // w8a8: [*, ceil(in / kScaleCols)]; nullptr: 1
  int32_t rows = 0;                 // rows of y; with tiles: an upper bound of parts
  uint16_t* y_bf16 = nullptr;       // exactly one of the two, [rows, y_stride]
  float* y_f32 = nullptr;
  int64_t y_stride = 0;
  // Experts: tile i multiplies rows x[parts[j] / x_divisor] into y[parts[j]].
  const PartTile* tiles = nullptr;
  const int32_t* tile_count = nullptr;
  int32_t tile_count_max = 0;
  int32_t tile_rows = 0;  // the tile_rows() that group_parts was given
  const int32_t* parts = nullptr;
  int32_t x_divisor = 1;
};

// y = x W^T: products exact, K in chains of kScaleCols, each chain times fp32(scale_w * scale_x) onto a
// segment by one fma, segments added in order. From 12 chains on (a multiple of 4) there are 4 segments.
// kF32 weights: 32 interleaved fma chains and a tree; no experts.
void linear(const LinearTask& task, StreamHandle stream);
// Columns of a tile that linear() uses for `parts` routed rows over `experts`: what group_parts must be
// given.
int32_t tile_rows(int64_t parts, int32_t experts);

void embed(const uint16_t* table, const int32_t* tokens, int32_t rows, int32_t hidden, uint16_t* out,
           StreamHandle stream);
// out = bf16(x / sqrt(mean(x^2) + eps) * weight). index: row i reads x row index[i]; nullptr: row i.
void rms_norm(const uint16_t* x, const int32_t* index, const float* weight, int32_t rows, int32_t width,
              float eps, uint16_t* out, StreamHandle stream);
// x = bf16(x + y).
void add(uint16_t* x, const uint16_t* y, int64_t count, StreamHandle stream);
// Per row and kScaleCols columns: scale = amax / 448 (1 if 0), out = the e4m3 value of x / scale, as bf16.
void quantise(const uint16_t* x, int32_t rows, int32_t width, uint16_t* out, float* scales,
              StreamHandle stream);
// cos and sin [rows, half] of position * frequency, the angle in double.
void rope_table(const int32_t* positions, const double* frequencies, int32_t rows, int32_t half, float* cos,
                float* sin, StreamHandle stream);
void rope(uint16_t* x, int32_t rows, int32_t heads, int32_t half, const float* cos, const float* sin,
          StreamHandle stream);

// K and V of a layer: block b, KV head h, place p at base + b * block_stride + (h * block_tokens + p) *
// kHeadDim elements; V follows K at v_offset.
struct KvLayer {
  uint16_t* base = nullptr;
  int64_t block_stride = 0;  // elements
  int64_t v_offset = 0;      // elements
  int32_t block_tokens = 0;
  int32_t kv_heads = 0;
};
// places[row] = block * block_tokens + place in it.
void write_kv(const uint16_t* k, const uint16_t* v, const int64_t* places, int32_t rows, const KvLayer& kv,
              StreamHandle stream);

// Consecutive rows of one sequence that share the reading of keys.
struct RowTile {
  int32_t row = 0;
  int32_t count = 0;
  int32_t position = 0;     // of the first
  int32_t table_begin = 0;  // into the block table
};
struct AttentionTask {
  const uint16_t* q = nullptr;  // [rows, q_heads * kHeadDim]
  uint16_t* out = nullptr;      // the same
  KvLayer kv;
  int32_t q_heads = 0;
  const RowTile* tiles = nullptr;
  int32_t tile_count = 0;
  bool wide = false;  // tiles of up to wide_rows(group) rows, else of 1
  const int32_t* block_table = nullptr;
  int32_t leaves_max = 0;     // of the longest row
  float* partials = nullptr;  // nullptr: one CTA folds all leaves of its tile. Else [rows, q_heads,
                              // leaves_max, kPartialFloats]: a CTA a leaf, folded by a second kernel
};
inline constexpr int32_t kPartialFloats = kHeadDim + 2;
int32_t wide_rows(int32_t group);  // query heads of a KV head, at most 8
void attention(const AttentionTask& task, int32_t rows, StreamHandle stream);

struct RouteTask {
  const float* logits = nullptr;  // [rows, experts]
  const float* bias = nullptr;    // [experts]
  int32_t rows = 0;
  int32_t experts = 0;       // at most 1024
  int32_t slots = 0;         // experts of a row, at most 32
  float* scores = nullptr;   // [rows, experts]
  int32_t* ids = nullptr;    // [rows, slots]
  float* weights = nullptr;  // [rows, slots]
};
void route(const RouteTask& task, StreamHandle stream);
// The parts (row * slots + slot) expert by expert, in tiles of at most tile_rows. The order inside an expert
// is not fixed: no result depends on it.
void group_parts(const int32_t* ids, int32_t parts_count, int32_t experts, int32_t tile_rows, int32_t* parts,
                 PartTile* tiles, int32_t* tile_count, StreamHandle stream);
// out = bf16(silu(gate) * up).
void swiglu(const uint16_t* gate, const uint16_t* up, int64_t count, uint16_t* out, StreamHandle stream);
// out[row] = bf16(sum over slots, in order, of weights[row][slot] * y[row][slot]).
void combine(const uint16_t* y, const float* weights, int32_t rows, int32_t slots, int32_t width,
             uint16_t* out, StreamHandle stream);

}  // namespace minimax::backend::cuda
