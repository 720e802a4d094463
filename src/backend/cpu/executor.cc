#include "backend/cpu/executor.h"

#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

namespace minimax::backend::cpu {

using executor::Limits;
using executor::StepBatch;

// Rows whose logits are held at once: what the head's weights are read for.
static constexpr int32_t kLogitRows = 32;

static Limits make_limits(const CpuOptions& options, const model::ModelShape& shape) {
  const auto at_least_one = [](const char* name, int32_t value) {
    if (value < 1) throw Error("cpu back-end: {}: expected at least 1, found {}", name, value);
  };
  at_least_one("threads", options.threads);
  at_least_one("block_tokens", options.block_tokens);
  at_least_one("block_count", options.block_count);
  at_least_one("slot_count", options.slot_count);
  at_least_one("step_rows_max", options.step_rows_max);
  at_least_one("step_sequences_max", options.step_sequences_max);
  at_least_one("context_tokens_max", options.context_tokens_max);
  at_least_one("vocab_size", options.vocab_size);
  if (options.block_tokens % kKeyGroup != 0)
    throw Error("cpu back-end: block_tokens: expected a multiple of {}, found {}", kKeyGroup,
                options.block_tokens);
  if (options.vocab_size > shape.vocab_rows)
    throw Error("cpu back-end: vocab_size: expected at most the model's {} rows, found {}", shape.vocab_rows,
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

// What the KV pool of a rank holds.
static model::ModelShape kv_shape(const model::ModelShape& shape, const CpuOptions& options) {
  if (!options.ranks) return shape;
  const int32_t tp = options.ranks->layout.tp;
  return model::shape_of_rank(shape, {.tp = tp}, options.rank % tp);
}

static Share share_for(const model::ModelShape& shape, const CpuOptions& options) {
  if (!options.ranks) return whole_share(shape);
  return share_of(shape, options.ranks->layout, options.rank, options.ranks->comms_of(options.rank));
}

std::shared_ptr<Ranks> CpuExecutor::make_ranks(const model::ModelView& model,
                                               const model::ParallelLayout& layout,
                                               common::Arithmetic arithmetic, int32_t threads,
                                               comm::Hosts* hosts) {
  model::check_layout(model.shape, layout);
  constexpr int32_t kSpins = 2000;
  const int32_t host_count = hosts == nullptr ? 1 : hosts->count();
  CHECK_EQ(layout.ranks() % host_count, 0);
  const int32_t ranks = layout.ranks() / host_count;
  // A waiting rank must not keep the core of the one it waits for.
  const bool crowded = ranks > ThreadPool::available_threads();
  ThreadPool pool(threads);
  const comm::LocalOptions options{.ranks = ranks, .hosts = hosts, .spins = crowded ? 0 : kSpins};
  return std::make_shared<Ranks>(layout, options, std::make_shared<const Weights>(model, arithmetic, pool));
}

CpuExecutor::CpuExecutor(const model::ModelView& model, const CpuOptions& options)
    : options_(options),
      limits_(make_limits(options, model.shape)),
      threads_(options.threads),
      kernels_(kernels_of(options.isa)),
      weights_(options.ranks ? options.ranks->weights
                             : std::make_shared<const Weights>(model, options.arithmetic, threads_)),
      kv_(kv_shape(model.shape, options), options.block_tokens, options.block_count, options.kv_dtype),
      forward_({*weights_, kv_, kernels_, threads_}, share_for(model.shape, options), options.step_rows_max,
               options.context_tokens_max),
      slots_(options.slot_count, options.vocab_size),
      logits_stride_(round_up(options.vocab_size, kRowAlign)) {
  logits_ = HostBuffer<float>(kLogitRows * logits_stride_, "logits");
  for (int32_t i = 0; i < threads_.size(); ++i) samplers_.emplace_back(kernels_, options.vocab_size);
}

executor::StepId CpuExecutor::submit(const StepBatch& batch) {
  const std::string violation = executor::find_violation(batch, limits_);
  if (!violation.empty()) check_failed(__FILE__, __LINE__, "find_violation(batch).empty()", violation);
  CHECK(!in_flight_);
  const int64_t start_us = now_us();
  slots_.apply(batch);
  for (const executor::BlockCopy& copy : batch.block_copies) kv_.copy(copy);
  run_forward(batch);
  run_jobs(batch);
  publish(batch);
  result_.duration_us = now_us() - start_us;
  in_flight_ = true;
  return next_step_++;
}

void CpuExecutor::collect(executor::StepId step, executor::StepResult& result) {
  CHECK(in_flight_);
  CHECK_EQ(step, next_step_ - 1);
  std::swap(result, result_);
  in_flight_ = false;
}

void CpuExecutor::run_forward(const StepBatch& batch) {
  tokens_.assign(batch.row_tokens.begin(), batch.row_tokens.end());
  for (const executor::SequenceRows& sequence : batch.sequences) {
    for (int32_t i = 0; i < sequence.row_count; ++i) {
      executor::TokenId& token = tokens_[static_cast<size_t>(sequence.row_begin + i)];
      if (token == executor::kLastSampledToken) token = slots_.last_token(sequence.slot);
    }
  }
  forward_.run({tokens_, batch.sequences, batch.block_table});
}

void CpuExecutor::run_jobs(const StepBatch& batch) {
  job_count_ = batch.samples.size() + batch.prompt_scores.size();
  if (jobs_.size() < job_count_) jobs_.resize(job_count_);
  const auto jobs = std::span(jobs_).first(job_count_);
  size_t next = 0;
  for (size_t i = 0; i < batch.samples.size(); ++i, ++next) {
    jobs[next].row = batch.samples[i].row;
    jobs[next].sample = static_cast<int32_t>(i);
    jobs[next].score = -1;
  }
  for (size_t i = 0; i < batch.prompt_scores.size(); ++i, ++next) {
    jobs[next].row = batch.prompt_scores[i].row;
    jobs[next].sample = -1;
    jobs[next].score = static_cast<int32_t>(i);
  }
  std::stable_sort(jobs.begin(), jobs.end(), [](const RowJob& a, const RowJob& b) { return a.row < b.row; });

  // Jobs [begin, end) share the logits of logit_rows_.
  for (size_t begin = 0; begin < jobs.size();) {
    size_t end = begin;
    logit_rows_.clear();
    for (; end < jobs.size(); ++end) {
      if (!logit_rows_.empty() && logit_rows_.back() == jobs[end].row) continue;
      if (logit_rows_.size() == kLogitRows) break;
      logit_rows_.push_back(jobs[end].row);
    }
    forward_.logits(logit_rows_, limits_.vocab_size, logits_.data(), logits_stride_);
    // Small vocabularies are not worth waking a thread for.
    const int64_t grain = 1 + 16384 / limits_.vocab_size;
    threads_.run(static_cast<int64_t>(end - begin), grain, [&](int64_t first, int64_t last, int32_t thread) {
      for (int64_t i = first; i < last; ++i) {
        RowJob& job = jobs[begin + static_cast<size_t>(i)];
        const auto place = std::lower_bound(logit_rows_.begin(), logit_rows_.end(), job.row);
        const float* const logits = logits_.data() + (place - logit_rows_.begin()) * logits_stride_;
        run_job(batch, job, logits, samplers_[static_cast<size_t>(thread)]);
      }
    });
    begin = end;
  }
}

void CpuExecutor::run_job(const StepBatch& batch, RowJob& job, const float* logits, Sampler& sampler) const {
  job.top.clear();
  if (job.score >= 0) {
    const executor::PromptScore& score = batch.prompt_scores[static_cast<size_t>(job.score)];
    job.logprob = sampler.score(logits, score.token, score.top_k, job.top);
    return;
  }
  const executor::Sample& sample = batch.samples[static_cast<size_t>(job.sample)];
  const common::SlotState& slot = slots_.at(sample.slot);
  CHECK_EQ(sample.output_position, slot.output_tokens());
  std::span<const uint32_t> mask;
  if (sample.mask_idx >= 0) {
    const auto words = static_cast<size_t>(limits_.mask_words);
    mask = std::span(batch.masks).subspan(static_cast<size_t>(sample.mask_idx) * words, words);
  }
  const Sampler::Draw draw = sampler.draw(logits, slot, sample.output_position, mask);
  job.token = {};
  job.token.sample = job.sample;
  job.token.token = draw.token;
  job.token.outcome = draw.outcome;
  if (draw.outcome != executor::SampleOutcome::kNotFinite && slot.spec.logprobs >= 0)
    job.token.logprob = sampler.score(logits, draw.token, slot.spec.logprobs, job.top);
}

// The results in the order of the batch, prompt scores first, and the drawn tokens into their slots.
void CpuExecutor::publish(const StepBatch& batch) {
  result_.clear();
  result_.tokens.resize(batch.samples.size());
  result_.prompt_logprobs.resize(batch.prompt_scores.size());
  const auto jobs = std::span(jobs_).first(job_count_);
  std::sort(jobs.begin(), jobs.end(), [](const RowJob& a, const RowJob& b) {
    return std::pair(a.sample, a.score) < std::pair(b.sample, b.score);
  });
  for (RowJob& job : jobs) {
    executor::TokenLogprob& logprob = job.score >= 0 ? job.logprob : job.token.logprob;
    logprob.top_begin = static_cast<int32_t>(result_.top_logprobs.size());
    result_.top_logprobs.insert(result_.top_logprobs.end(), job.top.begin(), job.top.end());
    if (job.score >= 0) {
      result_.prompt_logprobs[static_cast<size_t>(job.score)] = job.logprob;
      continue;
    }
    result_.tokens[static_cast<size_t>(job.sample)] = job.token;
    if (job.token.outcome != executor::SampleOutcome::kNotFinite)
      slots_.append(batch.samples[static_cast<size_t>(job.sample)].slot, job.token.token);
  }
}

executor::Report CpuExecutor::report() const {
  const auto mib = [](int64_t bytes) {
    return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1048576);
  };
  return {{"back-end", "cpu"},
          {"instruction set", std::string(name_of(options_.isa))},
          {"threads", std::to_string(threads_.size())},
          {"arithmetic", std::string(common::name_of(options_.arithmetic))},
          {"weights", fmt::format("{} mapped, {} copied{}", mib(weights_->mapped_bytes()),
                                  mib(weights_->copied_bytes()), options_.ranks ? ", by all ranks" : "")},
          {"KV blocks", fmt::format("{} of {} tokens in {}, {}", limits_.block_count, limits_.block_tokens,
                                    model::name_of(options_.kv_dtype), mib(kv_.bytes()))},
          {"bytes read by the last step", std::to_string(forward_.bytes_read())},
          {"activations", mib(forward_.buffer_bytes() + logits_.bytes())}};
}

}  // namespace minimax::backend::cpu
