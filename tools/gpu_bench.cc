// Times steps of backend/cuda: decode steps at batches and contexts, prefill steps of one prompt, each once
// with a sample a sequence and once without (the layers alone). K and V of the context are zeros and the
// tokens are made up: the same bytes and operations as real ones. What does not fit is timed at the context
// that does.
//
//   gpu_bench MODEL ARITHMETIC COMMIT RESULTS.jsonl [--ranks N] [--replicas N] [--experts sliced|whole]
//             [--kv bf16|fp8] [--devices 0,1,...] [--alone RANK]
//   gpu_bench MODEL ARITHMETIC profile SEQUENCES,CONTEXT,ROWS     two steps without samples, for a profiler
//   gpu_bench MODEL ARITHMETIC trace SEQUENCES,CONTEXT,ROWS[/...] what each launch of a layer costs a step
//   that runs
//                                                                 as a graph; a build with CUDA_TRACE=ON, one
//                                                                 rank
//
// MODEL: a checkpoint, or m2:LAYERS, the published shape with random weights made on the devices. --ranks: of
// a replica. --replicas: they share their experts, whole on each rank, and the sequences, one after the
// other.
// --alone: one rank of N, its exchange left out. A JSON line a setting is appended to RESULTS; experts:
// distinct ones that a layer's rows went to, on average. Weights are re-read by every step and are larger
// than the L2 cache where the model is; nothing else flushes it.

#include <algorithm>
#include <barrier>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/cpu/thread_pool.h"
#include "backend/cuda/device.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/forward.h"
#include "backend/cuda/trace.h"
#include "base/clock.h"
#include "base/error.h"
#include "executor/group.h"
#include "executor/lockstep.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/shard.h"
#include "model/synth.h"
#include "model/taps.h"
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

// A model with or without files.
struct Model {
  std::optional<model::Checkpoint> checkpoint;
  std::optional<model::DescribedModel> described;
  model::ModelView view;

  explicit Model(const std::string& name) {
    if (name.starts_with("m2:")) {
      model::ModelShape shape = model::m2_shape();
      shape.layers = std::stoi(name.substr(3));
      described.emplace(shape);
      view = described->view();
      return;
    }
    const model::ModelConfig config = model::load_config(name);
    checkpoint.emplace(model::Checkpoint::open(name));
    view = model::bind_tensors(*checkpoint, config.shape);
  }
};

// An executor for each replica.
struct Subject {
  std::vector<std::unique_ptr<executor::Executor>> replicas;
  std::vector<backend::cuda::Forward*> forwards;  // of all ranks

  void set_graphs(bool on) const {
    for (backend::cuda::Forward* forward : forwards) forward->set_graphs(on);
  }
};

std::unique_ptr<executor::Executor> make_replica(const model::ModelView& model, const CudaOptions& options,
                                                 std::span<backend::cuda::Forward*> forwards) {
  if (forwards.size() == 1) {
    auto one = std::make_unique<CudaExecutor>(model, options);
    forwards[0] = &one->forward();
    return one;
  }
  auto group = std::make_unique<executor::Group>(static_cast<int32_t>(forwards.size()), [&](int32_t rank) {
    CudaOptions own = options;
    own.shard.rank += rank;
    return std::make_unique<CudaExecutor>(model, own);
  });
  for (int32_t r = 0; r < group->ranks(); ++r)
    forwards[static_cast<size_t>(r)] = &dynamic_cast<CudaExecutor&>(group->rank(r)).forward();
  return group;
}

// devices: one a rank that is run.
Subject make_subject(const model::ModelView& model, CudaOptions options,
                     const std::vector<int32_t>& devices) {
  Subject subject;
  subject.forwards.resize(devices.size());
  options.device = devices[0];
  const model::ParallelLayout& layout = options.shard.layout;
  const bool alone = devices.size() == 1;
  if (!alone) options.world = backend::cuda::make_world(model.shape, options, devices);
  std::vector<CudaOptions> each(static_cast<size_t>(layout.dp), options);
  const auto ranks = static_cast<size_t>(alone ? 1 : layout.tp);
  const auto make = [&](int32_t replica) {
    const auto idx = static_cast<size_t>(replica);
    return make_replica(model, each[idx], std::span(subject.forwards).subspan(idx * ranks, ranks));
  };
  for (int32_t i = 0; i < layout.dp && !alone; ++i) {
    each[static_cast<size_t>(i)].shard.rank = i * layout.tp;
    each[static_cast<size_t>(i)].peers =
        backend::cuda::make_peers(model.shape, each[static_cast<size_t>(i)], devices, i);
  }
  if (layout.dp > 1) {
    subject.replicas = executor::make_lockstep(layout.dp, make);
  } else {
    subject.replicas.push_back(make(0));
  }
  return subject;
}

