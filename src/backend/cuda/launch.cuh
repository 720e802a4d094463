#pragma once
// How kernels are launched. On Hopper each may start while those before it in the stream still run
// (programmatic dependent launch): what a launch costs is hidden. So every kernel calls begin_launch() and
// then wait_for_previous(), in every CTA. Between the two it may read only what no launch of the step writes:
// weights, what the host sent for the step, K and V of earlier steps.

#include <mutex>

#include <cuda_runtime.h>

#include "backend/cuda/device.h"
#include "backend/cuda/trace.h"

namespace minimax::backend::cuda {

constexpr int kSharedBytesFree = 40 * 1024;  // dynamic, without being asked for

// A value for each device, found when the device first needs it: attributes of kernels are set device by
// device.
template <typename Find>
int once_a_device(Find find) {
  static std::once_flag done[kDevicesMax];
  static int values[kDevicesMax];
  int device = 0;
  insist(cudaGetDevice(&device), "cudaGetDevice");
  std::call_once(done[device], [&] { values[device] = find(device); });
  return values[device];
}

// CTAs of the kernel that the current device holds at once, with as much dynamic shared memory as the first
// caller wants. Also allows the kernel that much, where it is more than any kernel may have: then to be
// called before the first launch, always with the same number.
template <auto kKernel>
int ctas_at_once(int threads, int shared_bytes) {
  return once_a_device([=](int device) {
    if (shared_bytes > kSharedBytesFree)
      insist(cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
             "shared memory of a kernel");
    int processors = 0, each = 0;
    insist(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "processors");
    insist(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kKernel, threads,
                                                         static_cast<size_t>(shared_bytes)),
           "occupancy");
    return processors * (each > 0 ? each : 1);
  });
}

#ifdef MINIMAX_CUDA_TRACE
static __device__ TraceBuffer* trace_to;
[[maybe_unused]] static const bool trace_user = [] {
  trace_users().push_back(
      [](TraceBuffer* buffer) { insist(cudaMemcpyToSymbol(trace_to, &buffer, sizeof(buffer)), "trace"); });
  return true;
}();
#endif

// In builds that trace (trace.h): where this launch stamps; asked for early, since the answer takes a while.
__device__ inline uint64_t* stamp_place() {
#ifdef MINIMAX_CUDA_TRACE
  if (threadIdx.x == 0 && blockIdx.x + blockIdx.y + blockIdx.z == 0 && trace_to != nullptr)
    return trace_to->ns + atomicAdd(&trace_to->count, 1ull) % kTraceStamps;
#endif
  return nullptr;
}

__device__ inline void start_next() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}
// The next launch may start, as soon as every CTA of this one has: it takes no room from it. `late`: the
// caller says when, by start_next().
__device__ inline uint64_t* begin_launch(bool late = false) {
  uint64_t* const stamp = stamp_place();
  if (!late) start_next();
  return stamp;
}
// All that earlier launches wrote is there. `stamp`: of begin_launch().
__device__ inline void wait_for_previous(uint64_t* stamp) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n" ::: "memory");
#endif
  if (stamp != nullptr) asm volatile("mov.u64 %0, %globaltimer;\n" : "=l"(*stamp));
}
__device__ inline void wait_for_previous() {
  wait_for_previous(begin_launch());
}

// `bytes` from `from` on come to L2 while this launch waits; a multiple of 16, also in its address. One
// thread calls.
__device__ inline void prefetch_l2(const void* from, int64_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  constexpr int64_t kPiece = 16 * 1024;
  for (int64_t at = 0; at < bytes; at += kPiece)
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;\n" ::"l"(static_cast<const char*>(from) + at),
                 "r"(static_cast<uint32_t>(bytes - at < kPiece ? bytes - at : kPiece))
                 : "memory");
#endif
}

// Whether the kernel's code has the instructions above: that for sm_80 does not, on whatever device it runs.
template <auto kKernel>
bool waits_for_previous() {
  return once_a_device([](int) {
           cudaFuncAttributes attributes{};
           insist(cudaFuncGetAttributes(&attributes, kKernel), "attributes of a kernel");
           return attributes.ptxVersion >= 90 ? 1 : 0;
         }) != 0;
}

// `name` is for the words of an error.
template <auto kKernel, typename... Arguments>
void launch_kernel(const char* name, const dim3& grid, int threads, int shared_bytes, StreamHandle stream,
                   const Arguments&... arguments) {
#ifdef MINIMAX_CUDA_TRACE
  if (launch_names != nullptr) launch_names->emplace_back(name);
#endif
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = waits_for_previous<kKernel>() && launches_overlap() ? 1 : 0;
  insist(cudaLaunchKernelEx(&config, kKernel, arguments...), name);
}

}  // namespace minimax::backend::cuda
