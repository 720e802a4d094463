#include "backend/cuda/device.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include "base/error.h"
#include "base/log.h"

namespace minimax::backend::cuda {

static std::string words_of(int error) {
  const auto code = static_cast<cudaError_t>(error);
  return fmt::format("{} ({})", cudaGetErrorString(code), cudaGetErrorName(code));
}

void require(int error, const char* what) {
  if (error != cudaSuccess) throw Error("cuda: {}: {}", what, words_of(error));
}

void require_idle() {
  require(cudaDeviceSynchronize(), "work of the start");
}

void insist(int error, const char* what) {
  if (error == cudaSuccess) return;
  log::error("cuda: {}: {}; the device cannot be used further", what, words_of(error));
  std::_Exit(kDeviceFailed);  // destructors would only meet the same error
}

void insist_launched(const char* kernel) {
  insist(cudaGetLastError(), kernel);
}

// How the driver of this process is set up, before the first call of it. Kernels are loaded at once: a
// kernel that waits for another rank must never meet one that is still to be loaded, for which the driver may
// wait until the device is idle. And streams get queues of their own, as far as there are any.
static void set_up_driver() {
  static const bool done = [] {
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
    return true;
  }();
  static_cast<void>(done);
}

static std::atomic<int32_t> no_overlaps = 0;
NoOverlap::NoOverlap() {
  ++no_overlaps;
}
NoOverlap::~NoOverlap() {
  --no_overlaps;
}
bool launches_overlap() {
  return no_overlaps == 0;
}

void use_device(int32_t ordinal) {
  insist(cudaSetDevice(ordinal), "cudaSetDevice");
}

int32_t device_count() {
  set_up_driver();
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

DeviceInfo select_device(int32_t ordinal) {
  const int32_t count = device_count();
  if (ordinal < 0 || ordinal >= std::min(count, kDevicesMax))
    throw Error("cuda: device {}: the driver shows {} devices", ordinal, count);
  require(cudaSetDevice(ordinal), "cudaSetDevice");
  cudaDeviceProp properties{};
  require(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
  if (properties.major < 8)
    throw Error("cuda: {}: expected compute capability 8.0 or later, found {}.{}", properties.name,
                properties.major, properties.minor);
  size_t bytes_free = 0, bytes_total = 0;
  require(cudaMemGetInfo(&bytes_free, &bytes_total), "cudaMemGetInfo");
  int driver = 0;
  require(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  return {.name = properties.name,
          .compute_major = properties.major,
          .compute_minor = properties.minor,
          .processors = properties.multiProcessorCount,
          .bytes_total = static_cast<int64_t>(bytes_total),
          .bytes_free = static_cast<int64_t>(bytes_free),
          .driver = fmt::format("{}.{}", driver / 1000, driver % 1000 / 10)};
}

Graph::~Graph() {
  if (handle_ != nullptr) cudaGraphExecDestroy(handle_);
}

Graph::Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

void Stream::begin_recording() const {
  insist(cudaStreamBeginCapture(handle_, cudaStreamCaptureModeThreadLocal), "recording of a step");
}

Graph Stream::end_recording() const {
  cudaGraph_t recorded = nullptr;
  insist(cudaStreamEndCapture(handle_, &recorded), "recording of a step");
  cudaGraphExec_t ready = nullptr;
  insist(cudaGraphInstantiate(&ready, recorded, 0), "making a graph of a step");
  insist(cudaGraphDestroy(recorded), "recording of a step");
  return Graph(ready);
}

void Stream::launch(const Graph& graph) const {
  insist(cudaGraphLaunch(graph.handle(), handle_), "a step's graph");
}

// Streams are kept for later ones of their device, not destroyed: the driver gives those made after many
// destroyed ones queues that others have already, and ranks that share a device then wait behind each other.
struct StreamPool {
  std::mutex mutex;
  std::vector<StreamHandle> free[kDevicesMax];
};
static StreamPool& stream_pool() {
  static auto* const pool = new StreamPool;  // outlives all that may give a stream back
  return *pool;
}

Stream::Stream() {
  require(cudaGetDevice(&device_), "cudaGetDevice");
  {
    const std::lock_guard lock(stream_pool().mutex);
    std::vector<StreamHandle>& free = stream_pool().free[device_];
    if (!free.empty()) {
      handle_ = free.back();
      free.pop_back();
      return;
    }
  }
  require(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreate");
}

Stream::~Stream() {
  const std::lock_guard lock(stream_pool().mutex);
  stream_pool().free[device_].push_back(handle_);
}

void Stream::wait() const {
  insist(cudaStreamSynchronize(handle_), "a step");
}

void Stream::to_device(void* to, const void* from, int64_t bytes) const {
  insist(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, handle_),
         "copy to the device");
}

void Stream::to_host(void* to, const void* from, int64_t bytes) const {
  insist(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, handle_),
         "copy to the host");
}

void Stream::copy(void* to, const void* from, int64_t bytes) const {
  insist(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, handle_),
         "copy on the device");
}

DeviceMemory::DeviceMemory(int64_t bytes, const char* what) : bytes_(bytes) {
  void* data = nullptr;
  if (cudaMalloc(&data, static_cast<size_t>(bytes)) != cudaSuccess) {
    cudaGetLastError();
    size_t bytes_free = 0, bytes_total = 0;
    cudaMemGetInfo(&bytes_free, &bytes_total);
    throw Error("cuda: {}: {} bytes wanted, {} of the device's {} are free", what, bytes, bytes_free,
                bytes_total);
  }
  data_ = static_cast<std::byte*>(data);
  require(cudaMemset(data, 0, static_cast<size_t>(bytes)), what);
  // A memset may return before it is done, and other streams do not wait for it.
  require(cudaDeviceSynchronize(), what);
}

DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) cudaFree(data_);
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void DeviceMemory::upload(int64_t offset, const void* from, int64_t count) const {
  require(cudaMemcpy(data_ + offset, from, static_cast<size_t>(count), cudaMemcpyHostToDevice),
          "upload of weights");
}

void DeviceMemory::upload_rows(int64_t offset, const void* from, int64_t rows, int64_t row_bytes,
                               int64_t from_stride) const {
  if (row_bytes == from_stride) return upload(offset, from, rows * row_bytes);
  const auto width = static_cast<size_t>(row_bytes);
  require(cudaMemcpy2D(data_ + offset, width, from, static_cast<size_t>(from_stride), width,
                       static_cast<size_t>(rows), cudaMemcpyHostToDevice),
          "upload of weights");
}

PinnedMemory::PinnedMemory(int64_t bytes, const char* what) : bytes_(bytes) {
  void* data = nullptr;
  require(cudaMallocHost(&data, static_cast<size_t>(bytes)), what);
  data_ = static_cast<std::byte*>(data);
}

PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) cudaFreeHost(data_);
}

PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace minimax::backend::cuda
