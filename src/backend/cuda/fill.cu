// Weights as they come: packed, or made up. Bound: memory.

#include <algorithm>
#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/bf16.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"

namespace minimax::backend::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kCtas = 4096;

// splitmix64's mixing.
__device__ inline uint64_t mixed(uint64_t value) {
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
  value = (value ^ value >> 27) * 0x94D049BB133111EBu;
  return value ^ value >> 31;
}

__global__ void __launch_bounds__(kThreads) fill_kernel(const __grid_constant__ FillTask task) {
  wait_for_previous();
  const int64_t count = task.rows * task.cols;
  for (int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x; at < count;
       at += int64_t{kCtas} * kThreads) {
    const int64_t row = task.row_begin + at / task.cols, col = task.col_begin + at % task.cols;
    const uint64_t bits =
        mixed(task.seed + static_cast<uint64_t>(row * task.whole_cols + col) * 0x9E3779B97F4A7C15u);
    const float value = (static_cast<float>(bits >> 40) * 0x1p-23f - 1.0f) * task.span;
    if (task.kind == WeightKind::kE4m3) {
      const auto code = static_cast<uint8_t>(bits >> 56);
      static_cast<uint8_t*>(task.data)[at] = (code & 0x7F) == 0x7F ? uint8_t{0} : code;  // 0x7F is no number
    } else if (task.kind == WeightKind::kBf16) {
      static_cast<uint16_t*>(task.data)[at] = narrow(value);
    } else {
      static_cast<float*>(task.data)[at] = value;
    }
  }
}

// A thread 16 bytes of the packed weight.
__global__ void __launch_bounds__(kThreads)
    pack_kernel(const uint4* from, int64_t pieces, int in, uint4* to) {
  wait_for_previous();
  constexpr int kRowPieces = kScaleCols / 16, kChainPieces = kTileRows * kRowPieces;
  for (int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x; at < pieces;
       at += int64_t{kCtas} * kThreads) {
    const int64_t tile = at / in;  // its bytes over 16 are `in`
    const int rest = static_cast<int>(at % in), chain = rest / kChainPieces;
    const int64_t row = tile * kTileRows + rest % kChainPieces / kRowPieces;
    const auto piece = rest % kRowPieces ^ static_cast<int>(row & 1) * 4;
    to[at] = from[row * (in / 16) + chain * kRowPieces + piece];
  }
}

}  // namespace

void pack(const void* from, int32_t out, int32_t in, void* to, StreamHandle stream) {
  const int64_t pieces = int64_t{out} * in / 16;
  const auto ctas = static_cast<int>(std::min<int64_t>((pieces + kThreads - 1) / kThreads, kCtas));
  launch_kernel<pack_kernel>("packing of weights", ctas, kThreads, 0, stream, static_cast<const uint4*>(from),
                             pieces, in, static_cast<uint4*>(to));
}

void fill_random(const FillTask& task, StreamHandle stream) {
  if (task.rows * task.cols == 0) return;
  launch_kernel<fill_kernel>("random weights", kCtas, kThreads, 0, stream, task);
}

}  // namespace minimax::backend::cuda
