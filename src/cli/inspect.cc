// `minimax inspect MODEL`: what a checkpoint is and the memory it needs.

#include "model/inspect.h"

#include <cstdio>

#include "base/error.h"
#include "cli/kv_dtype.h"
#include "cli/model_location.h"
#include "cli/verbs.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kPlan = "Memory plan";
constexpr std::string_view kModel = "Model";
constexpr FlagKind kDone = FlagKind::kDone;
constexpr Flag kFlags[] = {
    {"--tensor-parallel-size", "-tp", kPlan, kDone, "N", "1", "ranks that share every layer"},
    {"--data-parallel-size", "-dp", kPlan, kDone, "N", "1", "replicas"},
    {"--enable-expert-parallel", "", kPlan, kDone, "", "off", "whole experts per rank instead of slices",
     true},
    {"--device-memory", "", kPlan, kDone, "BYTES", "", "memory of one device (80g, 80G); says what fits"},
    {"--gpu-memory-utilization", "", kPlan, kDone, "X", "0.9", "the part of it that may be used"},
    {"--reserve", "", kPlan, kDone, "BYTES", "0", "kept free for activations"},
    {"--block-size", "", kPlan, kDone, "N", "16", "tokens of a KV block"},
    {"--kv-cache-dtype", "", kPlan, kDone, "DTYPE", "bfloat16", "bfloat16 or fp8"},
    {"--json", "", kModel, kDone, "", "off", "the report as JSON"},
    {"--revision", "", kModel, kDone, "REV", "main", "of a hub model"},
};
constexpr Verb kVerb{"inspect", "MODEL",
                     "Reports architecture, parameters, bytes, and the memory plan of a parallel layout.",
                     kFlags, 1};

}  // namespace

const Verb& inspect_verb() {
  return kVerb;
}

int run_inspect(const Words& words, const Environment& environment) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  if (args.positionals().empty()) throw UsageError("which model? Give a directory, a hub name, or tiny");
  model::InspectOptions options;
  options.layout.tp = static_cast<int32_t>(args.integer("--tensor-parallel-size", 1, 1024).value_or(1));
  options.layout.dp = static_cast<int32_t>(args.integer("--data-parallel-size", 1, 1024).value_or(1));
  if (args.on("--enable-expert-parallel")) options.layout.ep = options.layout.ranks();
  options.device_bytes = static_cast<uint64_t>(args.integer("--device-memory", 1, INT64_MAX).value_or(0));
  options.utilisation = args.number("--gpu-memory-utilization", 0.01, 1).value_or(options.utilisation);
  options.reserve_bytes = static_cast<uint64_t>(args.integer("--reserve", 0, INT64_MAX).value_or(0));
  options.block_tokens = static_cast<int32_t>(args.integer("--block-size", 1, 1024).value_or(16));
  options.kv_dtype = kv_dtype_of(args);
  options.json = args.on("--json");
  const std::string report = model::inspect(
      locate_model(args.positionals().front(), args.text("--revision").value_or("main"), "", environment),
      options);
  std::fwrite(report.data(), 1, report.size(), stdout);
  return 0;
}

}  // namespace minimax::cli
