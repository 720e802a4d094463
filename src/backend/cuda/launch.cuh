#pragma once
// How kernels are launched. On Hopper each may start while the one before it in the stream runs out
// (programmatic dependent launch): what a launch costs is hidden. So every kernel begins with
// wait_for_previous(), in every CTA, and touches no memory before it.

#include <mutex>

#include <cuda_runtime.h>

#include "backend/cuda/device.h"

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

// All that earlier launches wrote is there; the next launch may start.
__device__ inline void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
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
