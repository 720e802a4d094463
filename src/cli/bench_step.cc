// `minimax bench step MODEL`: the executor alone against the speed of the memory.

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "base/error.h"
#include "bench/step.h"
#include "cli/bench.h"
#include "cli/kv_dtype.h"
#include "cli/model_location.h"
#include "cli/plan.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kWhat = "What is timed";
constexpr std::string_view kBackend = "Back-end";
constexpr std::string_view kOutput = "Output";
constexpr FlagKind kDone = FlagKind::kDone;
constexpr Flag kFlags[] = {
    {"--batch", "", kWhat, kDone, "N", "1 4 16", "sequences of a decode step", false, true},
    {"--context", "", kWhat, kDone, "N", "1024", "tokens each sequence has", false, true},
    {"--prefill", "", kWhat, kDone, "N", "256", "rows of a prefill step; 0: none", false, true},
    {"--steps", "", kWhat, kDone, "N", "20", "timed steps of each setting"},
    {"--backend", "", kBackend, kDone, "NAME", "cpu", "cpu, cuda or ref"},
    {"--threads", "", kBackend, kDone, "N", "all cores", "threads"},
    {"--cpu-isa", "", kBackend, kDone, "NAME", "best", "avx512, avx2 or scalar"},
    {"--linear-precision", "", kBackend, kDone, "NAME", "by checkpoint", "bf16, w8a16 or w8a8"},
    {"--kv-cache-dtype", "", kBackend, kDone, "DTYPE", "auto", "auto or bfloat16; fp8"},
    {"--results", "", kOutput, kDone, "FILE", "", "append JSON lines"},
    {"--commit", "", kOutput, kDone, "ID", "", "commit to name in the records"},
};
constexpr Verb kVerb{"bench step", "MODEL",
                     "Times decode and prefill steps of the executor alone, beside the speed of the memory.",
                     kFlags, 1};

std::vector<int32_t> counts(const Args& args, std::string_view name, std::vector<int32_t> otherwise) {
  const std::vector<std::string> texts = args.texts(name);
  if (texts.empty()) return otherwise;
  std::vector<int32_t> out;
  for (const std::string& text : texts) {
    const auto value = parse_count(text);
    if (!value || *value < 0 || *value > 1 << 24)
      throw UsageError("{} takes whole numbers, but got \"{}\"", name, text);
    if (*value > 0) out.push_back(static_cast<int32_t>(*value));
  }
  return out;
}

}  // namespace

const Verb& bench_step_verb() {
  return kVerb;
}

int run_bench_step(const Words& words, const Environment& environment) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  if (args.positionals().empty()) throw UsageError("which model? Give a directory, a hub name, or tiny");
  const std::string& name = args.positionals().front();
  const std::filesystem::path dir = locate_model(name, "main", "", environment);
  const model::ModelConfig config = model::load_config(dir);
  const model::Checkpoint checkpoint = model::Checkpoint::open(dir);
  const model::ModelView view = model::bind_tensors(checkpoint, config.shape);

  constexpr std::string_view kBackends[] = {"cpu", "cuda", "ref"};
  bench::StepBenchOptions options;
  options.executor.name = args.choice("--backend", kBackends).value_or("cpu");
  options.executor.threads = static_cast<int32_t>(args.integer("--threads", 1, 1024).value_or(0));
  options.executor.isa = args.text("--cpu-isa").value_or("");
  options.executor.arithmetic = args.text("--linear-precision").value_or("");
  options.executor.kv_dtype = kv_dtype_of(args);
  options.batches = counts(args, "--batch", options.batches);
  options.steps = static_cast<int32_t>(args.integer("--steps", 1, 100000).value_or(options.steps));
  // The defaults give way to a model of few positions.
  const int32_t positions = config.shape.context_tokens_max;
  options.contexts = {std::clamp(positions - options.warmups - options.steps - 1, 1, options.contexts[0])};
  options.prefills = {std::min(positions, options.prefills[0])};
  options.contexts = counts(args, "--context", options.contexts);
  options.prefills = counts(args, "--prefill", options.prefills);
  if (options.executor.name != "cuda") options.memory_bytes_max = read_machine().memory_available_bytes;
  options.model_name = name;
  options.results = args.text("--results").value_or("");
  options.commit = args.text("--commit").value_or("");
  bench::run_step_bench(view, options, [](const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  });
  return 0;
}

}  // namespace minimax::cli
