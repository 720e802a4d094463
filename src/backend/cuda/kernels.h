#pragma once
// The launchers of the kernels: plain arguments, device pointers unless said otherwise, work put on `stream`.
// bf16 values are uint16_t bits. Rows are dense unless a stride is given.
//
// Bits: an element of a result depends on its own row (and, in attention, its own sequence) and the layer's
// shape alone, never on how many rows are given, in what order, or which of a kernel's forms was launched.

#include <cstddef>
#include <cstdint>

#include "backend/cuda/device.h"
#include "backend/cuda/peer.h"

namespace minimax::backend::cuda {

inline constexpr int32_t kScaleCols = 128;  // columns of an fp8 scale block, and K of one chain of products
inline constexpr int32_t kTileRows = 16;    // of weights that are packed, and multiplied, together
inline constexpr int32_t kHeadDim = 128;
inline constexpr int32_t kLeafKeys = 128;  // keys of one leaf of the attention's sums, by absolute position

enum class WeightKind : uint8_t { kE4m3, kBf16, kF32 };

// How the quantised values of rows lie.
enum class GridOrder : uint8_t {
  kCodes,     // e4m3
  kFragments  // f16, each 64 columns in the order of wgmma's operands (see fragment_word in bf16.cuh)
};

// One weight, or the same weight of all experts of a layer one after the other. [out, in] row-major, or
// packed: tiles of 16 rows, of each its chains of kScaleCols columns one after the other, row-major inside,
// the 16-byte pieces of odd rows in the order 4 to 7, 0 to 3. So what is read at once lies together, and as
// shared memory wants it (mma.cuh, swizzled).
struct Matrix {
  const void* data = nullptr;
  const float* scales = nullptr;  // kE4m3: [blocks of rows, scale_cols()]
  int32_t out = 0;
  int32_t in = 0;          // a multiple of 16
  int32_t block_rows = 0;  // a multiple of 16
  // kE4m3: where a cut goes through a block, rows and columns of the first one that lie before; multiples
  // of 16.
  int32_t lead_rows = 0;
  int32_t lead_cols = 0;
  WeightKind kind = WeightKind::kBf16;
  bool packed = false;  // of kE4m3, where `out` is a multiple of 16 and `in` of kScaleCols

