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
// What this thread's ordinary writes and copies left in shared memory is there for wgmma, after a barrier.
__device__ inline void fence_for_products() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
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

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
// wgmma: four warps, 64 rows of A from registers as in multiply(), kTiles * 8 columns of B from shared
// memory. Bits as those of multiply(), whatever kTiles: found equal on H200 over 3.7 million chains of random
// values, and tested with each form of linear().

// B, K of 64 f16 values a row of 128 bytes, chunks of 16 bytes at chunk ^ (row & 7); 8 rows lie together, at
// a multiple of 1024 bytes. A step of K = 16 is 32 bytes on.
__device__ inline uint64_t operand_descriptor(uint32_t address) {
  constexpr uint64_t kEightRows = 1024, kSwizzle128 = 1;
  return (address & 0x3FFFF) >> 4 | uint64_t{1} << 16 | (kEightRows >> 4) << 32 | kSwizzle128 << 62;
}
// What was written to shared memory, and registers, before the products that follow.
__device__ inline void products_begin() {
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}
__device__ inline void products_wait() {
  asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n" ::: "memory");
}

#define MINIMAX_FRAGMENT(x) "+f"(x[0]), "+f"(x[1]), "+f"(x[2]), "+f"(x[3])
// d = A B, or (adds) d += A B, when products_wait() returns; until then d and a are not to be touched.
template <int kTiles>
__device__ inline void multiply_wide(float (&d)[kTiles][4], const uint32_t (&a)[4], uint64_t columns,
                                     bool adds) {
  if constexpr (kTiles == 4) {
    asm volatile(
        "{\n.reg .pred adds;\nsetp.ne.b32 adds, %21, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
        "{%16, %17, %18, %19}, %20, adds, 1, 1, 0;\n}\n"
        : MINIMAX_FRAGMENT(d[0]), MINIMAX_FRAGMENT(d[1]), MINIMAX_FRAGMENT(d[2]), MINIMAX_FRAGMENT(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(columns), "r"(adds ? 1 : 0));
  } else if constexpr (kTiles == 8) {
    asm volatile(
        "{\n.reg .pred adds;\nsetp.ne.b32 adds, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, adds, 1, 1, 0;\n}\n"
        : MINIMAX_FRAGMENT(d[0]), MINIMAX_FRAGMENT(d[1]), MINIMAX_FRAGMENT(d[2]), MINIMAX_FRAGMENT(d[3]),
          MINIMAX_FRAGMENT(d[4]), MINIMAX_FRAGMENT(d[5]), MINIMAX_FRAGMENT(d[6]), MINIMAX_FRAGMENT(d[7])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(columns), "r"(adds ? 1 : 0));
  } else {
    static_assert(kTiles == 12);
    asm volatile(
        "{\n.reg .pred adds;\nsetp.ne.b32 adds, %53, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n96k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, "
        "{%48, %49, %50, %51}, %52, adds, 1, 1, 0;\n}\n"
        : MINIMAX_FRAGMENT(d[0]), MINIMAX_FRAGMENT(d[1]), MINIMAX_FRAGMENT(d[2]), MINIMAX_FRAGMENT(d[3]),
          MINIMAX_FRAGMENT(d[4]), MINIMAX_FRAGMENT(d[5]), MINIMAX_FRAGMENT(d[6]), MINIMAX_FRAGMENT(d[7]),
          MINIMAX_FRAGMENT(d[8]), MINIMAX_FRAGMENT(d[9]), MINIMAX_FRAGMENT(d[10]), MINIMAX_FRAGMENT(d[11])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(columns), "r"(adds ? 1 : 0));
  }
}
#undef MINIMAX_FRAGMENT
#endif

}  // namespace minimax::backend::cuda
