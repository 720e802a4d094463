// Times steps of backend/cuda on a checkpoint: decode steps at batches and contexts, prefill steps of one
// prompt, each once with a sample a sequence and once without (the layers alone). K and V of the context are
// zeros and the tokens are made up: the same bytes and operations as real ones.
//
//   gpu_bench MODEL ARITHMETIC COMMIT RESULTS.jsonl      decode steps also as graphs
//   gpu_bench MODEL ARITHMETIC profile SEQUENCES,CONTEXT,ROWS     two steps without samples, for a profiler
//
// A JSON line a setting is appended to RESULTS. Weights are re-read by every step and are larger than the L2
// cache where the checkpoint is; nothing else flushes it.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/cpu/thread_pool.h"
#include "backend/cuda/device.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/forward.h"
#include "base/clock.h"
#include "base/error.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/tensors.h"

namespace {

using namespace minimax;
using backend::cuda::CudaExecutor;
using backend::cuda::CudaOptions;

constexpr int32_t kBlockTokens = 64;
constexpr int32_t kWarmups = 3;

struct Setting {
  int32_t sequences;
  int32_t context;
  int32_t rows;  // of each sequence
};

// Milliseconds of the middle step.
double time_steps(CudaExecutor& executor, const Setting& setting, bool sample, int32_t warmups = kWarmups,
                  int32_t steps = 12) {
  executor::StepBatch opening;
  for (int32_t s = 0; s < setting.sequences; ++s) {
    executor::SampleSpec spec;
    spec.seed = static_cast<uint64_t>(s);
    spec.top_k = 40;
    spec.top_p = 0.95f;
    opening.slot_opens.push_back({s, {s + 1}, 1, spec});
  }
  executor::StepResult result;
  executor.collect(executor.submit(opening), result);
  std::vector<double> ms;
  const int32_t blocks_each = (setting.context + setting.rows + kBlockTokens - 1) / kBlockTokens;
  for (int32_t step = 0; step < warmups + steps; ++step) {
    executor::StepBatch batch;
    for (int32_t s = 0; s < setting.sequences; ++s) {
      batch.sequences.push_back({.slot = s,
                                 .row_begin = static_cast<int32_t>(batch.row_tokens.size()),
                                 .row_count = setting.rows,
                                 .first_position = setting.context,
                                 .block_begin = static_cast<int32_t>(batch.block_table.size()),
                                 .block_count = blocks_each});
      for (int32_t i = 0; i < setting.rows; ++i)
        batch.row_tokens.push_back((step * 7919 + s * 104729 + i * 131) % executor.limits().vocab_size);
      for (int32_t i = 0; i < blocks_each; ++i) batch.block_table.push_back(s * blocks_each + i);
      if (sample) batch.samples.push_back({static_cast<int32_t>(batch.row_tokens.size()) - 1, s, step, -1});
    }
    const int64_t start_us = now_us();
    executor.collect(executor.submit(batch), result);
    if (step >= warmups) ms.push_back(static_cast<double>(now_us() - start_us) / 1000);
  }
  executor::StepBatch closing;
  for (int32_t s = 0; s < setting.sequences; ++s) closing.slot_closes.push_back(s);
  executor.collect(executor.submit(closing), result);
  std::nth_element(ms.begin(), ms.begin() + steps / 2, ms.end());
  return ms[static_cast<size_t>(steps / 2)];
}

void run(const std::string& dir, const std::string& arithmetic, const std::string& commit,
         const std::string& results) {
  const model::ModelConfig config = model::load_config(dir);
  const model::Checkpoint checkpoint = model::Checkpoint::open(dir);
  const model::ModelView model = model::bind_tensors(checkpoint, config.shape);
  const std::vector<Setting> settings = {{1, 2560, 1},   {10, 2560, 1},  {32, 2560, 1}, {64, 2560, 1},
                                         {128, 1024, 1}, {256, 1024, 1}, {1, 0, 512},   {1, 0, 2048}};
  CudaOptions options;
  options.arithmetic = backend::common::parse_arithmetic(arithmetic);
  options.threads = std::min(16, backend::cpu::ThreadPool::available_threads());
  options.block_tokens = kBlockTokens;
  options.block_count = 256 * 41;
  options.slot_count = options.step_sequences_max = 256;
  options.step_rows_max = 2048;
  options.context_tokens_max = 4096;
  options.vocab_size = config.shape.vocab_rows;
  const int64_t load_start_us = now_us();
  CudaExecutor executor(model, options);
  const double load_s = static_cast<double>(now_us() - load_start_us) / 1e6;
  const backend::cuda::DeviceInfo device = backend::cuda::select_device(0);
  if (commit == "profile") {
    Setting setting{};
    if (std::sscanf(results.c_str(), "%d,%d,%d", &setting.sequences, &setting.context, &setting.rows) != 3)
      throw UsageError("profile: expected SEQUENCES,CONTEXT,ROWS, found \"{}\"", results);
    time_steps(executor, setting, false, 1, 1);
    return;
  }
  for (const auto& [name, value] : executor.report()) fmt::print("{}: {}\n", name, value);
  std::ofstream file(results, std::ios::app);
  const auto record = [&](const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
    file << line << '\n' << std::flush;
  };
  record(fmt::format(
      R"({{"kind":"cuda_load","gpu":"{}","driver_cuda":"{}","commit":"{}","layers":{},"bytes":{},)"
      R"("seconds":{:.3f},"gb_per_s":{:.3f}}})",
      device.name, device.driver, commit, config.shape.layers, checkpoint.total_bytes(), load_s,
      static_cast<double>(checkpoint.total_bytes()) / 1e9 / load_s));
  for (const bool graphs : {false, true}) {
    for (const Setting& setting : settings) {
      if (graphs && setting.rows > 1) continue;
      executor.forward().set_graphs(graphs);
      const double layers_ms = time_steps(executor, setting, false),
                   step_ms = time_steps(executor, setting, true);
      record(fmt::format(
          R"({{"kind":"cuda_step","gpu":"{}","driver_cuda":"{}","commit":"{}","layers":{},"experts":{},"hidden":{},)"
          R"("layout":"tp1","batch":{},"context":{},"rows":{},"kv":"bf16","arithmetic":"{}","graphs":"{}",)"
          R"("ms_layers":{:.4f},"ms_a_layer":{:.4f},"ms_step":{:.4f}}})",
          device.name, device.driver, commit, config.shape.layers, config.shape.experts, config.shape.hidden,
          setting.sequences, setting.context, setting.sequences * setting.rows, arithmetic,
          graphs ? "FULL_DECODE_ONLY" : "NONE", layers_ms, layers_ms / config.shape.layers, step_ms));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: gpu_bench MODEL w8a8|w8a16|bf16 COMMIT RESULTS.jsonl\n");
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3], argv[4]);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu_bench: {}\n", error.what());
    return 1;
  }
}