  constexpr int64_t element_bytes() const {
    return kind == WeightKind::kE4m3 ? 1 : kind == WeightKind::kBf16 ? 2 : 4;
  }
  constexpr int64_t expert_elements() const { return int64_t{out} * in; }
  constexpr int64_t scale_cols() const { return (lead_cols + in + kScaleCols - 1) / kScaleCols; }
  constexpr int64_t expert_scales() const {
    return kind == WeightKind::kE4m3 ? (lead_rows + out + block_rows - 1) / block_rows * scale_cols() : 0;
  }
};

// The experts [begin, begin + count) that a rank holds whole; count 0: a share of all of them.
struct ExpertSpan {
  int32_t begin = 0;
  int32_t count = 0;
  constexpr bool holds(int32_t expert) const {
    return count == 0 || static_cast<uint32_t>(expert - begin) < static_cast<uint32_t>(count);
  }
};

// Rows `begin` to `begin + count` of the list of routed parts, all of one expert.
struct alignas(16) PartTile {
  int32_t expert = 0;
  int32_t begin = 0;
  int32_t count = 0;
};

// Exactly one of the two results, [rows, y_stride].
struct LinearOutput {
  Matrix weight = {};
  uint16_t* y_bf16 = nullptr;
  float* y_f32 = nullptr;
  int64_t y_stride = 0;
};

struct LinearTask {
  LinearOutput outputs[3] = {};  // weights of one kind, block_rows and `in`, multiplied by the same x
  int32_t output_count = 1;
  // outputs[0] is the gate, outputs[1] up, alike in shape: bf16(silu(gate) * up) of their bf16 values goes to
  // outputs[0]. Not with kF32.
  bool swiglu = false;
  const void* x = nullptr;          // [*, in] bf16; with x_scales: quantised, in `order`
  const float* x_scales = nullptr;  // w8a8: [*, scale_cols()]; nullptr: 1
  GridOrder order = GridOrder::kCodes;
  int32_t rows = 0;  // rows of y; with tiles: an upper bound of parts
  // Experts: tile i multiplies rows x[parts[j] / x_divisor] into y[parts[j]].
  const PartTile* tiles = nullptr;
  const int32_t* tile_count = nullptr;
  int32_t tile_count_max = 0;
  int32_t tile_rows = 0;  // the tile_rows() that group_parts was given
  const int32_t* parts = nullptr;
  int32_t x_divisor = 1;
  // Of two launches over the same tiles, the first starts its successors only when the tiles are there; so
  // the second may read them, and the weights they name, while it waits.
  bool starts_late = false;
  bool tiles_there = false;
  int32_t tile_items = 0;  // linear() fills it in: items of work of a tile of columns
};

// y = x W^T: products exact, K in chains of kScaleCols, each chain times fp32(scale_w * scale_x) onto a
// segment by one fma, segments added in order. From 12 chains on (a multiple of 4) there are 4 segments.
// kF32 weights: 8 warps of 32 lanes take 4 columns each in turn, a tree over lanes, then warps in order; no
// experts, one output.
void linear(const LinearTask& task, StreamHandle stream);
// Columns of a tile that linear() uses for `parts` routed rows over `experts`: what group_parts must be
// given.
int32_t tile_rows(int64_t parts, int32_t experts);
// The order that linear() wants of quantised rows for this weight: many rows go to wgmma. `columns`: the
// rows, or, of experts, tile_rows().
GridOrder grid_order(const Matrix& weight, int32_t columns, bool of_experts);

// out[i] = the table's row of tokens[i]. The table lies in parts, one after the other, on one device or more.
struct EmbedTask {
  const uint16_t* tables[kRanksMax] = {};
  int32_t first_row[kRanksMax + 1] = {};  // of each part; then the end of the last
  // With one part that is not the whole table, rows outside it are taken from inside: see forward.h on a
  // rank alone.
  int32_t parts = 1;
  const int32_t* tokens = nullptr;  // [rows]
  int32_t hidden = 0;
  uint16_t* out = nullptr;  // [rows, hidden]
};
void embed(const EmbedTask& task, int32_t rows, StreamHandle stream);
inline constexpr int32_t kHiddenMax = 12288;
// What lies between two linears of a row, in one pass: what the layer before it gave joins the residual
// stream, the next norm follows, and the quantisation of its result. docs/numerics.md for each.
struct ResidualTask {
  uint16_t* h = nullptr;           // [*, width]
  const int32_t* index = nullptr;  // row i is h row index[i]; nullptr: row i
  int32_t rows = 0;
  int32_t width = 0;  // a multiple of 16, at most kHiddenMax
  // h = bf16(h + y). y [rows, width]; nullptr: h stays. Or y = bf16(sum over slots, in order, of
  // slot_weights[row][slot] * parts[row][slot]), parts [rows, slots, width].
  const uint16_t* y = nullptr;
  const uint16_t* parts = nullptr;
  const float* slot_weights = nullptr;
  int32_t slots = 0;
  // Parts of experts that the rank does not hold are left out. ids [rows, slots]; not read if it holds all.
  const int32_t* slot_experts = nullptr;
  ExpertSpan held = {};
  uint16_t* y_out = nullptr;  // where y of parts is wanted too
  // out = bf16(h / sqrt(mean(h^2) + eps) * norm); nullptr: none.
  const float* norm = nullptr;
  float eps = 0;
  uint16_t* out = nullptr;
  // As quantise() of out; nullptr: none.
  uint8_t* grid = nullptr;
  float* scales = nullptr;
  GridOrder order = GridOrder::kCodes;
};
void residual_norm(const ResidualTask& task, StreamHandle stream);
// The same over ranks: y is the sum over ranks, in their order, of fp32 values that each holds a part of;
// then as above. `partial` [rows, width] f32 holds this rank's y, if parts is nullptr; else it is not read
// (with more than kPushRows rows it is overwritten). It is the exchange memory's `partials` if ranks > 1.
enum class PeerForm : uint8_t {
  kBySize,
  kWords,  // every rank sums all rows, of floats that carry their count; at most kWordRows
  kPush,   // every rank sums all rows, when flags say that they are there; at most kPushRows
  kOwned   // a row is summed by one rank, which hands the result to the others
};
void residual_norm_over_ranks(const ResidualTask& task, float* partial, const PeerView& peers, PeerForm form,
                              StreamHandle stream);
// Ranks whose rows differ and whose experts are spread over them (data parallel attention, expert parallel
// experts): all normed rows to all ranks, and the experts' parts back to the rows' own ranks. The rows of all
// replicas are one list, the same on all ranks, replica after replica; ranks of a replica have the same rows.
struct WaveRows {
  int32_t all = 0;
  int32_t begin = 0;  // of this rank's replica
  int32_t own = 0;
  bool operator==(const WaveRows&) const = default;
};
struct SpreadTask {
  const uint16_t* x = nullptr;  // [rows.own, width] bf16
  int32_t width = 0;            // a multiple of 16
  WaveRows rows;
  int32_t replica_ranks = 1;  // neighbours with the same rows: each sends its share of them
  PeerView peers;
};
// Ends when all rows [rows.all, width] are in the exchange memory's `gathered`. What reads them has to come
// before this rank's next collect_parts().
void spread_rows(const SpreadTask& task, StreamHandle stream);
// As residual_norm_over_ranks() of the own rows: y is the sum over ranks, in their order, of what each has of
// the row's parts. task.rows is rows.own, and task's row i is row rows.begin + i of parts, slot_weights and
// slot_experts, which have rows.all rows. Rank r holds task.held.count experts from r * task.held.count on.
void collect_parts(const ResidualTask& task, const WaveRows& rows, const PeerView& peers,
                   StreamHandle stream);

// Columns [begin, begin + count) of logits [rows, stride] to all other ranks' `logits`; ends when theirs are
// here.
struct GatherTask {
  float* logits[kRanksMax] = {};
  int64_t stride = 0;
  int32_t begin = 0;
  int32_t count = 0;
  int32_t rows = 0;
  PeerView peers;
};
void gather_logits(const GatherTask& task, StreamHandle stream);

// Per row and kScaleCols columns: scale = amax / 448 (1 if 0), out = e4m3 of x / scale.
struct QuantiseTask {
  const uint16_t* x = nullptr;  // [rows, width]
  int32_t rows = 0;
  int32_t width = 0;
  int32_t lead = 0;                     // columns of the first group that another rank holds
  uint8_t* out = nullptr;               // [rows, width]
  float* scales = nullptr;              // [rows, groups]
  GridOrder order = GridOrder::kCodes;  // kFragments: `lead` is 0, `width` a multiple of kScaleCols
  // Ranks that hold `width` columns each, in order: a group that is cut takes its amax over them.
  PeerView peers = {};
  // Rows of experts that are not held are left as they are; not with groups that are cut. row_experts [rows].
  const int32_t* row_experts = nullptr;
  ExpertSpan held = {};
};
void quantise(const QuantiseTask& task, StreamHandle stream);
// cos and sin [rows, half] of position * frequency, the angle in double.
void rope_table(const int32_t* positions, const double* frequencies, int32_t rows, int32_t half, float* cos,
                float* sin, StreamHandle stream);
// K and V of a layer. A block's K: [kv_heads, block_tokens, kHeadDim] bf16; with fp8 e4m3 codes, and after
// them [kv_heads, block_tokens] f32, the scale of each. V is alike, at v_bytes from K.
struct KvLayer {
  std::byte* base = nullptr;
  int64_t block_bytes = 0;  // from a block to the next
  int64_t v_bytes = 0;
  int32_t block_tokens = 0;
  int32_t kv_heads = 0;
  bool fp8 = false;

