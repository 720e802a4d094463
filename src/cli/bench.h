#pragma once
// The benchmarks: `minimax bench NAME ...`.

#include "cli/verbs.h"

namespace minimax::cli {

int run_bench_step(const Words& words, const Environment& environment);
int run_bench_serve(const Words& words, const Environment& environment);
int run_bench_sweep(const Words& words, const Environment& environment);
int run_bench_throughput(const Words& words, const Environment& environment);
int run_bench_frontend(const Words& words, const Environment& environment);
int run_bench_latency(const Words& words, const Environment& environment);

const Verb& bench_step_verb();
const Verb& bench_serve_verb();
const Verb& bench_sweep_verb();
const Verb& bench_throughput_verb();
const Verb& bench_latency_verb();
const Verb& bench_frontend_verb();

// In the order of --help. VerbEntry::name is the word behind `bench`.
std::span<const VerbEntry> all_benchmarks();

}  // namespace minimax::cli
