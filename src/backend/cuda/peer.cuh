#pragma once
// How kernels of different ranks meet: flags with release and acquire of the whole system, words that carry a
// float and its count in one store, and the limit of every wait.

#include <cstdint>

#include <cuda_runtime.h>

#include "backend/cuda/peer.h"

namespace minimax::backend::cuda {

template <typename T>
__device__ inline T* peer_at(const PeerView& peers, int rank, int64_t offset) {
  return reinterpret_cast<T*>(peers.memory[rank] + offset);
}

__device__ inline void set_flag(uint32_t* flag, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;\n" ::"l"(flag), "r"(value) : "memory");
}
__device__ inline uint32_t read_flag(const uint32_t* flag) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];\n" : "=r"(value) : "l"(flag) : "memory");
  return value;
}
__device__ inline void set_word(uint64_t* word, uint64_t value) {
  asm volatile("st.relaxed.sys.global.u64 [%0], %1;\n" ::"l"(word), "l"(value) : "memory");
}
__device__ inline uint64_t read_word(const uint64_t* word) {
  uint64_t value;
  asm volatile("ld.relaxed.sys.global.u64 %0, [%1];\n" : "=l"(value) : "l"(word) : "memory");
  return value;
}
// From the memory of another rank, past all caches of this device.
__device__ inline float4 read_far(const float4* from) {
  float4 value;
  asm volatile("ld.volatile.global.v4.f32 {%0,%1,%2,%3}, [%4];\n"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "l"(from)
               : "memory");
  return value;
}

__device__ inline uint64_t now_ns() {
  uint64_t ns;
  asm volatile("mov.u64 %0, %globaltimer;\n" : "=l"(ns));
  return ns;
}
// Until `reached()`, or the end of the process.
template <typename Reached>
__device__ inline void spin_until(const PeerView& peers, Reached reached) {
  uint64_t end = 0;
  for (uint32_t tries = 0; !reached(); ++tries) {
    if (tries % 4096 != 4095) continue;
    if (end == 0) end = now_ns() + static_cast<uint64_t>(peers.wait_seconds) * 1000000000u;
    if (now_ns() > end) __trap();
  }
}
// The count has come to `count`: another rank may be one ahead, never two.
__device__ inline bool came_to(uint32_t value, uint32_t count) {
  return static_cast<int32_t>(value - count) >= 0;
}

// A float for others; `count` says which.
__device__ inline uint64_t word_of(float value, uint32_t count) {
  return uint64_t{count} << 32 | __float_as_uint(value);
}
__device__ inline float await_word(const PeerView& peers, const uint64_t* word, uint32_t count) {
  uint64_t value = 0;
  spin_until(peers, [&] {
    value = read_word(word);
    return static_cast<uint32_t>(value >> 32) == count;
  });
  return __uint_as_float(static_cast<uint32_t>(value));
}

// Two floats, each with the count: 16 bytes in one store, of which each half is whole when it is seen.
__device__ inline void set_two(uint4* to, float first, float second, uint32_t count) {
  asm volatile("st.volatile.global.v4.u32 [%0], {%1,%2,%3,%4};\n" ::"l"(to), "r"(__float_as_uint(first)),
               "r"(count), "r"(__float_as_uint(second)), "r"(count)
               : "memory");
}
__device__ inline uint4 read_two(const uint4* from) {
  uint4 value;
  asm volatile("ld.volatile.global.v4.u32 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from)
               : "memory");
  return value;
}

// All CTAs of this index, of all ranks, have come here, and what they wrote before is there. `which`: 0 or 1,
// each once a kernel, both with the same count. For all threads of the CTA.
__device__ inline void meet_cta(const PeerView& peers, int which, uint32_t count) {
  __syncthreads();
  const int other = threadIdx.x;
  const int64_t row = int64_t{which} * peers.ranks;
  if (other < peers.ranks && other != peers.rank) {
    __threadfence_system();
    set_flag(
        peer_at<uint32_t>(peers, other, peers.at.cta_flags) + (row + peers.rank) * kPeerCtasMax + blockIdx.x,
        count);
    const uint32_t* const flag =
        peer_at<uint32_t>(peers, peers.rank, peers.at.cta_flags) + (row + other) * kPeerCtasMax + blockIdx.x;
    spin_until(peers, [=] { return came_to(read_flag(flag), count); });
  }
  __syncthreads();
}
__device__ inline uint32_t* cta_count(const PeerView& peers) {
  return peer_at<uint32_t>(peers, peers.rank, peers.at.cta_counts) + blockIdx.x;
}

}  // namespace minimax::backend::cuda
