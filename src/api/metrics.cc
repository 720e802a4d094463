#include "api/metrics.h"

#include <array>
#include <atomic>

#include "api/histogram.h"
#include "api/metrics_text.h"

namespace minimax::api {
namespace {

constexpr std::array<std::string_view, 4> kReasons{"stop", "length", "abort", "error"};

using Edges = std::vector<double>;

Edges first_token_edges() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
          1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
}

// The peer's edges begin at 10 ms; those below are ours.
Edges token_gap_edges() {
  return {.0005, .001, .0015, .002, .003, .004, .005, .006, .008, .01, .025, .05, .075, .1,
          .15,   .2,   .3,    .4,   .5,   .75,  1,    2.5,  5,    7.5, 10,   20,  40,   80};
}

Edges latency_edges() {
  return {.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
}

Edges step_edges() {
  Edges edges{1};
  for (int64_t rows = 8; rows <= 16384; rows *= 2) edges.push_back(static_cast<double>(rows));
  return edges;
}

double seconds(int64_t us) {
  return static_cast<double>(us) / 1e6;
}

void append_ranks(MetricsText& text, const std::vector<RankBytes>& ranks) {
  std::vector<std::pair<std::string, double>> weights, caches;
  for (size_t i = 0; i < ranks.size(); ++i) {
    weights.emplace_back(std::to_string(i), static_cast<double>(ranks[i].weights));
    caches.emplace_back(std::to_string(i), static_cast<double>(ranks[i].kv_cache));
  }
  if (ranks.empty()) return;
  text.gauge("minimax:rank_weight_bytes", "Bytes of weights, by rank of a replica.", "rank", weights);
  text.gauge("minimax:rank_kv_cache_bytes", "Bytes of the KV cache, by rank of a replica.", "rank", caches);
}

// Of a server with data parallel replicas, each by its number.
void append_replicas(MetricsText& text, const engine::Stats& stats) {
  if (stats.replicas.empty()) return;
  using Values = std::vector<std::pair<std::string, double>>;
  const auto of_each = [&](auto value) {
    Values values;
    for (size_t i = 0; i < stats.replicas.size(); ++i)
      values.emplace_back(std::to_string(i), static_cast<double>(value(stats.replicas[i])));
    return values;
  };
  using Own = const engine::Stats&;
  text.gauge("minimax:replica_requests_running", "Sequences that run, by replica.", "replica",
             of_each([](Own own) { return own.requests_running; }));
  text.gauge("minimax:replica_requests_waiting", "Requests that wait, by replica.", "replica",
             of_each([](Own own) { return own.requests_waiting; }));
  text.gauge("minimax:replica_kv_cache_usage", "KV-cache usage, by replica. 1 means 100 percent.", "replica",
             of_each([](Own own) { return own.kv_cache_usage; }));
  text.counter("minimax:replica_prefix_cache_hits", "Prompt tokens found in the prefix cache, by replica.",
               "replica", of_each([](Own own) { return own.prefix_hits; }));
  text.counter("minimax:replica_prompt_tokens", "Prompt tokens computed or cached, by replica.", "replica",
               of_each([](Own own) { return own.prompt_tokens; }));
  text.counter("minimax:replica_generation_tokens", "Generation tokens, by replica.", "replica",
               of_each([](Own own) { return own.generation_tokens; }));
  text.counter("minimax:requests_routed", "Requests by what chose their replica.", "by",
               Values{{"prefix", static_cast<double>(stats.routed_by_prefix)},
                      {"load", static_cast<double>(stats.routed_by_load)}});
}

}  // namespace

struct Metrics::Impl {
  explicit Impl(const MetricsOptions& given) : options(given) {}

  MetricsOptions options;
  std::array<std::atomic<uint64_t>, kReasons.size()> finished{};
  std::atomic<uint64_t> tool_parses{0}, tool_calls{0}, prompt_tokens_cached{0};

