#pragma once
// Monotonic time in microseconds. Wall-clock time is used only where a protocol asks for it.

#include <chrono>
#include <cstdint>

namespace minimax {

inline int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace minimax