executor::StepBatch opening_of(const Setting& setting) {
  executor::StepBatch opening;
  for (int32_t s = 0; s < setting.sequences; ++s) {
    executor::SampleSpec spec;
    spec.seed = static_cast<uint64_t>(s);
    spec.top_k = 40;
    spec.top_p = 0.95f;
    opening.slot_opens.push_back({s, {s + 1}, 1, spec});
  }
  return opening;
}

int32_t blocks_each(const Setting& setting) {
  return (setting.context + setting.rows + kBlockTokens - 1) / kBlockTokens;
}

executor::StepBatch step_of(const Setting& setting, int32_t step, bool sample, int32_t vocab_size) {
  executor::StepBatch batch;
  const int32_t blocks = blocks_each(setting);
  for (int32_t s = 0; s < setting.sequences; ++s) {
    batch.sequences.push_back({.slot = s,
                               .row_begin = static_cast<int32_t>(batch.row_tokens.size()),
                               .row_count = setting.rows,
                               .first_position = setting.context,
                               .block_begin = static_cast<int32_t>(batch.block_table.size()),
                               .block_count = blocks});
    for (int32_t i = 0; i < setting.rows; ++i)
      batch.row_tokens.push_back((step * 7919 + s * 104729 + i * 131) % vocab_size);
    for (int32_t i = 0; i < blocks; ++i) batch.block_table.push_back(s * blocks + i);
    if (sample) batch.samples.push_back({static_cast<int32_t>(batch.row_tokens.size()) - 1, s, step, -1});
  }
  return batch;
}

void run_batch(executor::Executor& executor, const executor::StepBatch& batch) {
  executor::StepResult result;
  executor.collect(executor.submit(batch), result);
}

executor::StepBatch closing_of(const Setting& setting) {
  executor::StepBatch closing;
  for (int32_t s = 0; s < setting.sequences; ++s) closing.slot_closes.push_back(s);
  return closing;
}

// The part of each replica: as many sequences as the others, or one more.
std::vector<Setting> shares_of(const Setting& setting, size_t replicas) {
  std::vector<Setting> shares;
  for (size_t i = 0; i < replicas; ++i) {
    const auto count = static_cast<int32_t>(replicas), idx = static_cast<int32_t>(i);
    shares.push_back({(setting.sequences + count - 1 - idx) / count, setting.context, setting.rows});
  }
  return shares;
}

// work(executor, share, meet) for each replica that has a share, at once. meet() returns when all have called
// it: what they submit next is of one step.
template <typename Work>
void on_replicas(const Subject& subject, const Setting& setting, const Work& work) {
  const std::vector<Setting> shares = shares_of(setting, subject.replicas.size());
  const auto busy = std::min<int64_t>(setting.sequences, std::ssize(shares));
  std::barrier<> barrier(busy);
  const auto meet = [&barrier] { barrier.arrive_and_wait(); };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < static_cast<size_t>(busy); ++i)
    threads.emplace_back([&, i] { work(*subject.replicas[i], shares[i], meet); });
  work(*subject.replicas[0], shares[0], meet);
  for (std::thread& thread : threads) thread.join();
}

// Milliseconds of the middle step.
template <typename Meet>
double time_steps(executor::Executor& executor, const Setting& setting, bool sample, int32_t warmups,
                  int32_t steps, const Meet& meet) {
  run_batch(executor, opening_of(setting));
  std::vector<double> ms;
  for (int32_t step = 0; step < warmups + steps; ++step) {
    const executor::StepBatch batch = step_of(setting, step, sample, executor.limits().vocab_size);
    meet();
    const int64_t start_us = now_us();
    run_batch(executor, batch);
    if (step >= warmups) ms.push_back(static_cast<double>(now_us() - start_us) / 1000);
  }
  run_batch(executor, closing_of(setting));
  std::nth_element(ms.begin(), ms.begin() + steps / 2, ms.end());
  return ms[static_cast<size_t>(steps / 2)];
}

