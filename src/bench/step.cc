#include "bench/step.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <memory>

#include "backend/read_probe.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/philox.h"

namespace minimax::bench {

namespace {

using executor::BlockId;
using executor::StepBatch;
using executor::StepResult;
using executor::TokenId;

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

int32_t largest(const std::vector<int32_t>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

// Positions a sequence comes to.
int32_t tokens_max_of(const StepBenchOptions& options) {
  return std::max(largest(options.contexts) + options.warmups + options.steps + 1, largest(options.prefills));
}

void check_sizes(const model::ModelShape& shape, const StepBenchOptions& options) {
  const int32_t tokens_max = tokens_max_of(options);
  if (tokens_max > shape.context_tokens_max) {
    throw Error("bench step: contexts and prefills come to {} positions; the model has {}", tokens_max,
                shape.context_tokens_max);
  }
  const double kv_bytes = static_cast<double>(model::kv_token_bytes(shape, options.executor.kv_dtype)) *
                          tokens_max * std::max(1, largest(options.batches));
  if (options.memory_bytes_max > 0 && kv_bytes > static_cast<double>(options.memory_bytes_max)) {
    throw Error("bench step: {} sequences of {} positions need {:.1f} GB of KV cache; {:.1f} GB are free",
                largest(options.batches), tokens_max, kv_bytes / 1e9,
                static_cast<double>(options.memory_bytes_max) / 1e9);
  }
}

void check_options(const StepBenchOptions& options) {
  const auto positive = [](const char* name, const std::vector<int32_t>& values) {
    for (const int32_t value : values)
      if (value < 1) throw Error("bench step: {}: expected numbers of at least 1, found {}", name, value);
  };
  positive("batches", options.batches);
  positive("contexts", options.contexts);
  positive("prefills", options.prefills);
  positive("steps", {options.steps});
  if (options.probe_bytes < 1 << 20)
    throw Error("bench step: probe_bytes: expected at least 1 MiB, found {}", options.probe_bytes);
}

// The sequences of one run: blocks are handed out in order, nothing is shared.
class Driver {
 public:
  Driver(const model::ModelView& model, const StepBenchOptions& options)
      : options_(options), tokens_max_(tokens_max_of(options)) {
    backend::ExecutorOptions own = options.executor;
    const model::ModelShape& shape = model.shape;
    const int32_t batch_max = std::max(1, largest(options.batches));
    blocks_per_sequence_ = tokens_max_ / own.block_tokens + 1;
    // A reservation; only what is written takes memory. 4 bytes an element covers every back-end.
    own.kv_bytes = int64_t{4} * 2 * shape.layers * shape.kv_width() * own.block_tokens *
                   blocks_per_sequence_ * batch_max;
    own.step_rows_max = std::max({kPrefillRows, batch_max, largest(options.prefills)});
    own.step_sequences_max = batch_max;
    own.context_tokens_max = tokens_max_ + 1;
    own.vocab_size = shape.vocab_rows;
    executor_ = backend::make_executor(model, own);
    vocab_size_ = shape.vocab_rows;
  }

  const executor::Executor& executor() const { return *executor_; }

  // Opens `batch` sequences of `context` tokens: the first is computed, the others get copies of its blocks
  // and another last token, so that they go their own ways from there.
  void open(int32_t batch, int32_t context) {
    StepBatch opening;
    for (int32_t slot = 0; slot < batch; ++slot) {
      executor::SlotOpen& open = opening.slot_opens.emplace_back();
      open.slot = slot;
      for (int32_t i = 0; i < context; ++i) open.tokens.push_back(token_of(0, i));
      open.tokens.push_back(token_of(slot, context));
      open.prompt_tokens = context + 1;
      open.spec.seed = static_cast<uint64_t>(slot) + 1;
      open.spec.top_k = 40;
      open.spec.top_p = 0.95f;
    }
    for (int32_t begin = 0; begin < context; begin += kPrefillRows) {
      const int32_t end = std::min(begin + kPrefillRows, context);
      add_sequence(opening, 0, begin, end - begin);
      for (int32_t i = begin; i < end; ++i) opening.row_tokens.push_back(token_of(0, i));
      run(opening);
      opening.clear();
    }
    for (int32_t slot = 1; slot < batch; ++slot)
      for (int32_t i = 0; i * options_.executor.block_tokens < context; ++i)
        opening.block_copies.push_back({block_of(0, i), block_of(slot, i)});
    run(opening);
    position_ = context;
    sampled_ = 0;
  }

  // One token for each sequence; microseconds.
  int64_t decode(int32_t batch) {
    batch_.clear();
    for (int32_t slot = 0; slot < batch; ++slot) {
      add_sequence(batch_, slot, position_, 1);
      batch_.row_tokens.push_back(executor::kLastSampledToken);  // at first the prompt's last
      batch_.samples.push_back({slot, slot, sampled_, -1});
    }
    const int64_t us = run(batch_);
    read_bytes();
    for (const executor::SampledToken& token : result_.tokens)
      if (token.outcome == executor::SampleOutcome::kNotFinite)
        throw Error("bench step: the model's logits are not finite; nothing was measured");
    ++position_;
    ++sampled_;
    return us;
  }

  // `rows` rows of a new sequence in slot 0, whose last row is sampled; microseconds.
  int64_t prefill(int32_t rows, int32_t salt) {
    batch_.clear();
    executor::SlotOpen& open = batch_.slot_opens.emplace_back();
    for (int32_t i = 0; i < rows; ++i) open.tokens.push_back(token_of(salt, i));
    open.prompt_tokens = rows;
    add_sequence(batch_, 0, 0, rows);
    batch_.row_tokens = open.tokens;
    batch_.samples.push_back({rows - 1, 0, 0, -1});
    const int64_t us = run(batch_);
    read_bytes();
    close(1);
    return us;
  }

  void close(int32_t batch) {
    StepBatch closing;
    for (int32_t slot = 0; slot < batch; ++slot) closing.slot_closes.push_back(slot);
    run(closing);
  }

  // What the executor says that the last decode or prefill read; 0 if it does not.
  double bytes_of_last_step() const { return static_cast<double>(step_bytes_); }

 private:
  static constexpr int32_t kPrefillRows = 256;  // of the chunks that build a context

  void read_bytes() {
    for (const auto& [name, value] : executor_->report()) {
      if (name == kBytesReadName) std::from_chars(value.data(), value.data() + value.size(), step_bytes_);
    }
  }

  TokenId token_of(int32_t salt, int32_t place) const {
    const PhiloxBlock words =
        philox4x32({static_cast<uint32_t>(salt), static_cast<uint32_t>(place), 0, 0}, 1);
    return static_cast<TokenId>(words[0] % static_cast<uint32_t>(vocab_size_));
  }
  BlockId block_of(int32_t slot, int32_t i) const { return slot * blocks_per_sequence_ + i; }

  void add_sequence(StepBatch& batch, int32_t slot, int32_t first_position, int32_t rows) const {
    const int32_t block_tokens = options_.executor.block_tokens;
    executor::SequenceRows& sequence = batch.sequences.emplace_back();
    sequence.slot = slot;
    sequence.row_begin = static_cast<int32_t>(batch.row_tokens.size());
    sequence.row_count = rows;
    sequence.first_position = first_position;
    sequence.block_begin = static_cast<int32_t>(batch.block_table.size());
    sequence.block_count = (first_position + rows + block_tokens - 1) / block_tokens;
    for (int32_t i = 0; i < sequence.block_count; ++i) batch.block_table.push_back(block_of(slot, i));
  }

  int64_t run(const StepBatch& batch) {
    const int64_t start_us = now_us();
    executor_->collect(executor_->submit(batch), result_);
    return now_us() - start_us;
  }

  const StepBenchOptions& options_;
  int32_t tokens_max_;
  int32_t blocks_per_sequence_ = 0;
  int32_t vocab_size_ = 0;
  std::unique_ptr<executor::Executor> executor_;
  StepBatch batch_;
  StepResult result_;
  int32_t position_ = 0;
  int32_t sampled_ = 0;
  int64_t step_bytes_ = 0;
};

// Runs `step` (microseconds of one step) with a probe pass before each, and fills in what was measured.
void measure(StepRecord& record, int32_t warmups, int32_t steps, Driver& driver, backend::ReadProbe& probe,
             const std::function<int64_t()>& step) {
  std::vector<double> ms, rates, roofs, shares, bytes;
  for (int32_t i = 0; i < warmups; ++i) step();
  for (int32_t i = 0; i < steps; ++i) {
    const double roof = probe.run();
    const auto us = static_cast<double>(std::max<int64_t>(step(), 1));
    const double read = driver.bytes_of_last_step();
    ms.push_back(us / 1e3);
    bytes.push_back(read);
    rates.push_back(read / us / 1e3);
    roofs.push_back(roof / 1e9);
    shares.push_back(read / us * 1e6 / roof);
  }
  record.steps = steps;
  record.ms_median = median(ms);
  record.ms_min = *std::min_element(ms.begin(), ms.end());
  record.bytes = median(bytes);
  record.gb_per_s = median(rates);
  record.read_gb_per_s = median(roofs);
  record.share = median(shares);
  record.tokens_per_s = record.rows / record.ms_median * 1e3;
}

std::string machine_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string report_value(const executor::Report& report, std::string_view name) {
  for (const auto& [key, value] : report)
    if (key == name) return value;
  return {};
}

Json json_of(const StepRecord& record, const model::ModelShape& shape, const StepBenchOptions& options,
             const executor::Report& report) {
  return Json::object({{"kind", "step"},
                       {"phase", record.prefill ? "prefill" : "decode"},
                       {"machine", machine_name()},
                       {"commit", options.commit},
                       {"backend", options.executor.name},
                       {"isa", report_value(report, "instruction set")},
                       {"threads", report_value(report, "threads")},
                       {"arithmetic", report_value(report, "arithmetic")},
                       {"kv_dtype", std::string(model::name_of(options.executor.kv_dtype))},
                       {"model", options.model_name},
                       {"hidden", shape.hidden},
                       {"layers", shape.layers},
                       {"experts", shape.experts},
                       {"experts_per_token", shape.experts_per_token},
                       {"expert_width", shape.expert_width},
                       {"weights", shape.fp8_block_cols != 0 ? "fp8" : "bf16"},
                       {"batch", record.batch},
                       {"context", record.context},
                       {"rows", record.rows},
                       {"steps", record.steps},
                       {"ms_median", record.ms_median},
                       {"ms_min", record.ms_min},
                       {"bytes", record.bytes},
                       {"gb_per_s", record.gb_per_s},
                       {"read_gb_per_s", record.read_gb_per_s},
                       {"share", record.share},
                       {"tokens_per_s", record.tokens_per_s}});
}

std::string line_of(const StepRecord& record) {
  return fmt::format("{:8} {:5} {:8} {:9.3f} {:9.3f} {:10.1f} {:8.1f} {:8.1f} {:6.1f}% {:10.1f}",
                     record.prefill ? "prefill" : "decode", record.prefill ? record.rows : record.batch,
                     record.context, record.ms_median, record.ms_min, record.bytes / 1e6, record.gb_per_s,
                     record.read_gb_per_s, 100 * record.share, record.tokens_per_s);
}

}  // namespace

std::vector<StepRecord> run_step_bench(const model::ModelView& model, const StepBenchOptions& options,
                                       const std::function<void(const std::string&)>& print) {
  check_options(options);
  check_sizes(model.shape, options);
  Driver driver(model, options);
  backend::ReadProbe probe(options.executor, options.probe_bytes);
  for (const auto& [name, value] : driver.executor().report()) {
    if (name != kBytesReadName) print(fmt::format("{:28} {}", name, value));
  }
  print(fmt::format("{:8} {:>5} {:>8} {:>9} {:>9} {:>10} {:>8} {:>8} {:>7} {:>10}", "step", "rows", "context",
                    "ms", "ms min", "MB read", "GB/s", "roof", "share", "tokens/s"));

  std::vector<StepRecord> records;
  const auto finish = [&](const StepRecord& record) {
    print(line_of(record));
    records.push_back(record);
    if (options.results.empty()) return;
    std::ofstream file(options.results, std::ios::app);
    file << to_string(json_of(record, model.shape, options, driver.executor().report())) << "\n";
    if (!file.flush()) throw Error("{}: cannot be written", options.results.string());
  };
  for (const int32_t context : options.contexts) {
    for (const int32_t batch : options.batches) {
      StepRecord record{.batch = batch, .context = context, .rows = batch};
      driver.open(batch, context);
      measure(record, options.warmups, options.steps, driver, probe, [&] { return driver.decode(batch); });
      driver.close(batch);
      finish(record);
    }
  }
  for (const int32_t rows : options.prefills) {
    StepRecord record{.prefill = true, .batch = 1, .context = 0, .rows = rows};
    int32_t salt = 1;
    measure(record, 1, std::min(options.steps, 5), driver, probe,
            [&] { return driver.prefill(rows, ++salt); });
    finish(record);
  }
  return records;
}

}  // namespace minimax::bench
