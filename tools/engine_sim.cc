// engine_sim [--steps N] [--seed S] [--world STEPS]: the simulation of src/engine/simulation.h at any length.
// Worlds of STEPS steps each, with seeds 1, 2, 3, ... until N steps have run; with --seed, that world alone.

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include <fmt/format.h>

#include "engine/simulation.h"

namespace {

struct Arguments {
  int64_t steps = 1'000'000, world = 500;
  int64_t seed = 0;  // 0: from 1 on
};

bool read_arguments(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    int64_t* target = flag == "--steps"   ? &out.steps
                      : flag == "--world" ? &out.world
                      : flag == "--seed"  ? &out.seed
                                          : nullptr;
    if (target == nullptr || i + 1 == argc) return false;
    const std::string_view text = argv[i + 1];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *target);
    if (error != std::errc{} || end != text.data() + text.size() || *target < 1) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!read_arguments(argc, argv, arguments)) {
    fmt::print(stderr, "usage: engine_sim [--steps N] [--seed S] [--world STEPS], all above 0\n");
    return 2;
  }
  minimax::engine::tell_seed_on_abort();
  minimax::engine::SimulationReport sum;
  const bool replay = arguments.seed != 0;
  for (auto seed = static_cast<uint64_t>(replay ? arguments.seed : 1); sum.steps < arguments.steps; ++seed) {
    const auto report = minimax::engine::simulate(seed, arguments.world);
    if (!report.violation.empty()) {
      fmt::print("seed {}: {}\nreplay: engine_sim --seed {} --world {}\n", seed, report.violation, seed,
                 arguments.world);
      return 1;
    }
    sum.steps += report.steps;
    sum.requests += report.requests;
    sum.preemptions += report.preemptions;
    sum.cancelled += report.cancelled;
    sum.cached_tokens += report.cached_tokens;
    if (replay) break;
  }
  fmt::print("{} steps, {} requests, {} preemptions, {} cancelled, {} cached tokens: no violation\n",
             sum.steps, sum.requests, sum.preemptions, sum.cancelled, sum.cached_tokens);
  return 0;
}
