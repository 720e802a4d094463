#include "backend/cpu/thread_pool.h"

#include <chrono>
#include <ctime>
#include <numeric>

#include <gtest/gtest.h>

namespace minimax::backend::cpu {
namespace {

TEST(ThreadPool, CoversEveryItemExactlyOnceInManyShortLoops) {
  for (const int32_t threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int loop = 0; loop < 3000; ++loop) {
      const int64_t items = loop % 37;
      const int64_t grain = 1 + loop % 5;
      std::vector<int> touched(static_cast<size_t>(items), 0);  // pieces are disjoint: no atomics needed
      pool.run(items, grain, [&](int64_t begin, int64_t end, int32_t thread_idx) {
        ASSERT_LT(thread_idx, threads);
        for (int64_t i = begin; i < end; ++i) ++touched[static_cast<size_t>(i)];
      });
      EXPECT_EQ(std::accumulate(touched.begin(), touched.end(), 0), items);
      for (const int count : touched) ASSERT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, WakesSleepingWorkersAndSeesTheirWrites) {
  ThreadPool pool(3);
  for (int loop = 0; loop < 5; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // long enough for the workers to sleep
    std::vector<int64_t> values(64, 0);
    pool.run(64, 1, [&](int64_t begin, int64_t end, int32_t) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] = i * loop;
    });
    for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], i * loop);
  }
}

TEST(ThreadPool, BurnsNoCpuWhenIdle) {
  ThreadPool pool(4);
  pool.run(8, 1, [](int64_t, int64_t, int32_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const std::clock_t before = std::clock();  // CPU time of the whole process
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const double busy_ms = 1e3 * static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(busy_ms, 10.0);
}

}  // namespace
}  // namespace minimax::backend::cpu
