#include "backend/factory.h"

#include <algorithm>
#include <future>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/cpu/executor.h"
#ifdef MINIMAX_CUDA
#include "backend/cuda/executor.h"
#endif
#include "backend/ref/executor.h"
#include "base/check.h"
#include "base/error.h"
#include "executor/group.h"
#include "executor/lockstep.h"
#include "model/shard.h"

namespace minimax::backend {

using common::Arithmetic;

// fp8 checkpoints: the weights as they are, activations in bf16. Others have nothing to choose.
static Arithmetic choose_arithmetic(const model::ModelShape& shape, const std::string& name) {
  if (!name.empty()) return common::parse_arithmetic(name);
  return shape.fp8_block_cols != 0 ? Arithmetic::kW8a16 : Arithmetic::kBf16;
}

static int32_t block_count(int64_t kv_bytes, int64_t block_bytes) {
  const int64_t count = kv_bytes / block_bytes;
  if (count < 1)
    throw Error("kv_bytes: {} bytes do not hold one KV block of {} bytes; give the KV cache more memory",
                kv_bytes, block_bytes);
  return static_cast<int32_t>(std::min<int64_t>(count, std::numeric_limits<int32_t>::max() / 2));
}

// What both back-ends call by the same names.
template <typename Options>
static void fill_common(Options& to, const model::ModelShape& shape, const ExecutorOptions& from) {
  to.arithmetic = choose_arithmetic(shape, from.arithmetic);
  to.block_tokens = from.block_tokens;
  to.slot_count = from.step_sequences_max;
  to.step_rows_max = from.step_rows_max;
  to.step_sequences_max = from.step_sequences_max;
  to.context_tokens_max = from.context_tokens_max;
  to.vocab_size = from.vocab_size;
  to.logprobs_max = from.logprobs_max;
  to.kv_dtype = from.kv_dtype;
}

// Of the replicas that share the experts; otherwise of one.
static model::ParallelLayout layout_of(const ExecutorOptions& options) {
  model::ParallelLayout layout{.tp = options.tensor_parallel};
  if (!options.expert_parallel) return layout;
  layout.dp = options.replicas;
  layout.ep = layout.ranks();
  return layout;
}

#ifdef MINIMAX_CUDA
static cuda::CudaOptions cuda_options(const model::ModelShape& shape, const ExecutorOptions& options) {
  if (!options.isa.empty())
    throw Error("isa: the cuda back-end has none to choose, found \"{}\"", options.isa);
  cuda::CudaOptions own;
  fill_common(own, shape, options);
  // What the published fp8 checkpoints were made for.
  if (options.arithmetic.empty() && shape.fp8_block_cols != 0) own.arithmetic = Arithmetic::kW8a8;
  own.threads = options.threads > 0 ? options.threads : cpu::ThreadPool::available_threads();
  own.graphs = options.graphs;
  own.shard.layout = layout_of(options);
  own.shard.rank = std::max(options.rank_alone, 0);
  model::check_layout(shape, own.shard.layout);
  if (options.rank_alone >= options.tensor_parallel)
    throw Error("rank {}: expected less than the tensor parallel size, which is {}", options.rank_alone,
                options.tensor_parallel);
  return own;
}

// One for each rank that is run, of all replicas.
static std::vector<int32_t> devices_of(const ExecutorOptions& options) {
  const auto count =
      static_cast<size_t>(options.rank_alone >= 0 ? 1 : options.tensor_parallel * options.replicas);
  std::vector<int32_t> devices = options.devices;
  for (auto next = static_cast<int32_t>(devices.size()); devices.size() < count && options.devices.empty();
       ++next)
    devices.push_back(next);
  if (devices.size() != count)
    throw Error("devices: expected {}, one a rank, found {}", count, devices.size());
  return devices;
}

static std::unique_ptr<executor::Executor> make_cuda_ranks(const model::ModelView& model,
                                                           const cuda::CudaOptions& options) {
  if (!options.peers) return std::make_unique<cuda::CudaExecutor>(model, options);
  return std::make_unique<executor::Group>(options.peers->ranks(), [&](int32_t rank) {
    cuda::CudaOptions of_rank = options;
    of_rank.shard.rank += rank;
    return std::make_unique<cuda::CudaExecutor>(model, of_rank);
  });
}

// make(replica) for all at once, since each loads its weights. Throws the first Error of one when all have
// ended.
template <typename Make>
static std::vector<std::unique_ptr<executor::Executor>> make_at_once(int32_t replicas, const Make& make) {
  std::vector<std::future<std::unique_ptr<executor::Executor>>> made;
  for (int32_t i = 0; i < replicas; ++i) made.push_back(std::async(std::launch::async, make, i));
  std::vector<std::unique_ptr<executor::Executor>> out;
  for (auto& replica : made) out.push_back(replica.get());
  return out;
}

static std::vector<std::unique_ptr<executor::Executor>> make_cuda(const model::ModelView& model,
                                                                  const ExecutorOptions& options) {
  cuda::CudaOptions own = cuda_options(model.shape, options);
  const std::vector<int32_t> devices = devices_of(options);
  const int32_t tp = own.shard.layout.tp;
  const bool alone = options.rank_alone >= 0;
  const model::ModelShape shape = model::shape_of_rank(model.shape, own.shard.layout, own.shard.rank);
  own.block_count = block_count(options.kv_bytes,
                                cuda::CudaExecutor::block_bytes(shape, options.block_tokens, own.kv_dtype));
  own.threads = std::max(1, own.threads / static_cast<int32_t>(devices.size()));
  if (!alone) own.world = cuda::make_world(model.shape, own, devices);
  std::vector<cuda::CudaOptions> each(static_cast<size_t>(options.replicas), own);
  for (int32_t i = 0; i < options.replicas; ++i) {
    cuda::CudaOptions& replica = each[static_cast<size_t>(i)];
    replica.device = devices[static_cast<size_t>(alone ? 0 : i * tp)];
    if (own.world) replica.shard.rank = i * tp;
    if (!alone) replica.peers = cuda::make_peers(model.shape, replica, devices, i);
  }
  const auto make = [&](int32_t i) { return make_cuda_ranks(model, each[static_cast<size_t>(i)]); };
  return own.world ? executor::make_lockstep(options.replicas, make) : make_at_once(options.replicas, make);
}

int64_t device_kv_bytes(const model::ModelShape& shape, const ExecutorOptions& options, double utilisation) {
  const cuda::CudaOptions own = cuda_options(shape, options);
  const std::vector<int32_t> devices = devices_of(options);
  const int64_t fixed = cuda::CudaExecutor::fixed_bytes(shape, own);
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const int32_t device : devices) {
    const cuda::DeviceInfo info = cuda::select_device(device);
    const auto ranks = std::count(devices.begin(), devices.end(), device);
    const auto usable = static_cast<int64_t>(static_cast<double>(info.bytes_total) * utilisation);
    const int64_t share = std::min(usable, info.bytes_free) / ranks;
    if (share <= fixed)
      throw Error(
          "cuda: device {}: a rank's weights and buffers take {:.1f} GB; {:.1f} GB are there for it ({:.1f} "
          "GB free "
          "of {:.1f}, utilization {}). Give more ranks with --tensor-parallel-size, or fewer rows with "
          "--max-num-batched-tokens",
          device, static_cast<double>(fixed) / 1e9, static_cast<double>(share) / 1e9,
          static_cast<double>(info.bytes_free) / 1e9, static_cast<double>(info.bytes_total) / 1e9,
          utilisation);
    least = std::min(least, share - fixed);
  }
  return least;
}
#else
constexpr std::string_view kNoCuda =
    "back-end: this program was built without CUDA (cmake --preset cuda builds it)";

