// y = x W^T on the tensor cores, for every row count with one tree of sums.
//
// Mapping: weights are the M operand (16 features a warp), rows of x the N operand (kTiles * 8 columns), so
// an element of y never meets another row. mma.sync m16n8k16 bf16; e4m3 weights and quantised activations
// are widened to bf16, which is exact. K is permuted inside 64 columns: lane t of a quad owns the 16 columns
// from t * 16 on, for both operands, so each lane loads 16 bytes at once and no shuffle is needed.
//
// Two forms of the same tree: kSplit gives the 4 segments of K to the 4 warps of a CTA (few rows: more loads
// in flight), else the 4 warps take 4 tiles of features and run the segments one after the other.
//
// Reads each weight once per CTA row of the grid. Bound: memory for few rows, tensor cores for many.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"

namespace minimax::backend::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kFeatures = 16;  // of a warp

__host__ __device__ inline int segments_of(int chains) {
  return chains >= 12 && chains % 4 == 0 ? 4 : 1;
}

// A lane's 16 consecutive weights as 8 pairs of bf16.
struct Pairs {
  uint32_t pair[8];
};

__device__ inline Pairs load_bf16(const uint16_t* at, bool inside) {
  Pairs out{};
  if (inside) {
    const uint4 a = __ldg(reinterpret_cast<const uint4*>(at));
    const uint4 b = __ldg(reinterpret_cast<const uint4*>(at) + 1);
    out = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
  }
  return out;
}

template <WeightKind kKind>
__device__ inline Pairs load_weight(const void* base, int64_t element, bool inside) {
  if constexpr (kKind == WeightKind::kBf16) {
    return load_bf16(static_cast<const uint16_t*>(base) + element, inside);
  } else {
    Pairs out{};
    if (inside) {
      const uint4 codes = __ldg(reinterpret_cast<const uint4*>(static_cast<const uint8_t*>(base) + element));
      const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        out.pair[2 * i] = widen_e4m3(__byte_perm(words[i], 0, 0x1404));
        out.pair[2 * i + 1] = widen_e4m3(__byte_perm(words[i], 0, 0x3424));
      }
    }
    return out;
  }
}

__device__ inline void multiply(float (&d)[4], const Pairs& low, const Pairs& high, const Pairs& x, int step) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(low.pair[2 * step]), "r"(high.pair[2 * step]), "r"(low.pair[2 * step + 1]),
        "r"(high.pair[2 * step + 1]), "r"(x.pair[2 * step]), "r"(x.pair[2 * step + 1]));
}

struct Columns {
  int64_t x_row;  // -1: none
  int64_t y_row;
};

__device__ inline Columns column_of(const LinearTask& task, const PartTile& tile, int column) {
  if (column >= tile.count) return {-1, -1};
  if (task.tiles == nullptr) return {tile.begin + column, tile.begin + column};
  const int32_t part = task.parts[tile.begin + column];
  return {part / task.x_divisor, part};
}

__device__ inline void store(const LinearTask& task, int feature, int64_t row, float value) {
  if (row < 0 || feature >= task.weight.out) return;
  if (task.y_bf16 != nullptr) {
    task.y_bf16[row * task.y_stride + feature] = narrow(value);
  } else {
    task.y_f32[row * task.y_stride + feature] = value;
  }
}

template <WeightKind kKind, int kTiles, bool kSplit>
__global__ void __launch_bounds__(kWarps * 32) linear_kernel(const LinearTask task) {
  PartTile tile{0, static_cast<int32_t>(blockIdx.y) * kTiles * 8, 0};
  if (task.tiles != nullptr) {
    if (blockIdx.y >= static_cast<uint32_t>(*task.tile_count)) return;
    tile = task.tiles[blockIdx.y];
  } else {
    tile.count = min(kTiles * 8, task.rows - tile.begin);
  }
  const Matrix& w = task.weight;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  const int feature = (kSplit ? blockIdx.x : blockIdx.x * kWarps + warp) * kFeatures;
  const int chains = static_cast<int>(w.scale_cols()), segments = segments_of(chains);
  const int chains_each = chains / segments;

  const int64_t weight_base = tile.expert * w.expert_elements();
  const int64_t low_row = weight_base + int64_t{feature + group} * w.in, high_row = low_row + int64_t{8} * w.in;
  const bool low_inside = feature + group < w.out, high_inside = feature + group + 8 < w.out;
  // A tile of 16 features lies in one row of scale blocks.
  const float* const scales =
      kKind == WeightKind::kE4m3
          ? w.scales + tile.expert * w.expert_scales() + min(feature, w.out - 1) / w.block_rows * chains
          : nullptr;
  const uint16_t* x_rows[kTiles];
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    const int64_t row = column_of(task, tile, n * 8 + group).x_row;
    x_rows[n] = row < 0 ? nullptr : task.x + row * w.in;
  }
  const float* x_scales[kTiles][2];
  if (task.x_scales != nullptr) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int64_t row = column_of(task, tile, n * 8 + quad * 2 + i).x_row;
        x_scales[n][i] = row < 0 ? nullptr : task.x_scales + row * chains;
      }
  }

  float total[kTiles][4] = {};
  const int segment_begin = kSplit ? warp : 0, segment_end = kSplit ? warp + 1 : segments;
  for (int segment = segment_begin; segment < segment_end; ++segment) {
    float sum[kTiles][4] = {};
#pragma unroll(kTiles == 1 ? 2 : 1)
    for (int chain = segment * chains_each; chain < (segment + 1) * chains_each; ++chain) {
      float d[kTiles][4] = {};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int k = chain * kScaleCols + half * 64 + quad * 16;
        const bool inside = k < w.in;
        const Pairs low = load_weight<kKind>(w.data, low_row + k, inside && low_inside);
        const Pairs high = load_weight<kKind>(w.data, high_row + k, inside && high_inside);
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
          const Pairs x = load_bf16(x_rows[n] + k, inside && x_rows[n] != nullptr);
#pragma unroll
          for (int step = 0; step < 4; ++step) multiply(d[n], low, high, x, step);
        }
      }
      const float weight_scale = kKind == WeightKind::kE4m3 ? __ldg(scales + chain) : 1.0f;
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        float scale[2] = {weight_scale, weight_scale};
        if (task.x_scales != nullptr) {
#pragma unroll
          for (int i = 0; i < 2; ++i)
            if (x_scales[n][i] != nullptr) scale[i] = weight_scale * __ldg(x_scales[n][i] + chain);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[n][i] = __fmaf_rn(d[n][i], scale[i % 2], sum[n][i]);
      }
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) total[n][i] += sum[n][i];
  }

  if constexpr (kSplit) {
    __shared__ float partial[kWarps][kFeatures][kTiles * 8 + 1];
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        partial[warp][group + i / 2 * 8][n * 8 + quad * 2 + i % 2] = total[n][i];
    __syncthreads();
    for (int at = threadIdx.x; at < kFeatures * kTiles * 8; at += kWarps * 32) {
      const int row = at % kFeatures, column = at / kFeatures;
      float value = 0;
#pragma unroll
      for (int part = 0; part < kWarps; ++part) value += partial[part][row][column];
      store(task, feature + row, column_of(task, tile, column).y_row, value);
    }
  } else {
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        store(task, feature + group + i / 2 * 8, column_of(task, tile, n * 8 + quad * 2 + i % 2).y_row,
              total[n][i]);
  }
}

