// `minimax bench frontend`: what HTTP, sessions and parsers cost, without a model.

#include <cstdio>
#include <fstream>

#include <fmt/format.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/json.h"
#include "bench/frontend/byte_client.h"
#include "bench/frontend/frontend.h"
#include "cli/bench.h"
#include "cli/model_location.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kWhat = "What is timed";
constexpr std::string_view kOutput = "Output";
constexpr FlagKind kDone = FlagKind::kDone;
constexpr Flag kFlags[] = {
    {"--streams", "", kWhat, kDone, "N", "1 100 1000 5000", "streams at once", false, true},
    {"--answer-tokens", "", kWhat, kDone, "N", "128", "tokens of an answer: thinking, text, a tool call"},
    {"--requests", "", kWhat, kDone, "N", "200", "requests of a load, at least one a stream"},
    {"--step-us", "", kWhat, kDone, "N", "0", "time a step of the executor takes, slept"},
    {"--spread", "", kWhat, kDone, "", "off",
     "streams begin evenly over the time of an answer (with --step-us)"},
    {"--io-threads", "", kWhat, kDone, "N", "2", "threads of sockets, decoding and parsing"},
    {"--worker-threads", "", kWhat, kDone, "N", "2", "threads of request JSON, template and tokenizer"},
    {"--tokenizer", "", kWhat, kDone, "MODEL", "tiny", "whose tokenizer"},
    {"--output-json", "", kOutput, kDone, "FILE", "", "append the records, one JSON a line"},
};
constexpr Verb kVerb{"bench frontend", "",
                     "Server CPU a token, added time to first token and memory a stream, without a model.",
                     kFlags, 0};

Json json_of(const bench::FrontendRecord& record) {
  return Json::object({{"streams", record.streams},
                       {"requests", record.requests},
                       {"failed", record.failed},
                       {"tokens", record.tokens},
                       {"seconds", record.seconds},
                       {"cpu_us_per_token", record.cpu_us_per_token},
                       {"executor_cpu_us_per_token", record.executor_cpu_us_per_token},
                       {"client_ttft_ms", record.client_ttft_ms},
                       {"engine_ttft_ms", record.engine_ttft_ms},
                       {"added_ttft_ms", record.added_ttft_ms},
                       {"kib_per_stream", record.kib_per_stream}});
}

}  // namespace

const Verb& bench_frontend_verb() {
  return kVerb;
}

int run_bench_frontend(const Words& words, const Environment& environment) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  bench::FrontendOptions options;
  if (args.has("--streams")) options.streams.clear();
  for (const std::string& word : args.texts("--streams")) {
    const auto value = parse_count(word);
    if (!value || *value < 1 || *value > 60'000)
      throw UsageError("--streams takes whole numbers from 1 to 60000, but got \"{}\"", word);
    options.streams.push_back(static_cast<int32_t>(*value));
  }
  const auto integer = [&](std::string_view name, int64_t min, int64_t max, auto& out) {
    if (const auto value = args.integer(name, min, max))
      out = static_cast<std::decay_t<decltype(out)>>(*value);
  };
  integer("--answer-tokens", 1, 4096, options.answer_tokens);
  integer("--requests", 1, 10'000'000, options.requests_least);
  integer("--step-us", 0, 10'000'000, options.step_us);
  options.spread = args.on("--spread");
  if (options.spread && options.step_us == 0)
    throw UsageError("--spread spreads the streams over the time of an answer: it needs --step-us");
  integer("--io-threads", 1, 256, options.io_threads);
  integer("--worker-threads", 1, 256, options.worker_threads);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  bench::ByteClient client;  // before any thread
  auto tokenizer = tokenizer::Tokenizer::load(
      locate_model(args.text("--tokenizer").value_or(std::string(kTinyName)), "main", "", environment));
  fmt::print("{:>8} {:>9} {:>10} {:>10} {:>12} {:>12} {:>14} {:>12}\n", "streams", "requests", "tokens",
             "tok/s", "CPU us/tok", "executor", "added TTFT ms", "KiB/stream");
  std::string lines;
  int64_t failed = 0;
  bench::run_frontend_bench(options, std::move(tokenizer), client, [&](const bench::FrontendRecord& record) {
    fmt::print("{:>8} {:>9} {:>10} {:>10.0f} {:>12.2f} {:>12.2f} {:>14.2f} {:>12.1f}\n", record.streams,
               record.requests, record.tokens, static_cast<double>(record.tokens) / record.seconds,
               record.cpu_us_per_token, record.executor_cpu_us_per_token, record.added_ttft_ms,
               record.kib_per_stream);
    std::fflush(stdout);
    failed += record.failed;
    lines += to_string(json_of(record)) + "\n";
  });
  if (const auto path = args.text("--output-json")) {
    std::ofstream file(*path, std::ios::app | std::ios::binary);
    file << lines;
    file.close();
    if (!file) throw Error("{}: cannot be written", *path);
  }
  if (failed > 0) fmt::print(stderr, "{} request(s) failed\n", failed);
  return failed > 0 ? 1 : 0;
}

}  // namespace minimax::cli
