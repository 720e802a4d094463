#pragma once
// What a launcher of persistent CTAs asks of the device.

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

}  // namespace minimax::backend::cuda
