// `minimax bench NAME ...`: finds the benchmark.

#include "cli/bench.h"

#include <array>
#include <cstdio>

#include <fmt/format.h>

#include "base/error.h"

namespace minimax::cli {
namespace {

constexpr Verb kVerb{"bench", "NAME", "Benchmarks: of a server, of its parts, of the executor alone.", {}, 1};

std::string names() {
  std::string out;
  for (const VerbEntry& entry : all_benchmarks()) out += (out.empty() ? "" : ", ") + std::string(entry.name);
  return out;
}

}  // namespace

std::span<const VerbEntry> all_benchmarks() {
  static constexpr std::array<VerbEntry, 6> kBenchmarks{{
      {"serve", bench_serve_verb, run_bench_serve},
      {"sweep", bench_sweep_verb, run_bench_sweep},
      {"throughput", bench_throughput_verb, run_bench_throughput},
      {"latency", bench_latency_verb, run_bench_latency},
      {"frontend", bench_frontend_verb, run_bench_frontend},
      {"step", bench_step_verb, run_bench_step},
  }};
  return kBenchmarks;
}

const Verb& bench_verb() {
  return kVerb;
}

int run_bench(const Words& words, const Environment& environment) {
  if (words.empty()) throw UsageError("bench what? There are: {}", names());
  if (words.front() == "--help" || words.front() == "-h") {
    fmt::print("minimax bench NAME [flags]\n\n");
    for (const VerbEntry& entry : all_benchmarks()) {
      fmt::print("  {:<12}{}\n", entry.name, entry.table().summary);
    }
    fmt::print("\nminimax bench NAME --help lists the flags of a benchmark.\n");
    return 0;
  }
  std::vector<std::string> known;
  for (const VerbEntry& entry : all_benchmarks()) {
    if (words.front() == entry.name) return entry.run({words.begin() + 1, words.end()}, environment);
    known.emplace_back(entry.name);
  }
  const std::string near = nearest(words.front(), known);
  throw UsageError("there is no benchmark \"{}\"{}; there are: {}", words.front(),
                   near.empty() ? "" : " (did you mean " + near + "?)", names());
}

}  // namespace minimax::cli