  // Bytes from a block's K or V to the place of a head's token, and to its scale.
  constexpr int64_t place(int32_t head, int64_t token) const {
    return (int64_t{head} * block_tokens + token) * kHeadDim * (fp8 ? 1 : 2);
  }
  constexpr int64_t scale_place(int32_t head, int64_t token) const {
    return int64_t{kv_heads} * block_tokens * kHeadDim + (int64_t{head} * block_tokens + token) * 4;
  }
};
// q and k of each row: norm over the whole projection, then rotation; k and v into the cache, with fp8 by
// quantise()'s rule, a head a group, but if one of its values is not finite the scale is no number.
struct RotateTask {
  const uint16_t* q = nullptr;  // [rows, q_heads * kHeadDim]
  const uint16_t* k = nullptr;  // [rows, kv.kv_heads * kHeadDim]
  const uint16_t* v = nullptr;
  int32_t rows = 0;
  int32_t q_heads = 0;
  const float* q_norm = nullptr;  // nullptr: no norms
  const float* k_norm = nullptr;
  float eps = 0;
  // The norm goes over q and k of all ranks: the whole widths, and how many neighbours hold the same k.
  int32_t q_width = 0;
  int32_t k_width = 0;
  int32_t k_copies = 1;
  PeerView peers;
  int32_t half = 0;            // pairs (i, i + half) of a head turn
  const float* cos = nullptr;  // [rows, half]
  const float* sin = nullptr;
  uint16_t* q_out = nullptr;  // [rows, q_heads * kHeadDim]
  // places[row] = block * block_tokens + place in it.
  const int64_t* places = nullptr;
  KvLayer kv;
  // Where they are wanted too; nullptr: not.
  uint16_t* q_normed = nullptr;
  uint16_t* k_normed = nullptr;
  uint16_t* k_out = nullptr;
};
void rotate(const RotateTask& task, StreamHandle stream);

// Consecutive rows of one sequence that share the reading of keys.
struct RowTile {
  int32_t row = 0;
  int32_t count = 0;
  int32_t position = 0;     // of the first
  int32_t table_begin = 0;  // into the block table
};
// With fp8 a score is f32(q . codes of k) * scale_k, and a key's share of the sums over v is times scale_v:
// codes are exact in bf16, and what they stand for is never rounded.
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
  // All keys but each tile's last were there before the launch that this one follows.
  bool old_keys = false;
  // As quantise() of out; nullptr: none.
  uint8_t* grid = nullptr;
  float* scales = nullptr;
  GridOrder order = GridOrder::kCodes;
};
inline constexpr int32_t kPartialFloats = kHeadDim + 2;
int32_t wide_rows(int32_t group);  // query heads of a KV head, at most 8
void attention(const AttentionTask& task, int32_t rows, StreamHandle stream);

