// `minimax bench throughput` and `minimax bench latency`: the engine without HTTP, as the peer's verbs of
// these names measure it.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <random>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "bench/client/datasets.h"
#include "bench/client/metrics.h"
#include "bench/offline/offline.h"
#include "cli/bench.h"
#include "cli/bench_options.h"
#include "cli/bench_serve_flags.h"
#include "cli/model_location.h"
#include "cli/serve_flags.h"
#include "cli/wire.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kWhat = "What is timed";
constexpr std::string_view kOutput = "Output";
constexpr std::string_view kNever = "Not offered";
constexpr FlagKind kDone = FlagKind::kDone;
constexpr int64_t kTokensMax = 1 << 24;

constexpr Flag kLatencyFlags[] = {
    {"--input-len", "", kWhat, kDone, "N", "32", "tokens of a prompt"},
    {"--output-len", "", kWhat, kDone, "N", "128", "tokens of an answer"},
    {"--batch-size", "", kWhat, kDone, "N", "8", "requests at once"},
    {"--n", "", kWhat, FlagKind::kRefused, "N", "", "one answer a prompt is timed; raise --batch-size"},
    {"--num-iters-warmup", "", kWhat, kDone, "N", "10", "runs before, not counted"},
    {"--num-iters", "", kWhat, kDone, "N", "30", "runs timed"},
    {"--use-beam-search", "", kNever, FlagKind::kRefused, "", "", "the engine has no beam search"},
    {"--disable-detokenize", "", kNever, FlagKind::kAccepted, "", "", "tokens are timed, not text"},
    {"--profile", "", kNever, FlagKind::kRefused, "", "", "there is no profiler to start; use perf"},
    {"--output-json", "", kOutput, kDone, "FILE", "", "write the times as JSON"},
};
constexpr Flag kThroughputFlags[] = {
    {"--num-prompts", "", kWhat, kDone, "N", "1000", "requests, all at once"},
    {"--output-json", "", kOutput, kDone, "FILE", "", "write the result as JSON"},
    {"--n", "", kNever, FlagKind::kRefused, "N", "", "one answer a prompt is timed; raise --num-prompts"},
    {"--async-engine", "", kNever, FlagKind::kAccepted, "", "", "the engine is always driven that way"},
    {"--disable-frontend-multiprocessing", "", kNever, FlagKind::kAccepted, "", "", "there is one process"},
    {"--disable-detokenize", "", kNever, FlagKind::kAccepted, "", "", "tokens are timed, not text"},
    {"--profile", "", kNever, FlagKind::kRefused, "", "", "there is no profiler to start; use perf"},
    {"--lora-path", "", kNever, FlagKind::kRefused, "PATH", "", "the family is served without adapters"},
    {"--prefix-len", "", kNever, FlagKind::kRefused, "N", "", "give --random-prefix-len"},
};

// The own flags, and those of serve that say what the engine runs on.
std::vector<Flag> with_engine_flags(std::span<const Flag> own) {
  std::vector<Flag> all(own.begin(), own.end());
  for (const Flag& flag : serve_verb().flags) {
    const bool of_server = flag.group == "Server" || flag.group == "Tools and thinking" ||
                           flag.group == "Logs" || flag.group == "Not offered";
    if (!of_server) all.push_back(flag);
  }
  return all;
}

void write_json(const Args& args, const Json& json) {
  const std::optional<std::string> path = args.text("--output-json");
  if (!path) return;
  std::ofstream file(*path, std::ios::binary);
  file << to_string(json, {", ", ": ", 4}) << "\n";
  file.close();
  if (!file) throw Error("{}: cannot be written", *path);
}

// The engine as serve would run it, its queue as long as the load; the prefix cache is off unless asked for,
// as in the peer's benchmarks.
ServeOptions engine_options(const Args& args, const Environment& environment, int64_t requests) {
  log::set_level(log::Level::kWarning);
  ServeOptions options = serve_options(args, environment);
  options.waiting_max = static_cast<int32_t>(std::max<int64_t>(requests, options.waiting_max));
  options.prefix_caching = args.on("--enable-prefix-caching", false);
  return options;
}

bench::OfflineRun checked(bench::OfflineRun run) {
  if (run.failed > 0) throw Error("{} request(s) failed: {}", run.failed, run.error);
  return run;
}

}  // namespace

const Verb& bench_latency_verb() {
  static const std::vector<Flag> flags = with_engine_flags(kLatencyFlags);
  static const Verb verb{"bench latency", "MODEL",
                         "Times one batch of requests through the engine, without HTTP.", flags, 1};
  return verb;
}

