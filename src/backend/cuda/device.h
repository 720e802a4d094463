#pragma once
// Device and pinned memory, the stream, and what is done about CUDA's errors. Free of CUDA headers, so that
// nothing outside this folder needs the toolkit.
//
// Errors: while an executor is made they are Errors of the start (thrown). Once it runs, an error of the
// device is a bug or a dead device: it is logged and the process ends with kDeviceFailed.

#include <cstddef>
#include <cstdint>
#include <string>

struct CUstream_st;
struct CUgraphExec_st;

namespace minimax::backend::cuda {

using StreamHandle = CUstream_st*;

inline constexpr int kDeviceFailed = 3;  // exit code
inline constexpr int kDevicesMax = 64;   // of one process

struct DeviceInfo {
  std::string name;
  int32_t compute_major = 0;
  int32_t compute_minor = 0;
  int32_t processors = 0;  // SMs
  int64_t bytes_total = 0;
  int64_t bytes_free = 0;
  std::string driver;  // newest CUDA version the driver knows, e.g. "13.0"
};

// Devices that can be used; 0 without a driver. Never throws.
int32_t device_count();
// Selects the device for the calling thread. Throws Error if there is none or it is older than sm_80.
DeviceInfo select_device(int32_t ordinal);

// The device of later calls of this thread. It was selected before, by some thread.
void use_device(int32_t ordinal);

// While one of these lives, no launch starts before the one before it has ended: ranks that share a device
// and wait for each other must not fill it with kernels that wait (peer.h).
class NoOverlap {
 public:
  NoOverlap();
  ~NoOverlap();
  NoOverlap(const NoOverlap&) = delete;
  NoOverlap& operator=(const NoOverlap&) = delete;
};
bool launches_overlap();

// After the start. `error` is a cudaError_t.
void insist(int error, const char* what);
// At the start: throws Error.
void require(int error, const char* what);
// At the start: until the current device has done all that this process gave it.
void require_idle();
// insist on the launch just made.
void insist_launched(const char* kernel);

// Recorded work of a stream, to be launched as one. Its arguments are those of the recording.
class Graph {
 public:
  Graph() = default;
  explicit Graph(CUgraphExec_st* handle) : handle_(handle) {}
  ~Graph();
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  bool empty() const { return handle_ == nullptr; }
  CUgraphExec_st* handle() const { return handle_; }

 private:
  CUgraphExec_st* handle_ = nullptr;
};

// Of the current device.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  StreamHandle handle() const { return handle_; }
  void wait() const;  // until all work is done

  // Between the two, work is recorded instead of done.
  void begin_recording() const;
  Graph end_recording() const;
  void launch(const Graph& graph) const;

  void to_device(void* to, const void* from, int64_t bytes) const;  // from: pinned, untouched until wait()
  void to_host(void* to, const void* from, int64_t bytes) const;    // to: pinned
  void copy(void* to, const void* from, int64_t bytes) const;       // device to device

 private:
  StreamHandle handle_ = nullptr;
  int device_ = 0;
};

// Owned memory, zeroed; aligned to 256 bytes. Throws Error naming `what`, the bytes wanted and those free.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(int64_t bytes, const char* what);
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

  // At the start: blocking copies.
  void upload(int64_t offset, const void* from, int64_t count) const;
  // Dense rows of `row_bytes` here, `from_stride` bytes apart there.
  void upload_rows(int64_t offset, const void* from, int64_t rows, int64_t row_bytes,
                   int64_t from_stride) const;

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(int64_t bytes, const char* what);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept;
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace minimax::backend::cuda