double time_steps(const Subject& subject, const Setting& setting, bool sample, int32_t warmups = kWarmups,
                  int32_t steps = 12) {
  double ms = 0;
  on_replicas(subject, setting, [&](executor::Executor& executor, const Setting& share, const auto& meet) {
    const double own = time_steps(executor, share, sample, warmups, steps, meet);
    if (&executor == subject.replicas[0].get()) ms = own;
  });
  return ms;
}

// Distinct experts that the rows of a layer go to.
class ExpertCount final : public model::TapSink {
 public:
  void tap(std::string_view name, int32_t, int64_t rows, int64_t width, const float* values) override {
    if (name != model::taps::kExpertIds) return;
    distinct_ += std::set<float>(values, values + rows * width).size();
    ++layers_;
  }
  double mean() const { return static_cast<double>(distinct_) / static_cast<double>(layers_); }

 private:
  size_t distinct_ = 0, layers_ = 0;
};

double count_experts(const Subject& subject, const Setting& setting) {
  ExpertCount count;
  subject.set_graphs(false);
  on_replicas(subject, setting, [&](executor::Executor& executor, const Setting& share, const auto& meet) {
    run_batch(executor, opening_of(share));
    for (int32_t step = 0; step < 2; ++step) {  // the first is of the replica that comes first
      if (step == 1 && &executor == subject.replicas[0].get()) subject.forwards[0]->set_taps(&count);
      meet();
      run_batch(executor, step_of(share, step, false, executor.limits().vocab_size));
    }
    run_batch(executor, closing_of(share));
  });
  subject.forwards[0]->set_taps(nullptr);
  return count.mean();
}

// Microseconds from the begin of each launch of a layer to that of the next, over layers and steps.
void trace_steps(executor::Executor& executor, const Setting& setting, int32_t layers) {
  constexpr int32_t kBefore = 3;  // angles, embedding, first norm
  constexpr int32_t kSteps = 20;
  using backend::cuda::TraceBuffer;
  if (backend::cuda::trace_users().empty())
    throw UsageError("trace: this build was made without CUDA_TRACE=ON");
  const backend::cuda::DeviceMemory memory(sizeof(TraceBuffer), "trace");
  const backend::cuda::PinnedMemory copied(sizeof(TraceBuffer), "trace");
  const backend::cuda::Stream stream;
  auto* const stamps = copied.as<TraceBuffer>();
  run_batch(executor, opening_of(setting));
  std::vector<std::string> names;
  std::vector<double> us;
  for (int32_t step = 0; step < 2 + kSteps; ++step) {  // the second records the graph
    backend::cuda::launch_names = step == 1 ? &names : nullptr;
    if (step == 2) {
      us.resize(names.size());
      for (const auto& user : backend::cuda::trace_users()) user(memory.as<TraceBuffer>());
    }
    constexpr uint64_t kNone = 0;
    memory.upload(0, &kNone, sizeof(kNone));
    run_batch(executor, step_of(setting, step, false, executor.limits().vocab_size));
    if (step < 2) continue;
    stream.to_host(stamps, memory.data(), memory.bytes());
    stream.wait();
    if (stamps->count != names.size())
      throw Error("trace: {} launches were named, {} stamped", names.size(), stamps->count);
    std::sort(stamps->ns,
              stamps->ns + names.size());  // launches wait in order, but ask for their place out of it
    for (size_t i = 0; i + 1 < names.size(); ++i)
      us[i] += static_cast<double>(stamps->ns[i + 1] - stamps->ns[i]) / 1000 / kSteps;
  }
  for (const auto& user : backend::cuda::trace_users()) user(nullptr);
  run_batch(executor, closing_of(setting));
  const size_t each = (names.size() - kBefore) / static_cast<size_t>(layers);
  double sum = 0;
  for (size_t at = 0; at < each; ++at) {
    double mean = 0;  // without the last layer, whose end has no stamp
    for (int32_t n = 0; n + 1 < layers; ++n)
      mean += us[kBefore + static_cast<size_t>(n) * each + at] / (layers - 1);
    fmt::print("{:8.2f} {}\n", mean, names[kBefore + at]);
    sum += mean;
  }
  fmt::print("{:8.2f} a layer of {} launches: {} sequences, context {}, {} rows\n", sum, each,
             setting.sequences, setting.context, setting.sequences * setting.rows);
}