  Histogram step_rows{step_edges()};
  Histogram prompt_tokens{one_two_five(options.context_tokens_max)};
  Histogram generation_tokens{one_two_five(options.context_tokens_max)};
  Histogram longest_sample_tokens{one_two_five(options.context_tokens_max)};
  Histogram computed_prompt_tokens{one_two_five(options.context_tokens_max)};
  Histogram params_n{{1, 2, 5, 10, 20}};
  Histogram params_max_tokens{one_two_five(options.context_tokens_max)};
  Histogram first_token{first_token_edges()};
  Histogram token_gap{token_gap_edges()};
  Histogram time_per_token{token_gap_edges()};
  Histogram e2e{latency_edges()};
  Histogram queue{latency_edges()};
  Histogram inference{latency_edges()};
  Histogram prefill{latency_edges()};
  Histogram decode{latency_edges()};
};

Metrics::Metrics(const MetricsOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Metrics::~Metrics() = default;

void Metrics::on_step(int64_t rows) {
  impl_->step_rows.observe(static_cast<double>(rows));
}

void Metrics::on_first_token(int64_t since_arrival_us) {
  impl_->first_token.observe(seconds(since_arrival_us));
}

void Metrics::on_next_token(int64_t since_previous_us) {
  impl_->token_gap.observe(seconds(since_previous_us));
}

void Metrics::on_finished(const engine::RequestTimes& times) {
  impl_->prompt_tokens.observe(static_cast<double>(times.prompt_tokens));
  impl_->generation_tokens.observe(static_cast<double>(times.generation_tokens));
  impl_->longest_sample_tokens.observe(static_cast<double>(times.longest_sample_tokens));
  impl_->computed_prompt_tokens.observe(static_cast<double>(times.prompt_tokens - times.cached_tokens));
  impl_->prompt_tokens_cached += static_cast<uint64_t>(times.cached_tokens);
  // A request that was cancelled early has not come to all of these points.
  if (times.scheduled_us == 0) return;
  impl_->queue.observe(seconds(times.scheduled_us - times.arrival_us));
  if (times.first_token_us == 0) return;
  impl_->prefill.observe(seconds(times.first_token_us - times.scheduled_us));
  if (times.last_token_us == 0) return;
  impl_->e2e.observe(seconds(times.last_token_us - times.arrival_us));
  impl_->inference.observe(seconds(times.last_token_us - times.scheduled_us));
  impl_->decode.observe(seconds(times.last_token_us - times.first_token_us));
  if (times.generation_tokens > 1) {
    impl_->time_per_token.observe(seconds(times.last_token_us - times.first_token_us) /
                                  static_cast<double>(times.generation_tokens - 1));
  }
}

void Metrics::on_request(int64_t n, int64_t max_tokens) {
  impl_->params_n.observe(static_cast<double>(n));
  impl_->params_max_tokens.observe(static_cast<double>(max_tokens));
}

void Metrics::on_sample_finished(std::string_view reason) {
  for (size_t i = 0; i < kReasons.size(); ++i) {
    if (kReasons[i] == reason) ++impl_->finished[i];
  }
}

void Metrics::on_tool_parse(int64_t calls) {
  ++impl_->tool_parses;
  impl_->tool_calls += static_cast<uint64_t>(calls);
}

std::string Metrics::text(const engine::Stats& stats) const {
  const Impl& m = *impl_;
  MetricsText text({{"model_name", m.options.model_name}, {"engine", "0"}});
  const auto number = [](auto value) { return static_cast<double>(value); };
  text.gauge("vllm:num_requests_running", "Number of sequences in the running batch.",
             number(stats.requests_running));
  text.gauge("vllm:num_requests_waiting", "Number of requests waiting to be run.",
             number(stats.requests_waiting));
  // A sequence waits for a slot or for blocks; none is put off for another reason.
  text.gauge("vllm:num_requests_waiting_by_reason", "Number of requests waiting, by why they wait.", "reason",
             {{"capacity", number(stats.requests_waiting)}, {"deferred", 0}});
  text.info("vllm:cache_config_info", "Information of the KV cache.",
            {{"block_size", std::to_string(m.options.block_tokens)},
             {"cache_dtype", m.options.cache_dtype},
             {"num_gpu_blocks", std::to_string(m.options.block_count)},
             {"kv_cache_size_tokens", std::to_string(m.options.block_tokens * m.options.block_count)},
             {"enable_prefix_caching", m.options.prefix_caching ? "True" : "False"}});
  text.gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", stats.kv_cache_usage);
  text.counter("vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache.",
               number(stats.prefix_queries));
  text.counter("vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache.",
               number(stats.prefix_hits));
  text.counter("vllm:external_prefix_cache_queries",
               "Prompt tokens looked up in other servers' caches: none.", 0);
  text.counter("vllm:external_prefix_cache_hits", "Prompt tokens found in other servers' caches: none.", 0);
  text.counter("vllm:num_preemptions", "Cumulative number of preemptions from the engine.",
               number(stats.preemptions));
  text.counter("vllm:prompt_tokens", "Number of prefill tokens processed.", number(stats.prompt_tokens));
  text.counter("vllm:prompt_tokens_by_source", "Number of prompt tokens by where they came from.", "source",
               {{"local_compute", number(stats.prompt_tokens - stats.prefix_hits)},
                {"local_cache_hit", number(stats.prefix_hits)},
                {"external_kv_transfer", 0}});
  text.counter("vllm:prompt_tokens_cached",
               "Prompt tokens of finished requests that came from the prefix cache.",
               number(m.prompt_tokens_cached.load()));
  text.counter("vllm:generation_tokens", "Number of generation tokens processed.",
               number(stats.generation_tokens));
  text.counter("minimax:steps", "Steps of the executor.", number(stats.steps));
  append_replicas(text, stats);
  append_ranks(text, m.options.ranks);
  std::vector<std::pair<std::string, double>> finished;
  for (size_t i = 0; i < kReasons.size(); ++i)
    finished.emplace_back(kReasons[i], number(m.finished[i].load()));
  text.counter("vllm:request_success", "Count of processed samples by the reason of their end.",
               "finished_reason", finished);
  text.counter("vllm:tool_call_parser_invocations", "Answers read by the tool parser.",
               number(m.tool_parses.load()));
  text.counter("minimax:tool_calls", "Tool calls found in answers.", number(m.tool_calls.load()));
  text.histogram("vllm:iteration_tokens_total", "Histogram of number of tokens per engine step.",
                 m.step_rows);
  text.histogram("vllm:request_prompt_tokens", "Number of prefill tokens processed.", m.prompt_tokens);
  text.histogram("vllm:request_generation_tokens", "Number of generation tokens processed.",
                 m.generation_tokens);
  text.histogram("vllm:request_max_num_generation_tokens",
                 "Number of generation tokens of the longest sample of a request.", m.longest_sample_tokens);
  text.histogram("vllm:request_prefill_kv_computed_tokens", "Prompt tokens that were computed, not cached.",
                 m.computed_prompt_tokens);
  text.histogram("vllm:request_params_n", "The n request parameter.", m.params_n);
  text.histogram("vllm:request_params_max_tokens", "The max_tokens request parameter.", m.params_max_tokens);
  text.histogram("vllm:time_to_first_token_seconds", "Time to first token in seconds.", m.first_token);
  text.histogram("vllm:inter_token_latency_seconds", "Inter-token latency in seconds.", m.token_gap);
  text.histogram("vllm:request_time_per_output_token_seconds",
                 "Time per output token of a request in seconds.", m.time_per_token);
  text.histogram("vllm:e2e_request_latency_seconds", "End-to-end request latency in seconds.", m.e2e);
  text.histogram("vllm:request_queue_time_seconds", "Time in the waiting phase.", m.queue);
  text.histogram("vllm:request_inference_time_seconds", "Time in the running phase.", m.inference);
  text.histogram("vllm:request_prefill_time_seconds", "Time in the prefill phase.", m.prefill);
  text.histogram("vllm:request_decode_time_seconds", "Time in the decode phase.", m.decode);
  append_process_metrics(text);
  return text.take();
}

}  // namespace minimax::api
