#include "backend/common/host_buffer.h"

#include <cerrno>
#include <cstring>

#include <sys/mman.h>

#include "base/check.h"
#include "base/error.h"

namespace minimax::backend::common {

HostMemory::HostMemory(int64_t bytes, const char* what) {
  CHECK_GE(bytes, 0);
  if (bytes == 0) return;
  void* const data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    throw Error("cannot reserve {} MiB of memory for {}: {}", bytes >> 20, what, std::strerror(errno));
  constexpr int64_t kHugePageBytes = int64_t{2} << 20;
  if (bytes >= 4 * kHugePageBytes) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // only a hint
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
}

HostMemory::~HostMemory() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace minimax::backend::common