struct Arguments {
  std::string model, arithmetic, commit, results;
  int32_t ranks = 1;
  int32_t replicas = 1;
  bool whole_experts = false;
  model::KvDtype kv_dtype = model::KvDtype::kBf16;
  int32_t alone = -1;
  std::vector<int32_t> devices;
};

void run(const Arguments& args) {
  const Model source(args.model);
  const model::ModelView& model = source.view;
  const model::ModelShape& shape = model.shape;
  std::vector<Setting> settings = {{1, 2560, 1},   {10, 2560, 1},  {32, 2560, 1}, {64, 2560, 1},
                                   {128, 1024, 1}, {256, 1024, 1}, {1, 0, 512},   {1, 0, 2048}};
  std::vector<int32_t> devices = args.devices;
  for (int32_t r = 0; args.devices.empty() && r < (args.alone >= 0 ? 1 : args.ranks * args.replicas); ++r)
    devices.push_back(r);
  CudaOptions options;
  options.arithmetic = backend::common::parse_arithmetic(args.arithmetic);
  options.threads = std::min(16, backend::cpu::ThreadPool::available_threads());
  options.block_tokens = kBlockTokens;
  options.kv_dtype = args.kv_dtype;
  options.slot_count = options.step_sequences_max = 256;
  options.step_rows_max = 2048;
  options.context_tokens_max = 4096;
  options.vocab_size = shape.vocab_rows;
  const int32_t all_ranks = args.ranks * args.replicas;
  options.shard.layout = {.tp = args.ranks, .dp = args.replicas, .ep = args.whole_experts ? all_ranks : 1};
  options.shard.rank = std::max(args.alone, 0);
  const backend::cuda::DeviceInfo device = backend::cuda::select_device(devices[0]);
  const model::ModelShape held = model::shape_of_rank(shape, options.shard.layout, options.shard.rank);
  const auto together = std::count(devices.begin(), devices.end(), devices[0]);
  const int64_t room = device.bytes_free / together - CudaExecutor::fixed_bytes(shape, options);
  const int64_t fit = room / CudaExecutor::block_bytes(held, kBlockTokens, options.kv_dtype);
  options.block_count = static_cast<int32_t>(std::min<int64_t>(256 * 41, fit));
  for (Setting& setting : settings)
    while (setting.context > 0 && int64_t{setting.sequences} * blocks_each(setting) > options.block_count)
      setting.context -= kBlockTokens;
  const int64_t load_start_us = now_us();
  const Subject subject = make_subject(model, options, devices);
  const double load_s = static_cast<double>(now_us() - load_start_us) / 1e6;
  executor::Executor& executor = *subject.replicas.front();
  if (args.commit == "profile" || args.commit == "trace") {
    for (size_t at = 0; at < args.results.size();
         at = std::min(args.results.find('/', at), args.results.size() - 1) + 1) {
      Setting setting{};
      if (std::sscanf(args.results.c_str() + at, "%d,%d,%d", &setting.sequences, &setting.context,
                      &setting.rows) != 3)
        throw UsageError("{}: expected SEQUENCES,CONTEXT,ROWS[/...], found \"{}\"", args.commit,
                         args.results);
      if (args.commit == "trace") {
        trace_steps(executor, setting, shape.layers);
      } else {
        time_steps(subject, setting, false, 1, 1);
      }
    }
    return;
  }
  for (const auto& [name, value] : executor.report()) fmt::print("{}: {}\n", name, value);
  std::ofstream file(args.results, std::ios::app);
  const auto record = [&](const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
    file << line << '\n' << std::flush;
  };
  std::string layout = fmt::format("tp{}", args.ranks);
  if (args.replicas > 1) layout += fmt::format(" dp{}", args.replicas);
  if (args.whole_experts) layout += fmt::format(" ep{}", all_ranks);
  if (args.alone >= 0) layout += " rank alone";
  const std::string weights = source.checkpoint ? "checkpoint" : "random";
  if (source.checkpoint) {
    record(fmt::format(
        R"({{"kind":"cuda_load","gpu":"{}","driver_cuda":"{}","commit":"{}","layers":{},"layout":"{}","bytes":{},)"
        R"("seconds":{:.3f},"gb_per_s":{:.3f}}})",
        device.name, device.driver, args.commit, shape.layers, layout, source.checkpoint->total_bytes(),
        load_s, static_cast<double>(source.checkpoint->total_bytes()) / 1e9 / load_s));
  }
  // Taps of many rows take long, and many rows meet all experts.
  std::vector<double> experts;
  for (const Setting& setting : settings)
    experts.push_back(setting.sequences * setting.rows <= 256 ? count_experts(subject, setting)
                                                              : shape.experts);
  for (const bool graphs : {false, true}) {
    for (size_t i = 0; i < settings.size(); ++i) {
      const Setting& setting = settings[i];
      if (graphs && setting.rows > 1) continue;
      subject.set_graphs(graphs);
      const double layers_ms = time_steps(subject, setting, false),
                   step_ms = time_steps(subject, setting, true);
      record(fmt::format(
          R"({{"kind":"cuda_step","gpu":"{}","driver_cuda":"{}","commit":"{}","layers":{},"experts":{},"hidden":{},)"
          R"("layout":"{}","gpus":{},"weights":"{}","batch":{},"context":{},"rows":{},"kv":"{}",)"
          R"("arithmetic":"{}","graphs":"{}","distinct_experts":{:.1f},)"
          R"("ms_layers":{:.4f},"ms_a_layer":{:.4f},"ms_step":{:.4f}}})",
          device.name, device.driver, args.commit, shape.layers, shape.experts, shape.hidden, layout,
          std::set<int32_t>(devices.begin(), devices.end()).size(), weights, setting.sequences,
          setting.context, setting.sequences * setting.rows,
          args.kv_dtype == model::KvDtype::kFp8 ? "fp8" : "bf16", args.arithmetic,
          graphs ? "FULL_DECODE_ONLY" : "NONE", experts[i], layers_ms, layers_ms / shape.layers, step_ms));
    }
  }
}

