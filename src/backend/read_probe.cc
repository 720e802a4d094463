#include "backend/read_probe.h"

#include <atomic>
#include <chrono>

#include "backend/common/host_buffer.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/thread_pool.h"
#include "base/check.h"

namespace minimax::backend {

// Handed out in pieces, so that a thread that is held up does not hold up the whole pass.
static constexpr int64_t kPieceBytes = int64_t{1} << 20;

struct ReadProbe::Impl {
  Impl(cpu::Isa isa, int32_t thread_count, int64_t bytes)
      : kernels(cpu::kernels_of(isa)), threads(thread_count), buffer(bytes, "the read probe") {}
  const cpu::Kernels& kernels;
  cpu::ThreadPool threads;
  common::HostMemory buffer;
  uint64_t sum_expected = 0;
};

ReadProbe::ReadProbe(const ExecutorOptions& options, int64_t bytes) {
  const int32_t threads = options.threads == 0 ? cpu::ThreadPool::available_threads() : options.threads;
  const int64_t pieces = (bytes + kPieceBytes - 1) / kPieceBytes;
  impl_ = std::make_unique<Impl>(cpu::choose_isa(options.isa), threads, pieces * kPieceBytes);
  auto* const words = reinterpret_cast<uint64_t*>(impl_->buffer.data());
  impl_->threads.run(pieces, 1, [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t i = begin * kPieceBytes / 8; i < end * kPieceBytes / 8; ++i)
      words[i] = static_cast<uint64_t>(i);
  });
  const auto count = static_cast<uint64_t>(pieces * kPieceBytes / 8);
  impl_->sum_expected = count % 2 == 0 ? count / 2 * (count - 1) : count * ((count - 1) / 2);
}

ReadProbe::~ReadProbe() = default;
ReadProbe::ReadProbe(ReadProbe&&) noexcept = default;

double ReadProbe::run() {
  std::atomic<uint64_t> sum{0};
  const int64_t pieces = impl_->buffer.bytes() / kPieceBytes;
  const auto start = std::chrono::steady_clock::now();
  impl_->threads.run(pieces, 1, [&](int64_t begin, int64_t end, int32_t) {
    sum += impl_->kernels.read_all(impl_->buffer.data() + begin * kPieceBytes, (end - begin) * kPieceBytes);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  CHECK_EQ(sum.load(), impl_->sum_expected);  // also keeps the reads from being optimised away
  return static_cast<double>(impl_->buffer.bytes()) / seconds.count();
}

}  // namespace minimax::backend