// `to` gets the bytes of one weight of kE4m3 packed; see Matrix.
void pack(const void* from, int32_t out, int32_t in, void* to, StreamHandle stream);

// Random weights, for timing: an element is a function of `seed` and its place in the whole tensor alone.
// kE4m3: all finite codes; kBf16 and kF32: uniform in [-span, span].
struct FillTask {
  void* data = nullptr;
  int64_t rows = 0, cols = 0;
  int64_t row_begin = 0, col_begin = 0, whole_cols = 0;  // in the whole tensor
  WeightKind kind = WeightKind::kBf16;
  float span = 0;
  uint64_t seed = 0;
};
void fill_random(const FillTask& task, StreamHandle stream);

struct RouteTask {
  const float* logits = nullptr;  // [rows, experts]
  const float* bias = nullptr;    // [experts]
  int32_t rows = 0;
  int32_t experts = 0;       // at most 1024
  int32_t slots = 0;         // experts of a row, at most 32 and all of them
  float* scores = nullptr;   // [rows, experts]
  int32_t* ids = nullptr;    // [rows, slots]
  float* weights = nullptr;  // [rows, slots]
};
// The parts (row * slots + slot) of the experts held, expert by expert, in tiles of at most tile_rows. The
// order inside an expert is not fixed: no result depends on it. Tiles name the first expert held 0.
struct GroupTask {
  ExpertSpan held = {};
  int32_t tile_rows = 0;
  int32_t* parts = nullptr;       // [rows * slots]
  PartTile* tiles = nullptr;      // as many as there may be
  int32_t* tile_count = nullptr;  // [1]
};
// The experts of each row, and the rows of each expert.
void route(const RouteTask& task, const GroupTask& groups, StreamHandle stream);

}  // namespace minimax::backend::cuda
