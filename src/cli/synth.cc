// `minimax synth DIR`: a random checkpoint of any shape in the published layout.

#include "model/synth.h"

#include <array>

#include <fmt/format.h>

#include "base/error.h"
#include "cli/progress.h"
#include "cli/verbs.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kShape = "Shape (default: the preset's)";
constexpr std::string_view kOutput = "Output";
constexpr FlagKind kDone = FlagKind::kDone;
constexpr Flag kFlags[] = {
    {"--preset", "", kShape, kDone, "NAME", "m2",
     "m2: MiniMax-M2 as published; small: the shape of the unit tests"},
    {"--layers", "", kShape, kDone, "N", "", "num_hidden_layers"},
    {"--hidden", "", kShape, kDone, "N", "", "hidden_size"},
    {"--q-heads", "", kShape, kDone, "N", "", "num_attention_heads"},
    {"--kv-heads", "", kShape, kDone, "N", "", "num_key_value_heads"},
    {"--head-dim", "", kShape, kDone, "N", "", "head_dim"},
    {"--rotary-dim", "", kShape, kDone, "N", "", "rotary_dim"},
    {"--experts", "", kShape, kDone, "N", "", "num_local_experts"},
    {"--experts-per-token", "", kShape, kDone, "N", "", "num_experts_per_tok"},
    {"--expert-width", "", kShape, kDone, "N", "", "intermediate_size"},
    {"--vocab", "", kShape, kDone, "N", "", "vocab_size"},
    {"--context", "", kShape, kDone, "N", "", "max_position_embeddings"},
    {"--weights", "", kShape, kDone, "DTYPE", "fp8", "fp8, in blocks of 128x128, or bf16"},
    {"--tensor-parallel-size", "-tp", kOutput, kDone, "N", "1",
     "write only one rank's share of a layout of N"},
    {"--rank", "", kOutput, kDone, "R", "0", "which rank"},
    {"--seed", "", kOutput, kDone, "N", "0", "the same seed gives the same files"},
    {"--file-size", "", kOutput, kDone, "BYTES", "5g", "largest shard"},
    {"--threads", "", kOutput, kDone, "N", "all cores", "threads that write"},
    {"--tokenizer", "", kOutput, kDone, "FILE", "", "tokenizer.json to copy beside the weights"},
};
constexpr Verb kVerb{
    "synth", "DIR",
    "Writes a random checkpoint in exactly the published layout. Streamed: its size does not need "
    "memory.",
    kFlags, 1};

model::ModelShape shape_of(const Args& args) {
  constexpr std::array<std::string_view, 2> kPresets{"m2", "small"};
  constexpr std::array<std::string_view, 2> kWeights{"fp8", "bf16"};
  model::ModelShape shape = args.choice("--preset", kPresets).value_or("m2") == "m2"
                                ? model::m2_shape()
                                : model::small_test_shape();
  const auto set = [&](std::string_view name, int32_t& field) {
    if (const auto value = args.integer(name, 1, 1 << 24)) field = static_cast<int32_t>(*value);
  };
  set("--layers", shape.layers);
  set("--hidden", shape.hidden);
  set("--q-heads", shape.q_heads);
  set("--kv-heads", shape.kv_heads);
  set("--head-dim", shape.head_dim);
  set("--rotary-dim", shape.rotary_dim);
  set("--experts", shape.experts);
  set("--experts-per-token", shape.experts_per_token);
  set("--expert-width", shape.expert_width);
  set("--vocab", shape.vocab_rows);
  set("--context", shape.context_tokens_max);
  if (args.choice("--weights", kWeights).value_or("fp8") == "bf16")
    shape.fp8_block_rows = shape.fp8_block_cols = 0;
  return shape;
}

}  // namespace

const Verb& synth_verb() {
  return kVerb;
}

int run_synth(const Words& words, const Environment&) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  if (args.positionals().empty()) throw UsageError("where to? Give a folder");
  model::SynthOptions options;
  options.shape = shape_of(args);
  if (options.shape.experts_per_token > options.shape.experts) {
    throw UsageError("--experts-per-token is {}, more than --experts, {}", options.shape.experts_per_token,
                     options.shape.experts);
  }
  options.seed = static_cast<uint64_t>(args.integer("--seed", 0, INT64_MAX).value_or(0));
  options.tp = static_cast<int32_t>(args.integer("--tensor-parallel-size", 1, 64).value_or(1));
  options.rank = static_cast<int32_t>(args.integer("--rank", 0, options.tp - 1).value_or(0));
  options.threads = static_cast<int32_t>(args.integer("--threads", 1, 1024).value_or(0));
  if (const auto bytes = args.integer("--file-size", 1 << 16, INT64_MAX)) {
    options.file_bytes_max = static_cast<uint64_t>(*bytes);
  }
  options.tokenizer_json = args.text("--tokenizer").value_or("");
  const std::string& dir = args.positionals().front();
  model::SynthReport report;
  {
    ProgressBar bar("writing");
    options.progress = [&](uint64_t done, uint64_t total) { bar.update(done, total); };
    report = model::synthesise(options, dir);
  }
  fmt::print("{}: {} tensors, {:.2f} GB in {} file(s)\n", dir, report.tensors,
             static_cast<double>(report.tensor_bytes) / 1e9, report.files);
  return 0;
}

}  // namespace minimax::cli