int32_t number(const std::string& text) {
  int32_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 0)
    throw UsageError("expected a number, found \"{}\"", text);
  return value;
}

Arguments parse(const std::vector<std::string>& words) {
  if (words.size() < 4 || words.size() % 2 != 0)
    throw UsageError(
        "usage: gpu_bench MODEL w8a8|w8a16|bf16 COMMIT RESULTS.jsonl [--ranks N] [--replicas N] [--experts "
        "sliced|whole] [--kv bf16|fp8] [--devices 0,1] [--alone RANK]");
  Arguments args;
  args.model = words[0];
  args.arithmetic = words[1];
  args.commit = words[2];
  args.results = words[3];
  for (size_t i = 4; i < words.size(); i += 2) {
    if (words[i] == "--ranks") {
      args.ranks = number(words[i + 1]);
    } else if (words[i] == "--replicas") {
      args.replicas = number(words[i + 1]);
      args.whole_experts = args.whole_experts || args.replicas > 1;
    } else if (words[i] == "--kv") {
      if (words[i + 1] == "fp8") args.kv_dtype = model::KvDtype::kFp8;
    } else if (words[i] == "--experts") {
      args.whole_experts = words[i + 1] == "whole";
    } else if (words[i] == "--alone") {
      args.alone = number(words[i + 1]);
    } else if (words[i] == "--devices") {
      for (size_t at = 0; at <= words[i + 1].size();) {
        const size_t end = std::min(words[i + 1].find(',', at), words[i + 1].size());
        args.devices.push_back(number(words[i + 1].substr(at, end - at)));
        at = end + 1;
      }
    } else {
      throw UsageError("unknown flag {}", words[i]);
    }
  }
  return args;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse({argv + 1, argv + argc}));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu_bench: {}\n", error.what());
    return 1;
  }
}
