#include "backend/cuda/executor.h"

#include <algorithm>
#include <utility>

#include "backend/common/slot_table.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/sample.h"
#include "backend/cpu/thread_pool.h"
#include "backend/cuda/device_sampler.h"
#include "backend/cuda/forward.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

namespace minimax::backend::cuda {

using executor::Limits;
using executor::StepBatch;

// Rows whose logits are held at once, and those copied to the host at once.
static constexpr int32_t kLogitRows = 256;
static constexpr int32_t kHostRows = 32;

static Limits make_limits(const CudaOptions& options, const model::ModelShape& shape) {
  const auto at_least_one = [](const char* name, int32_t value) {
    if (value < 1) throw Error("cuda back-end: {}: expected at least 1, found {}", name, value);
  };
  at_least_one("threads", options.threads);
  at_least_one("block_tokens", options.block_tokens);
  at_least_one("block_count", options.block_count);
  at_least_one("slot_count", options.slot_count);
  at_least_one("step_rows_max", options.step_rows_max);
  at_least_one("step_sequences_max", options.step_sequences_max);
  at_least_one("context_tokens_max", options.context_tokens_max);
  at_least_one("vocab_size", options.vocab_size);
  if (options.vocab_size > shape.vocab_rows)
    throw Error("cuda back-end: vocab_size: expected at most the model's {} rows, found {}", shape.vocab_rows,
                options.vocab_size);
  Limits limits;
  limits.block_tokens = options.block_tokens;
  limits.block_count = options.block_count;
  limits.slot_count = options.slot_count;
  limits.step_rows_max = options.step_rows_max;
  limits.step_sequences_max = options.step_sequences_max;
  // Each row can be scored and drawn from, and a prompt's last row by several slots.
  limits.step_samples_max = options.step_rows_max + options.slot_count;
  limits.context_tokens_max = options.context_tokens_max;
  limits.pipeline_depth = 1;
  limits.vocab_size = options.vocab_size;
  limits.mask_words = (options.vocab_size + 31) / 32;
  limits.logprobs_max =
      options.logprobs_max < 0 ? options.vocab_size : std::min(options.logprobs_max, options.vocab_size);
  return limits;
}

static bool shares_experts(const CudaOptions& options) {
  return options.shard.layout.dp > 1 && options.shard.layout.ep > 1;
}

static int32_t expert_rows_max(const CudaOptions& options) {
  return options.step_rows_max * (shares_experts(options) ? options.shard.layout.dp : 1);
}

static ForwardSizes sizes_of(const CudaOptions& options) {
  const int64_t blocks_each = (options.context_tokens_max + options.block_tokens - 1) / options.block_tokens;
  const int64_t blocks = blocks_each * options.step_sequences_max;
  if (blocks > int64_t{1} << 28)
    throw Error(
        "cuda back-end: {} sequences of {} tokens in blocks of {} need a block table of {} entries; at "
        "most 2^28 are held",
        options.step_sequences_max, options.context_tokens_max, options.block_tokens, blocks);
  return {.rows_max = options.step_rows_max,
          .expert_rows_max = expert_rows_max(options),
          .context_tokens_max = options.context_tokens_max,
          .table_blocks_max = static_cast<int32_t>(blocks),
          .logit_rows_max = std::min(kLogitRows, options.step_rows_max)};
}

struct CudaExecutor::Impl {
  // One draw or one prompt score of one row of logits.
  struct RowJob {
    int32_t row = 0;
    int32_t sample = -1;  // into the batch's samples, or
    int32_t score = -1;   // into its prompt_scores
    bool on_host = false;
    executor::SampledToken token;
    executor::TokenLogprob logprob;
    std::vector<executor::TopLogprob> top;
  };

  static CudaOptions placed(CudaOptions options) {
    const Shard& shard = options.shard;
    if (options.peers != nullptr) options.device = options.peers->device(shard.rank % shard.layout.tp);
    if (options.world != nullptr) options.device = options.world->device(shard.rank);
    return options;
  }

  Impl(const model::ModelView& model, const CudaOptions& own)
      : options(placed(own)),
        limits(make_limits(own, model.shape)),
        device(select_device(options.device)),
        weights(model, own.arithmetic, own.shard),
        kv(weights.shape(), own.block_tokens, own.block_count, own.kv_dtype == model::KvDtype::kFp8),
        forward({weights, kv, stream, own.peers.get(), own.world.get()}, sizes_of(own)),
        device_sampler(stream, own.vocab_size),
        threads(own.threads),
        slots(own.slot_count, own.vocab_size),
        logits(int64_t{kHostRows} * own.vocab_size * 4, "logits on the host") {
    forward.set_graphs(own.graphs);
    const cpu::Kernels& kernels = cpu::kernels_of(cpu::choose_isa(""));
    for (int32_t i = 0; i < threads.size(); ++i) samplers.emplace_back(kernels, own.vocab_size);
  }

