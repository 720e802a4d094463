#pragma once
// The compute threads of the CPU back-end: one parallel loop at a time, started and awaited by one caller,
// who works too. Built for many short loops in a row: workers spin for a moment after each one and then sleep
// in the kernel, so an idle server burns nothing.
//
// A loop is complete when its items are, not when every worker has woken up: a worker that the operating
// system does not run delays nobody, unless it holds items.

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace minimax::backend::cpu {

class ThreadPool {
 public:
  // Threads of this process's affinity mask.
  static int32_t available_threads();

  // `threads` counts the caller of run(): threads - 1 workers are started. REQUIRES: threads >= 1.
  explicit ThreadPool(int32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int32_t size() const { return static_cast<int32_t>(workers_.size()) + 1; }

  // Calls body(begin, end, thread_idx) until [0, items) is covered, in pieces of at most `grain` items in no
  // fixed order, thread_idx in [0, size()). Returns when all calls have returned. A loop of one piece runs
  // on the caller. The body must not throw, nor call run(). REQUIRES: grain >= 1; one caller at a time.
  template <typename Body>
  void run(int64_t items, int64_t grain, Body&& body) {
    run_erased(
        items, grain,
        [](void* context, int64_t begin, int64_t end, int32_t thread_idx) {
          (*static_cast<std::remove_reference_t<Body>*>(context))(begin, end, thread_idx);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, int64_t begin, int64_t end, int32_t thread_idx);

  void run_erased(int64_t items, int64_t grain, Call call, void* context);
  void work(int32_t thread_idx);
  void take_pieces(uint64_t epoch, int32_t thread_idx);

  // The loop in progress. `cursor_` is (epoch of the loop) << kEpochShift | next item not yet claimed; a
  // claim is a compare-and-swap of it, so a claim made with the fields of an older loop cannot succeed.
  alignas(64) std::atomic<uint64_t> cursor_{0};
  std::atomic<int64_t> items_{0};
  std::atomic<int64_t> grain_{1};
  std::atomic<Call> call_{nullptr};
  std::atomic<void*> context_{nullptr};
  alignas(64) std::atomic<int64_t> items_done_{0};
  alignas(64) std::atomic<uint32_t> wake_{0};  // changes with every loop: what sleeping workers wait on
  std::atomic<bool> stop_{false};
  uint64_t epoch_ = 0;  // of the caller
  std::vector<std::thread> workers_;
};

}  // namespace minimax::backend::cpu
