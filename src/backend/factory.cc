#include "backend/factory.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "backend/common/arithmetic.h"
#include "backend/cpu/executor.h"
#ifdef MINIMAX_CUDA
#include "backend/cuda/executor.h"
#endif
#include "backend/ref/executor.h"
#include "base/error.h"

namespace minimax::backend {

using common::Arithmetic;

// fp8 checkpoints: the weights as they are, activations in bf16. Others have nothing to choose.
static Arithmetic choose_arithmetic(const model::ModelView& model, const std::string& name) {
  if (!name.empty()) return common::parse_arithmetic(name);
  return model.shape.fp8_block_cols != 0 ? Arithmetic::kW8a16 : Arithmetic::kBf16;
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
static void fill_common(Options& to, const model::ModelView& model, const ExecutorOptions& from) {
  to.arithmetic = choose_arithmetic(model, from.arithmetic);
  to.block_tokens = from.block_tokens;
  to.slot_count = from.step_sequences_max;
  to.step_rows_max = from.step_rows_max;
  to.step_sequences_max = from.step_sequences_max;
  to.context_tokens_max = from.context_tokens_max;
  to.vocab_size = from.vocab_size;
  to.logprobs_max = from.logprobs_max;
}

std::unique_ptr<executor::Executor> make_executor(const model::ModelView& model,
                                                  const ExecutorOptions& options) {
  if (options.block_tokens < 1)
    throw Error("block_tokens: expected at least 1, found {}", options.block_tokens);
  if (options.name == "cpu") {
    cpu::CpuOptions own;
    fill_common(own, model, options);
    own.isa = cpu::choose_isa(options.isa);
    if (options.threads < 0) throw Error("threads: expected 0 or more, found {}", options.threads);
    own.threads = options.threads == 0 ? cpu::ThreadPool::available_threads() : options.threads;
    own.block_count =
        block_count(options.kv_bytes, cpu::KvPool::block_bytes(model.shape, options.block_tokens));
    return std::make_unique<cpu::CpuExecutor>(model, own);
  }
  if (options.name == "ref") {
    if (!options.isa.empty())
      throw Error("isa: the ref back-end has none to choose, found \"{}\"", options.isa);
    ref::RefOptions own;
    fill_common(own, model, options);
    own.block_count =
        block_count(options.kv_bytes, ref::KvCache::bytes_of_block(model.shape, options.block_tokens));
    return std::make_unique<ref::RefExecutor>(model, own);
  }
#ifdef MINIMAX_CUDA
  if (options.name == "cuda") {
    if (!options.isa.empty())
      throw Error("isa: the cuda back-end has none to choose, found \"{}\"", options.isa);
    cuda::CudaOptions own;
    fill_common(own, model, options);
    // What the published fp8 checkpoints were made for.
    if (options.arithmetic.empty() && model.shape.fp8_block_cols != 0) own.arithmetic = Arithmetic::kW8a8;
    own.threads = options.threads > 0 ? options.threads : cpu::ThreadPool::available_threads();
    own.block_count =
        block_count(options.kv_bytes, cuda::CudaExecutor::block_bytes(model.shape, options.block_tokens));
    return std::make_unique<cuda::CudaExecutor>(model, own);
  }
#else
  if (options.name == "cuda")
    throw Error("back-end: this program was built without CUDA (cmake --preset cuda builds it)");
#endif
  throw Error("back-end: expected cpu, cuda or ref, found \"{}\"", options.name);
}

}  // namespace minimax::backend
