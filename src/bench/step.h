#pragma once
// `minimax bench step`: the executor alone, without engine, server or tokenizer. Times decode steps at given
// batches and contexts and prefill steps of given lengths, and holds decode against the bandwidth at which
// this very run reads memory: a pass of the read probe stands before every timed step, so both see the same
// machine in the same moments, and no step finds its weights in a cache.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/factory.h"
#include "model/tensors.h"

namespace minimax::bench {

// The line of an executor's report that counts its last step: beside facts of the whole run it says nothing.
inline constexpr std::string_view kBytesReadName = "bytes read by the last step";

struct StepBenchOptions {
  // name, arithmetic, isa, threads, block_tokens and kv_dtype count; sizes are chosen here.
  backend::ExecutorOptions executor;
  std::vector<int32_t> batches = {1, 4, 16};  // sequences of a decode step
  std::vector<int32_t> contexts = {1024};     // tokens each has before the first timed step
  std::vector<int32_t> prefills = {256};      // rows of a prefill step of one sequence
  int32_t warmups = 3;
  int32_t steps = 20;  // timed, of each decode setting; prefills: at most 5
  int64_t probe_bytes = int64_t{1} << 30;
  int64_t memory_bytes_max = 0;  // for the KV cache on the host; 0: not checked
  std::string model_name;        // for the records
  std::string commit;
  std::filesystem::path results;  // JSON lines are appended here; empty: nowhere
};

// One setting, as printed and recorded.
struct StepRecord {
  bool prefill = false;
  int32_t batch = 0;    // sequences
  int32_t context = 0;  // tokens before the step
  int32_t rows = 0;
  int32_t steps = 0;
  double ms_median = 0;
  double ms_min = 0;
  // Bytes of weights and KV a step reads, counted by the executor (median); 0: it does not say.
  double bytes = 0;
  double gb_per_s = 0;       // median over steps of bytes / time
  double read_gb_per_s = 0;  // median over the probe's passes
  double share = 0;          // median over steps of (bytes / time) / (probe's pass before the step)
  double tokens_per_s = 0;
};

// Throws Error for options that cannot be had or a results file that cannot be written. Calls print with one
// line of text at a time.
std::vector<StepRecord> run_step_bench(const model::ModelView& model, const StepBenchOptions& options,
                                       const std::function<void(const std::string&)>& print);

}  // namespace minimax::bench
