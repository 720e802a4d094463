#include "bench/frontend/replay_executor.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>

#include "base/check.h"

namespace minimax::bench {
namespace {

int64_t thread_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

ReplayExecutor::ReplayExecutor(const executor::Limits& limits, std::vector<executor::TokenId> answer,
                               int64_t step_us)
    : limits_(limits), answer_(std::move(answer)), step_us_(step_us) {
  CHECK(!answer_.empty());
}

executor::StepId ReplayExecutor::submit(const executor::StepBatch& batch) {
  const int64_t begin = thread_cpu_ns();
  pending_.clear();
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    const auto place = static_cast<size_t>(batch.samples[i].output_position);
    executor::SampledToken drawn;
    drawn.sample = static_cast<int32_t>(i);
    drawn.token = answer_[std::min(place, answer_.size() - 1)];
    if (place + 1 >= answer_.size()) drawn.outcome = executor::SampleOutcome::kStop;
    pending_.tokens.push_back(drawn);
  }
  cpu_ns_ += thread_cpu_ns() - begin;
  return next_id_++;
}

void ReplayExecutor::collect(executor::StepId step, executor::StepResult& result) {
  CHECK_EQ(step, next_id_ - 1);
  const int64_t begin = thread_cpu_ns();
  if (step_us_ > 0) std::this_thread::sleep_for(std::chrono::microseconds(step_us_));
  std::swap(result, pending_);
  result.duration_us = step_us_;
  cpu_ns_ += thread_cpu_ns() - begin;
}

}  // namespace minimax::bench