// fp32 weights, for the router: a warp a feature and 8 rows, 4 columns a lane at a time.
constexpr int kF32Rows = 8;

__global__ void __launch_bounds__(kWarps * 32) linear_f32_kernel(const LinearTask task) {
  const Matrix& w = task.weight;
  const int feature = blockIdx.x * kWarps + threadIdx.x / 32, lane = threadIdx.x % 32;
  const int row_begin = blockIdx.y * kF32Rows;
  if (feature >= w.out) return;
  const float* const weights = static_cast<const float*>(w.data) + int64_t{feature} * w.in;
  float sum[kF32Rows] = {};
  for (int k = lane * 4; k < w.in; k += 128) {
    const float4 a = __ldg(reinterpret_cast<const float4*>(weights + k));
#pragma unroll
    for (int r = 0; r < kF32Rows; ++r) {
      if (row_begin + r >= task.rows) continue;
      const uint2 x = __ldg(reinterpret_cast<const uint2*>(task.x + int64_t{row_begin + r} * w.in + k));
      sum[r] = __fmaf_rn(a.x, widen_low(x.x), sum[r]);
      sum[r] = __fmaf_rn(a.y, widen_high(x.x), sum[r]);
      sum[r] = __fmaf_rn(a.z, widen_low(x.y), sum[r]);
      sum[r] = __fmaf_rn(a.w, widen_high(x.y), sum[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kF32Rows; ++r) {
    float value = sum[r];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
    if (lane == 0 && row_begin + r < task.rows) store(task, feature, row_begin + r, value);
  }
}

template <WeightKind kKind, int kTiles, bool kSplit>
void launch(const LinearTask& task, StreamHandle stream) {
  const int features = kSplit ? kFeatures : kFeatures * kWarps;
  const dim3 grid((task.weight.out + features - 1) / features,
                  task.tiles != nullptr ? task.tile_count_max : (task.rows + kTiles * 8 - 1) / (kTiles * 8));
  linear_kernel<kKind, kTiles, kSplit><<<grid, kWarps * 32, 0, stream>>>(task);
  insist_launched("linear");
}

template <WeightKind kKind>
void choose(const LinearTask& task, int columns, StreamHandle stream) {
  const bool split = segments_of(static_cast<int>(task.weight.scale_cols())) == kWarps;
  if (columns > 8) {
    launch<kKind, 8, false>(task, stream);
  } else if (split) {
    launch<kKind, 1, true>(task, stream);
  } else {
    launch<kKind, 1, false>(task, stream);
  }
}

}  // namespace

int32_t tile_rows(int64_t parts, int32_t experts) {
  return parts <= int64_t{8} * experts ? 8 : 64;
}

void linear(const LinearTask& task, StreamHandle stream) {
  if (task.rows == 0) return;
  if (task.weight.kind == WeightKind::kF32) {
    const dim3 grid((task.weight.out + kWarps - 1) / kWarps, (task.rows + kF32Rows - 1) / kF32Rows);
    linear_f32_kernel<<<grid, kWarps * 32, 0, stream>>>(task);
    insist_launched("linear_f32");
    return;
  }
  const int columns = task.tiles != nullptr ? task.tile_rows : task.rows;
  if (task.weight.kind == WeightKind::kE4m3) {
    choose<WeightKind::kE4m3>(task, columns, stream);
  } else {
    choose<WeightKind::kBf16>(task, columns, stream);
  }
}

}  // namespace minimax::backend::cuda
