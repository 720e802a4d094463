#pragma once
// Zeroed memory straight from the operating system: pages cost nothing until they are touched, so buffers can
// be sized for the largest step without slowing the start. Aligned to a page.

#include <cstddef>
#include <cstdint>
#include <utility>

namespace minimax::backend::common {

class HostMemory {
 public:
  HostMemory() = default;
  // Throws Error naming `what` if the memory cannot be reserved.
  HostMemory(int64_t bytes, const char* what);
  ~HostMemory();
  HostMemory(HostMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  HostMemory& operator=(HostMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

// `count` elements of a plain type.
template <typename T>
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(int64_t count, const char* what) : memory_(count * static_cast<int64_t>(sizeof(T)), what) {}
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  int64_t bytes() const { return memory_.bytes(); }

 private:
  HostMemory memory_;
};

}  // namespace minimax::backend::common
