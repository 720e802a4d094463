#include "backend/cpu/thread_pool.h"

#include <algorithm>

#include <sched.h>

#include "base/check.h"
#include "base/clock.h"

namespace minimax::backend::cpu {

namespace {

constexpr int kEpochShift = 40;
constexpr uint64_t kItemMask = (uint64_t{1} << kEpochShift) - 1;
// How long a worker looks for the next loop before it sleeps: longer than the serial work between two loops
// of a step and between two steps, short against what an idle core costs.
constexpr int64_t kSpinUs = 60;
constexpr int kPausesBetweenClockReads = 32;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

int32_t ThreadPool::available_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
}

ThreadPool::ThreadPool(int32_t threads) {
  CHECK_GE(threads, 1);
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int32_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_release);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_erased(int64_t items, int64_t grain, Call call, void* context) {
  CHECK_GE(grain, 1);
  CHECK_LT(items, static_cast<int64_t>(kItemMask) - grain * (size() + 1));
  if (items <= 0) return;
  if (items <= grain || workers_.empty()) {
    call(context, 0, items, 0);
    return;
  }
  // Close the old loop under the new epoch before its fields change. A late worker that reads a new field
  // (release, acquire) also sees the new epoch, so its claim fails.
  ++epoch_;
  const uint64_t base = epoch_ << kEpochShift;
  cursor_.store(base | kItemMask, std::memory_order_seq_cst);
  items_.store(items, std::memory_order_release);
  grain_.store(grain, std::memory_order_release);
  call_.store(call, std::memory_order_release);
  context_.store(context, std::memory_order_release);
  items_done_.store(0, std::memory_order_relaxed);
  cursor_.store(base, std::memory_order_release);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();  // a system call only if somebody sleeps

  take_pieces(epoch_, 0);
  for (int spins = 0; items_done_.load(std::memory_order_acquire) != items; ++spins) {
    // A worker that was preempted inside its piece needs a core, maybe this one.
    if (spins < 4096) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::take_pieces(uint64_t epoch, int32_t thread_idx) {
  // REQUIRES nothing of `epoch`: if the loop is over, no claim succeeds.
  const uint64_t epoch_bits = epoch & (~uint64_t{0} >> kEpochShift);
  uint64_t cursor = cursor_.load(std::memory_order_acquire);
  while (cursor >> kEpochShift == epoch_bits) {
    const int64_t items = items_.load(std::memory_order_acquire);
    const int64_t grain = grain_.load(std::memory_order_acquire);
    const Call call = call_.load(std::memory_order_acquire);
    void* const context = context_.load(std::memory_order_acquire);
    const auto begin = static_cast<int64_t>(cursor & kItemMask);
    if (begin >= items) return;
    const int64_t end = std::min(begin + grain, items);
    if (!cursor_.compare_exchange_weak(cursor, cursor + static_cast<uint64_t>(end - begin),
                                       std::memory_order_acq_rel, std::memory_order_acquire)) {
      continue;
    }
    call(context, begin, end, thread_idx);
    items_done_.fetch_add(end - begin, std::memory_order_acq_rel);
    cursor = cursor_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int32_t thread_idx) {
  uint32_t seen = wake_.load(std::memory_order_acquire);
  while (!stop_.load(std::memory_order_acquire)) {
    take_pieces(cursor_.load(std::memory_order_acquire) >> kEpochShift, thread_idx);
    const int64_t deadline_us = now_us() + kSpinUs;
    int pauses = 0;
    while (wake_.load(std::memory_order_acquire) == seen) {
      pause_cpu();
      if (++pauses % kPausesBetweenClockReads == 0 && now_us() > deadline_us) {
        wake_.wait(seen, std::memory_order_acquire);
        break;
      }
    }
    seen = wake_.load(std::memory_order_acquire);
  }
}

}  // namespace minimax::backend::cpu