static std::vector<std::unique_ptr<executor::Executor>> make_cuda(const model::ModelView&,
                                                                  const ExecutorOptions&) {
  throw Error("{}", kNoCuda);
}

int64_t device_kv_bytes(const model::ModelShape&, const ExecutorOptions&, double) {
  throw Error("{}", kNoCuda);
}
#endif

static cpu::CpuOptions cpu_options(const model::ModelView& model, const ExecutorOptions& options) {
  const model::ParallelLayout layout = layout_of(options);
  model::check_layout(model.shape, layout);
  const int32_t hosts = options.hosts == nullptr ? 1 : options.hosts->count();
  if (layout.tp % hosts != 0) throw Error("{} ranks cannot be spread evenly over {} hosts", layout.tp, hosts);
  cpu::CpuOptions own;
  fill_common(own, model.shape, options);
  own.isa = cpu::choose_isa(options.isa);
  if (options.threads < 0) throw Error("threads: expected 0 or more, found {}", options.threads);
  const int32_t threads = options.threads == 0 ? cpu::ThreadPool::available_threads() : options.threads;
  own.threads = std::max(1, threads / options.replicas);
  const int32_t ranks = layout.tp / hosts;  // of a replica, here
  const model::ModelShape shape = model::shape_of_rank(model.shape, {.tp = layout.tp}, 0);
  own.block_count = block_count(
      options.kv_bytes, ranks * cpu::KvPool::block_bytes(shape, options.block_tokens, options.kv_dtype));
  if (layout.ranks() == 1) return own;
  // The weights are made with the threads of all ranks.
  own.ranks =
      cpu::CpuExecutor::make_ranks(model, layout, own.arithmetic, layout.dp * own.threads, options.hosts);
  own.threads = std::max(1, own.threads / ranks);
  return own;
}

