// `minimax bench serve`: any OpenAI-compatible server, measured as the peer's client measures it.

#include <cstdio>

#include <fmt/format.h>

#include "cli/bench.h"
#include "cli/bench_run.h"
#include "cli/bench_serve_flags.h"

namespace minimax::cli {

const Verb& bench_serve_verb() {
  static const Verb verb{"bench serve", "",
                         "Measures an OpenAI-compatible server: throughput, TTFT, TPOT, ITL.",
                         bench_serve_flags(), 0};
  return verb;
}

int run_bench_serve(const Words& words, const Environment& environment) {
  const Verb& verb = bench_serve_verb();
  const Args args = parse_args(verb, words);
  if (print_help(verb, args)) return 0;
  for (const std::string& note : args.notes()) fmt::print(stderr, "{}\n", note);
  const BenchServeOptions wanted = bench_serve_options(args, environment);
  if (wanted.save) check_result_place(wanted);
  ServeBench bench(wanted, environment);
  const BenchServeOptions& options = bench.options();
  const ServeBench::Outcome outcome = bench.run(options.concurrency_max, options.arrivals);
  if (outcome.measured) fmt::print("{}", bench::result_table(outcome.result));
  std::fflush(stdout);
  const int code = ServeBench::report(outcome);
  if (options.save && outcome.measured) save_result(options, outcome.result);
  return code;
}

}  // namespace minimax::cli
