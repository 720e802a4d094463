#pragma once
// What the tensor-core kernels share: mma.sync, its operands in shared memory, and the copies that bring
// them.
//
// Operands whose rows run along K lie in rows of a chain (128 values); K is permuted inside 64 of them: lane
// t of a quad owns the 16 values from t * 16 on, for both operands, so each lane reads 16 bytes at once and
// no shuffle is needed.

#include <cstdint>

#include <cuda_runtime.h>

namespace minimax::backend::cuda {

// Where chunk `chunk` (16 bytes) of row `row` lies, so that the 8 lanes that read at once meet 8 different
// banks of 16 bytes: a quad reads every chunk of half a row of 8 chunks, or every other of half a row of 16.
template <int kRowBytes>
__device__ inline int swizzled(int row, int chunk) {
  return row * kRowBytes + (chunk ^ (kRowBytes == 128 ? (row & 1) * 4 : row & 1)) * 16;
}

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
// The same two values, kept in a register: the compiler would make them anew in every round of a loop, and
// reading the index takes longer than what follows.
__device__ inline uint32_t kept_shared_address(const void* pointer) {
  uint32_t address;
  asm volatile("mov.u32 %0, %1;\n" : "=r"(address) : "r"(shared_address(pointer)));
  return address;
}
__device__ inline int kept_thread_index() {
  int index;
  asm volatile("mov.u32 %0, %%tid.x;\n" : "=r"(index));
  return index;
}
// 16 bytes to shared memory, under way until copies_wait(); zeros where `from` is not `inside`.
__device__ inline void copy_16(uint32_t to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(inside ? 16 : 0)
               : "memory");
}
__device__ inline void copy_16(char* to, const void* from, bool inside) {
  copy_16(shared_address(to), from, inside);
}
__device__ inline void copy_16(uint32_t to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(from) : "memory");
}
__device__ inline void copy_4(uint32_t to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n" ::"r"(to), "l"(from) : "memory");
}
__device__ inline uint4 load_16(uint32_t at) {
  uint4 value;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(at)
               : "memory");
  return value;
}
__device__ inline float load_float(uint32_t at) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];\n" : "=f"(value) : "r"(at) : "memory");
  return value;
}
__device__ inline float2 load_float2(uint32_t at) {
  float2 value;
  asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];\n" : "=f"(value.x), "=f"(value.y) : "r"(at) : "memory");
  return value;
}
__device__ inline void copies_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
// Until all but the newest kPending groups of this thread are there.
template <int kPending>
__device__ inline void copies_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

// A lane's 16 consecutive values as 8 pairs of 16 bits.
struct Pairs {
  uint32_t pair[8];
};

// From a row of 256 bytes.
__device__ inline Pairs load_pairs(const char* base, int row, int chunk) {
  const uint4 a = *reinterpret_cast<const uint4*>(base + swizzled<256>(row, chunk));
  const uint4 b = *reinterpret_cast<const uint4*>(base + swizzled<256>(row, chunk + 1));
  return {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
}

// d += A B, 16 rows of A, 8 columns of B, K = 16, of bf16 or (kHalf) f16 values. Lane (g = lane / 4, t = lane
// % 4) holds d[0], d[1]: row g, columns 2 t, 2 t + 1; d[2], d[3]: row g + 8.
template <bool kHalf = false>
__device__ inline void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (kHalf) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

// Step `step` of the 4 of 64 permuted columns; low: row g of A, high: row g + 8.
template <bool kHalf = false>
__device__ inline void multiply(float (&d)[4], const Pairs& low, const Pairs& high, const Pairs& x,
                                int step) {
  const uint32_t a[4] = {low.pair[2 * step], high.pair[2 * step], low.pair[2 * step + 1],
                         high.pair[2 * step + 1]};
  multiply<kHalf>(d, a, x.pair[2 * step], x.pair[2 * step + 1]);
}

}  // namespace minimax::backend::cuda
