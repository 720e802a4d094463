// engine_sim [--steps N] [--seed S] [--world STEPS]: the simulation of src/engine/simulation.h at any length.

#include <cstdio>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "engine/simulation.h"

int main(int argc, char** argv) {
  int64_t steps = 1'000'000, world = 500;
  uint64_t seed = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--steps") steps = std::atoll(argv[i + 1]);
    if (flag == "--world") world = std::atoll(argv[i + 1]);
    if (flag == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
  }
  const bool replay = seed != 0;
  minimax::engine::SimulationReport sum;
  for (uint64_t s = replay ? seed : 1; sum.steps < steps; ++s) {
    const auto report = minimax::engine::simulate(s, world);
    sum.steps += report.steps;
    sum.requests += report.requests;
    sum.preemptions += report.preemptions;
    sum.cancelled += report.cancelled;
    if (!report.violation.empty()) {
      fmt::print("seed {}: {}\n", s, report.violation);
      return 1;
    }
    if (replay) break;
  }
  fmt::print("{} steps, {} requests, {} preemptions, {} cancelled: no violation\n", sum.steps, sum.requests,
             sum.preemptions, sum.cancelled);
  return 0;
}