// The ranks from `first` on as one executor.
static std::unique_ptr<executor::Executor> make_cpu_ranks(const model::ModelView& model,
                                                          const cpu::CpuOptions& options, int32_t first,
                                                          int32_t count) {
  const auto make = [&model, &options, first](int32_t rank) {
    cpu::CpuOptions of_rank = options;
    of_rank.rank = first + rank;
    return std::make_unique<cpu::CpuExecutor>(model, of_rank);
  };
  if (count == 1 && (!options.ranks || options.ranks->layout.tp == 1)) return make(0);
  return std::make_unique<executor::Group>(count, make);
}

static std::unique_ptr<executor::Executor> make_cpu(const model::ModelView& model,
                                                    const ExecutorOptions& options) {
  const cpu::CpuOptions own = cpu_options(model, options);
  if (!own.ranks) return make_cpu_ranks(model, own, 0, 1);
  CHECK_EQ(own.ranks->layout.dp, 1);
  return make_cpu_ranks(model, own, own.ranks->comm.first(), own.ranks->comm.ranks());
}

static void check_options(const model::ModelView& model, const ExecutorOptions& options) {
  if (options.block_tokens < 1)
    throw Error("block_tokens: expected at least 1, found {}", options.block_tokens);
  if (options.name != "cuda" && model.final_norm.data == nullptr)
    throw Error("back-end {}: there are no weights; cuda alone makes them up", options.name);
}

std::unique_ptr<executor::Executor> make_executor(const model::ModelView& model,
                                                  const ExecutorOptions& options) {
  check_options(model, options);
  if (options.name == "cpu") return make_cpu(model, options);
  if (options.name == "ref") {
    if (!options.isa.empty())
      throw Error("isa: the ref back-end has none to choose, found \"{}\"", options.isa);
    ref::RefOptions own;
    fill_common(own, model.shape, options);
    own.block_count = block_count(
        options.kv_bytes, ref::KvCache::bytes_of_block(model.shape, options.block_tokens, options.kv_dtype));
    return std::make_unique<ref::RefExecutor>(model, own);
  }
  if (options.name == "cuda") {
    CHECK_EQ(options.replicas, 1);
    return std::move(make_cuda(model, options).front());
  }
  throw Error("back-end: expected cpu, cuda or ref, found \"{}\"", options.name);
}

std::vector<std::unique_ptr<executor::Executor>> make_replicas(const model::ModelView& model,
                                                               const ExecutorOptions& options) {
  check_options(model, options);
  if (options.name == "cuda") return make_cuda(model, options);
  if (options.replicas > 1 && options.expert_parallel) {
    if (options.name != "cpu")
      throw Error("back-end {}: data parallel replicas share no experts there", options.name);
    if (options.hosts != nullptr) throw Error("data parallel replicas are of one host");
    const cpu::CpuOptions own = cpu_options(model, options);
    const int32_t tp = own.ranks->layout.tp;
    return executor::make_lockstep(
        options.replicas, [&](int32_t replica) { return make_cpu_ranks(model, own, replica * tp, tp); });
  }
  std::vector<std::unique_ptr<executor::Executor>> out;
  for (int32_t i = 0; i < options.replicas; ++i) out.push_back(make_executor(model, options));
  return out;
}

}  // namespace minimax::backend