  void run_forward(const StepBatch& batch);
  void run_jobs(const StepBatch& batch);
  void draw_on_device(const StepBatch& batch, std::span<RowJob> held, const float* rows);
  void run_on_host(const StepBatch& batch, std::span<RowJob> held, const float* rows);
  void run_job(const StepBatch& batch, RowJob& job, const float* row, cpu::Sampler& sampler) const;
  std::span<const uint32_t> mask_of(const StepBatch& batch, const executor::Sample& sample) const;
  void settle(const StepBatch& batch, RowJob& job, int32_t token) const;
  void publish(const StepBatch& batch);
  bool tells() const { return options.shard.rank % options.shard.layout.tp == 0 || options.peers == nullptr; }

  CudaOptions options;
  Limits limits;
  DeviceInfo device;
  Stream stream;
  Weights weights;
  KvPool kv;
  Forward forward;
  DeviceSampler device_sampler;
  cpu::ThreadPool threads;
  common::SlotTable slots;
  PinnedMemory logits;                 // [kHostRows, vocab_size] f32
  std::vector<cpu::Sampler> samplers;  // one a thread

  // The step in flight.
  std::vector<executor::TokenId> tokens;
  std::vector<RowJob> jobs;
  size_t job_count = 0;             // jobs keeps its vectors from step to step
  std::vector<int32_t> logit_rows;  // ascending
  std::vector<size_t> pending;      // jobs that are drawn together
  std::vector<int32_t> host_rows;   // whose logits are on the host, ascending
  executor::StepResult result;
  executor::StepId next_step = 0;
  bool in_flight = false;
};

int64_t CudaExecutor::block_bytes(const model::ModelShape& shape, int32_t block_tokens,
                                  model::KvDtype kv_dtype) {
  return KvPool::block_bytes(shape, block_tokens, kv_dtype == model::KvDtype::kFp8);
}

static PeerSizes peer_sizes(const model::ModelShape& whole, const CudaOptions& options) {
  return {.rows_max = options.step_rows_max,
          .hidden = whole.hidden,
          .parts_max = options.step_rows_max * whole.experts_per_token};
}

static PeerSizes world_sizes(const model::ModelShape& whole, const CudaOptions& options) {
  const int32_t rows = expert_rows_max(options);
  return {.rows_max = rows, .hidden = whole.hidden, .parts_max = 0, .gathered_rows = rows, .sums = false};
}

static int32_t most_on_a_device(const std::vector<int32_t>& devices) {
  int32_t most = 1;
  for (const int32_t device : devices)
    most = std::max(most, static_cast<int32_t>(std::count(devices.begin(), devices.end(), device)));
  return most;
}

std::shared_ptr<PeerGroup> make_peers(const model::ModelShape& whole, const CudaOptions& options,
                                      const std::vector<int32_t>& devices, int32_t replica) {
  const int32_t tp = options.shard.layout.tp, first = replica * tp;
  if (tp == 1) return nullptr;
  CHECK_LE(static_cast<size_t>(first + tp), devices.size());
  const std::vector<int32_t> own(devices.begin() + first, devices.begin() + first + tp);
  return std::make_shared<PeerGroup>(own, peer_sizes(whole, options), kPeerWaitSeconds,
                                     most_on_a_device(devices));
}

std::shared_ptr<PeerGroup> make_world(const model::ModelShape& whole, const CudaOptions& options,
                                      const std::vector<int32_t>& devices) {
  if (!shares_experts(options)) return nullptr;
  return std::make_shared<PeerGroup>(devices, world_sizes(whole, options));
}

int64_t CudaExecutor::fixed_bytes(const model::ModelShape& whole, const CudaOptions& options) {
  // The driver's context, kernels and graphs, and what the allocator rounds up.
  constexpr int64_t kReserve = int64_t{1} << 30;
  const int32_t tp = options.shard.layout.tp;
  const model::ModelShape own = model::shape_of_rank(whole, options.shard.layout, options.shard.rank);
  const int64_t weights = Weights::bytes_of(whole, options.arithmetic, options.shard);
  const int64_t activations = ForwardBuffers{}.lay_out(nullptr, own, whole, sizes_of(options));
  int64_t exchange = tp > 1 ? peer_offsets(peer_sizes(whole, options), tp).bytes : 0;
  if (shares_experts(options))
    exchange += peer_offsets(world_sizes(whole, options), options.shard.layout.ranks()).bytes;
  return weights + activations + exchange + DeviceSampler::device_bytes(options.vocab_size) + kReserve;
}

CudaExecutor::CudaExecutor(const model::ModelView& model, const CudaOptions& options)
    : impl_(std::make_unique<Impl>(model, options)) {}

CudaExecutor::~CudaExecutor() = default;

const Limits& CudaExecutor::limits() const {
  return impl_->limits;
}

Forward& CudaExecutor::forward() {
  return impl_->forward;
}

executor::StepId CudaExecutor::submit(const StepBatch& batch) {
  Impl& own = *impl_;
  const std::string violation = executor::find_violation(batch, own.limits);
  if (!violation.empty()) check_failed(__FILE__, __LINE__, "find_violation(batch).empty()", violation);
  CHECK(!own.in_flight);
  const int64_t start_us = now_us();
  use_device(own.options.device);
  own.slots.apply(batch);
  for (const executor::BlockCopy& copy : batch.block_copies) own.kv.copy(copy, own.stream);
  own.run_forward(batch);
  own.run_jobs(batch);
  own.stream.wait();  // also where nothing was sampled: collect() means that the step is done
  own.publish(batch);
  own.result.duration_us = now_us() - start_us;
  own.in_flight = true;
  return own.next_step++;
}

void CudaExecutor::collect(executor::StepId step, executor::StepResult& result) {
  CHECK(impl_->in_flight);
  CHECK_EQ(step, impl_->next_step - 1);
  std::swap(result, impl_->result);
  impl_->in_flight = false;
}

void CudaExecutor::Impl::run_forward(const StepBatch& batch) {
  tokens.assign(batch.row_tokens.begin(), batch.row_tokens.end());
  for (const executor::SequenceRows& sequence : batch.sequences) {
    for (int32_t i = 0; i < sequence.row_count; ++i) {
      executor::TokenId& token = tokens[static_cast<size_t>(sequence.row_begin + i)];
      if (token == executor::kLastSampledToken) token = slots.last_token(sequence.slot);
    }
  }
  if (!tokens.empty() || options.world != nullptr) forward.run({tokens, batch.sequences, batch.block_table});
}

void CudaExecutor::Impl::run_jobs(const StepBatch& batch) {
  job_count = batch.samples.size() + batch.prompt_scores.size();
  if (jobs.size() < job_count) jobs.resize(job_count);
  const auto used = std::span(jobs).first(job_count);
  size_t next = 0;
  for (size_t i = 0; i < batch.samples.size(); ++i, ++next) {
    used[next].row = batch.samples[i].row;
    used[next].sample = static_cast<int32_t>(i);
    used[next].score = -1;
  }
  for (size_t i = 0; i < batch.prompt_scores.size(); ++i, ++next) {
    used[next].row = batch.prompt_scores[i].row;
    used[next].sample = -1;
    used[next].score = static_cast<int32_t>(i);
  }
  std::stable_sort(used.begin(), used.end(), [](const RowJob& a, const RowJob& b) { return a.row < b.row; });

  const auto rows_held = static_cast<size_t>(std::min(kLogitRows, options.step_rows_max));
  // Jobs [begin, end) share the logits of logit_rows.
  for (size_t begin = 0; begin < used.size();) {
    size_t end = begin;
    logit_rows.clear();
    for (; end < used.size(); ++end) {
      if (!logit_rows.empty() && logit_rows.back() == used[end].row) continue;
      if (logit_rows.size() == rows_held) break;
      logit_rows.push_back(used[end].row);
    }
    const float* const rows = forward.logits(logit_rows);
    draw_on_device(batch, used.subspan(begin, end - begin), rows);
    run_on_host(batch, used.subspan(begin, end - begin), rows);
    begin = end;
  }
}

// Draws what the device can, and marks the rest for the host.
void CudaExecutor::Impl::draw_on_device(const StepBatch& batch, std::span<RowJob> held, const float* rows) {
  const int64_t stride = weights.whole_shape().vocab_rows;
  const auto finish = [&] {
    device_sampler.run(rows, stride);
    for (size_t i = 0; i < pending.size(); ++i)
      settle(batch, held[pending[i]], device_sampler.token(static_cast<int32_t>(i)));
    device_sampler.clear();
    pending.clear();
  };
  device_sampler.clear();
  pending.clear();
  for (size_t i = 0; i < held.size(); ++i) {
    RowJob& job = held[i];
    job.on_host = true;
    if (job.score >= 0) continue;
    const executor::Sample& sample = batch.samples[static_cast<size_t>(job.sample)];
    const common::SlotState& slot = slots.at(sample.slot);
    CHECK_EQ(sample.output_position, slot.output_tokens());
    const auto place = std::lower_bound(logit_rows.begin(), logit_rows.end(), job.row) - logit_rows.begin();
    const auto add = [&] {
      return device_sampler.add(slot, sample, static_cast<int32_t>(place), mask_of(batch, sample));
    };
    DeviceSampler::Added added = add();
    if (added == DeviceSampler::Added::kFull) {
      finish();
      added = add();
    }
    if (added == DeviceSampler::Added::kYes) pending.push_back(i);
  }
  finish();
}

void CudaExecutor::Impl::settle(const StepBatch& batch, RowJob& job, int32_t token) const {
  if (token == kDrawUndecided) return;
  job.on_host = false;
  job.top.clear();
  job.token = {};
  job.token.sample = job.sample;
  job.token.token = token;
  if (token == kDrawNotFinite) {
    job.token.outcome = executor::SampleOutcome::kNotFinite;
    return;
  }
  const executor::SampleSpec& spec = slots.at(batch.samples[static_cast<size_t>(job.sample)].slot).spec;
  const bool stop = std::find(spec.stop_ids.begin(), spec.stop_ids.end(), token) != spec.stop_ids.end();
  job.token.outcome = stop ? executor::SampleOutcome::kStop : executor::SampleOutcome::kToken;
}

// The jobs left, kHostRows rows at a time.
void CudaExecutor::Impl::run_on_host(const StepBatch& batch, std::span<RowJob> held, const float* rows) {
  const int64_t stride = weights.whole_shape().vocab_rows;
  pending.clear();
  std::vector<int32_t>& fetched = host_rows;
  const auto finish = [&] {
    stream.wait();
    // Small vocabularies are not worth waking a thread for.
    const int64_t grain = 1 + 16384 / limits.vocab_size;
    threads.run(
        static_cast<int64_t>(pending.size()), grain, [&](int64_t first, int64_t last, int32_t thread) {
          for (int64_t i = first; i < last; ++i) {
            RowJob& job = held[pending[static_cast<size_t>(i)]];
            const auto place = std::lower_bound(fetched.begin(), fetched.end(), job.row) - fetched.begin();
            run_job(batch, job, logits.as<float>() + place * limits.vocab_size,
                    samplers[static_cast<size_t>(thread)]);
          }
        });
    pending.clear();
    fetched.clear();
  };
  fetched.clear();
  for (size_t i = 0; i < held.size(); ++i) {
    if (!held[i].on_host) continue;
    if (fetched.empty() || fetched.back() != held[i].row) {
      if (fetched.size() == kHostRows) finish();
      const auto from =
          std::lower_bound(logit_rows.begin(), logit_rows.end(), held[i].row) - logit_rows.begin();
      // Without the padding ids of the head.
      stream.to_host(logits.as<float>() + static_cast<int64_t>(fetched.size()) * limits.vocab_size,
                     rows + from * stride, int64_t{4} * limits.vocab_size);
      fetched.push_back(held[i].row);
    }
    pending.push_back(i);
  }
  if (!pending.empty()) finish();
}

std::span<const uint32_t> CudaExecutor::Impl::mask_of(const StepBatch& batch,
                                                      const executor::Sample& sample) const {
  if (sample.mask_idx < 0) return {};
  const auto words = static_cast<size_t>(limits.mask_words);
  return std::span(batch.masks).subspan(static_cast<size_t>(sample.mask_idx) * words, words);
}

void CudaExecutor::Impl::run_job(const StepBatch& batch, RowJob& job, const float* row,
                                 cpu::Sampler& sampler) const {
  job.top.clear();
  if (job.score >= 0) {
    if (!tells()) return;
    const executor::PromptScore& score = batch.prompt_scores[static_cast<size_t>(job.score)];
    job.logprob = sampler.score(row, score.token, score.top_k, job.top);
    return;
  }
  const executor::Sample& sample = batch.samples[static_cast<size_t>(job.sample)];
  const common::SlotState& slot = slots.at(sample.slot);
  const cpu::Sampler::Draw draw = sampler.draw(row, slot, sample.output_position, mask_of(batch, sample));
  job.token = {};
  job.token.sample = job.sample;
  job.token.token = draw.token;
  job.token.outcome = draw.outcome;
  if (draw.outcome != executor::SampleOutcome::kNotFinite && slot.spec.logprobs >= 0 && tells())
    job.token.logprob = sampler.score(row, draw.token, slot.spec.logprobs, job.top);
}

// The results in the order of the batch, prompt scores first, and the drawn tokens into their slots.
void CudaExecutor::Impl::publish(const StepBatch& batch) {
  result.clear();
  result.tokens.resize(batch.samples.size());
  result.prompt_logprobs.resize(batch.prompt_scores.size());
  const auto used = std::span(jobs).first(job_count);
  std::sort(used.begin(), used.end(), [](const RowJob& a, const RowJob& b) {
    return std::pair(a.sample, a.score) < std::pair(b.sample, b.score);
  });
  for (RowJob& job : used) {
    executor::TokenLogprob& logprob = job.score >= 0 ? job.logprob : job.token.logprob;
    logprob.top_begin = static_cast<int32_t>(result.top_logprobs.size());
    result.top_logprobs.insert(result.top_logprobs.end(), job.top.begin(), job.top.end());
    if (job.score >= 0) {
      result.prompt_logprobs[static_cast<size_t>(job.score)] = job.logprob;
      continue;
    }
    result.tokens[static_cast<size_t>(job.sample)] = job.token;
    if (job.token.outcome != executor::SampleOutcome::kNotFinite)
      slots.append(batch.samples[static_cast<size_t>(job.sample)].slot, job.token.token);
  }
}

executor::Report CudaExecutor::report() const {
  const Impl& own = *impl_;
  const auto mib = [](int64_t bytes) {
    return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1048576);
  };
  const auto rank_text = [&own] {
    const Shard& shard = own.options.shard;
    const model::ModelShape& whole = own.weights.whole_shape();
    const auto text = [](const char* what, const model::Range& range) {
      return fmt::format(", {} {} to {}", what, range.begin, range.end - 1);
    };
    std::string out =
        fmt::format("{} of {} on device {}", shard.rank, shard.layout.ranks(), own.options.device);
    out += text("query heads", model::q_heads_of(whole, shard.layout, shard.rank));
    out += text("KV heads", model::kv_heads_of(whole, shard.layout, shard.rank));
    if (shard.layout.ep > 1) {
      out += text("experts", model::experts_of(whole, shard.layout, shard.rank));
    } else {
      out += text("columns of each expert", model::expert_width_of(whole, shard.layout, shard.rank));
    }
    out += text("ids", model::vocab_rows_of(whole, shard.layout, shard.rank));
    const PeerGroup *const peers = own.options.peers.get(), *const world = own.options.world.get();
    if (peers == nullptr && world == nullptr) return out + "; alone: what it computes has no meaning";
    const int32_t together = (world != nullptr ? world : peers)->ranks_a_device();
    return together > 1 ? out + fmt::format("; {} share a device", together) : out;
  };
  int64_t exchange = 0;
  for (const PeerGroup* const group : {own.options.peers.get(), own.options.world.get()})
    if (group != nullptr) exchange += group->bytes_a_rank();
  return {
      {"back-end", "cuda"},
      {"device", fmt::format("{}, compute {}.{}, {} SMs, {}", own.device.name, own.device.compute_major,
                             own.device.compute_minor, own.device.processors, mib(own.device.bytes_total))},
      {"driver's CUDA", own.device.driver},
      {"arithmetic", std::string(common::name_of(own.options.arithmetic))},
      {"rank", own.options.shard.layout.ranks() == 1 ? "all of the model" : rank_text()},
      {"weights", mib(own.weights.bytes())},
      {"KV blocks", fmt::format("{} of {} tokens, {}, {}", own.limits.block_count, own.limits.block_tokens,
                                model::name_of(own.options.kv_dtype), mib(own.kv.bytes()))},
      {"activations", mib(own.forward.buffer_bytes())},
      {"exchange", exchange == 0 ? "none" : mib(exchange)},
      {"graphs", own.options.graphs ? "of decode steps" : "none"},
      {"sampling", fmt::format("on the device, {}; log-probabilities on the host, {} threads",
                               mib(own.device_sampler.buffer_bytes()), own.threads.size())}};
}

}  // namespace minimax::backend::cuda