const Verb& bench_throughput_verb() {
  static const std::vector<Flag> flags = [] {
    std::vector<Flag> own(std::begin(kThroughputFlags), std::end(kThroughputFlags));
    for (const Flag& flag : bench_serve_flags()) {
      const bool of_engine = flag.name == "--seed" || flag.name == "--skip-chat-template";
      if (flag.group == "Dataset" && !of_engine) own.push_back(flag);
    }
    return with_engine_flags(own);
  }();
  static const Verb verb{"bench throughput", "MODEL",
                         "Times many requests through the engine at once, without HTTP.", flags, 1};
  return verb;
}

int run_bench_latency(const Words& words, const Environment& environment) {
  const Verb& verb = bench_latency_verb();
  const Args args = parse_args(verb, words);
  if (print_help(verb, args)) return 0;
  const int64_t input = args.integer("--input-len", 1, kTokensMax).value_or(32);
  const int64_t output = args.integer("--output-len", 1, kTokensMax).value_or(128);
  const int64_t batch = args.integer("--batch-size", 1, 65536).value_or(8);
  const int64_t warmups = args.integer("--num-iters-warmup", 0, 1 << 20).value_or(10);
  const int64_t iterations = args.integer("--num-iters", 1, 1 << 20).value_or(30);
  const ServeOptions options = engine_options(args, environment, batch);
  ServedModel model(options, environment);
  std::mt19937_64 random(options.seed);
  std::uniform_int_distribution<int32_t> any(0, model.engine().limits().vocab_size - 1);
  std::vector<std::vector<engine::TokenId>> prompts(static_cast<size_t>(batch));
  for (auto& prompt : prompts) {
    for (int64_t i = 0; i < input; ++i) prompt.push_back(any(random));
  }
  const std::vector<int64_t> lengths(prompts.size(), output);
  std::vector<double> latencies;
  for (int64_t i = 0; i < warmups + iterations; ++i) {
    const bench::OfflineRun run =
        checked(bench::run_offline(model.engine(), bench::offline_requests(prompts, lengths)));
    if (i >= warmups) latencies.push_back(run.seconds);
  }
  const std::vector<double> wanted = {10, 25, 50, 75, 90, 99};
  const bench::Summary summary = bench::summarise(latencies, wanted);
  fmt::print("Avg latency: {} seconds\n", summary.mean);
  Json percentiles = Json::object();
  for (size_t i = 0; i < wanted.size(); ++i) {
    fmt::print("{}% percentile latency: {} seconds\n", wanted[i], summary.percentiles[i]);
    percentiles.set(fmt::format("{}", wanted[i]), summary.percentiles[i]);
  }
  write_json(args, Json::object({{"avg_latency", summary.mean},
                                 {"latencies", Json(Json::Array(latencies.begin(), latencies.end()))},
                                 {"percentiles", std::move(percentiles)}}));
  return 0;
}

int run_bench_throughput(const Words& words, const Environment& environment) {
  const Verb& verb = bench_throughput_verb();
  const Args args = parse_args(verb, words);
  if (print_help(verb, args)) return 0;
  bench::DatasetOptions dataset;
  dataset_options(args, dataset);
  if (dataset.name == "agent") throw UsageError("--dataset-name agent needs a server: minimax bench serve");
  const ServeOptions options = engine_options(args, environment, dataset.num_prompts);
  dataset.seed = options.seed;
  const std::filesystem::path dir =
      options.tokenizer_dir.empty()
          ? locate_model(options.model, options.revision, options.download_dir, environment)
          : std::filesystem::path(options.tokenizer_dir);
  const auto text = bench::local_token_text(tokenizer::Tokenizer::load(dir), options.model);
  std::vector<std::vector<engine::TokenId>> prompts;
  std::vector<int64_t> lengths;
  for (const bench::Script& script : bench::make_scripts(dataset, text.get())) {
    prompts.push_back(text->encode(script.prompt));
    lengths.push_back(script.output_tokens);
  }
  ServedModel model(options, environment);
  const bench::OfflineRun run =
      checked(bench::run_offline(model.engine(), bench::offline_requests(prompts, lengths)));
  const auto requests = static_cast<double>(prompts.size());
  const int64_t total = run.prompt_tokens + run.output_tokens;
  fmt::print("Throughput: {:.2f} requests/s, {:.2f} total tokens/s, {:.2f} output tokens/s\n",
             requests / run.seconds, static_cast<double>(total) / run.seconds,
             static_cast<double>(run.output_tokens) / run.seconds);
  fmt::print("Total num prompt tokens:  {}\nTotal num output tokens:  {}\n", run.prompt_tokens,
             run.output_tokens);
  write_json(args, Json::object({{"elapsed_time", run.seconds},
                                 {"num_requests", static_cast<int64_t>(prompts.size())},
                                 {"total_num_tokens", total},
                                 {"requests_per_second", requests / run.seconds},
                                 {"tokens_per_second", static_cast<double>(total) / run.seconds}}));
  return 0;
}

}  // namespace minimax::cli
