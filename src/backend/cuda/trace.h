#pragma once
// When each launch of a step could begin: builds with CUDA_TRACE=ON stamp the clock of the device in the
// first CTA of every kernel, once its predecessor was done. What lies between two stamps is what a launch
// costs a step, waits included; profilers that serialise launches cannot see it. Other builds have none of
// this.

#include <cstdint>
#include <string>
#include <vector>

namespace minimax::backend::cuda {

inline constexpr int64_t kTraceStamps = 1 << 16;

struct TraceBuffer {
  unsigned long long count;  // of stamps
  uint64_t ns[kTraceStamps];
};

// Sets where a translation unit's kernels stamp.
using TraceUser = void (*)(TraceBuffer* buffer);
inline std::vector<TraceUser>& trace_users() {
  static std::vector<TraceUser> users;
  return users;
}
// Where the names of launches go, recorded ones included, in their order; nullptr: nowhere.
inline std::vector<std::string>* launch_names = nullptr;

}  // namespace minimax::backend::cuda
