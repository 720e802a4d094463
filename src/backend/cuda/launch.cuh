#pragma once
// How kernels are launched. On Hopper each may start while the one before it in the stream runs out
// (programmatic dependent launch): what a launch costs is hidden. So every kernel begins with
// wait_for_previous(), in every CTA, and touches no memory before it.

#include <cuda_runtime.h>

#include "backend/cuda/device.h"

namespace minimax::backend::cuda {

// CTAs of the kernel that the device holds at once. Also allows the kernel its dynamic shared memory: to be
// called once, before the first launch. One device a process.
template <typename Kernel>
int ctas_at_once(Kernel* kernel, int threads, int shared_bytes) {
  insist(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
         "shared memory of a kernel");
  int device = 0, processors = 0, each = 0;
  insist(cudaGetDevice(&device), "cudaGetDevice");
  insist(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "processors");
  insist(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads, shared_bytes), "occupancy");
  return processors * (each > 0 ? each : 1);
}

// All that earlier launches wrote is there; the next launch may start.
__device__ inline void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}

// Whether the kernel's code has the instructions above: that for sm_80 does not, on whatever device it runs.
template <typename Kernel>
bool waits_for_previous(Kernel* kernel) {
  cudaFuncAttributes attributes{};
  insist(cudaFuncGetAttributes(&attributes, kernel), "attributes of a kernel");
  return attributes.ptxVersion >= 90;
}

// `name` is for the words of an error.
template <auto kKernel, typename... Arguments>
void launch_kernel(const char* name, const dim3& grid, int threads, int shared_bytes, StreamHandle stream,
                   const Arguments&... arguments) {
  static const bool waits = waits_for_previous(kKernel);
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = waits ? 1 : 0;
  insist(cudaLaunchKernelEx(&config, kKernel, arguments...), name);
}

}  // namespace minimax::backend::cuda
