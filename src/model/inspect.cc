#include "model/inspect.h"

#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "model/checkpoint.h"
#include "model/tensors.h"

namespace minimax::model {

namespace fs = std::filesystem;

namespace {

constexpr size_t kDTypes = 4;

// What is stored: counted in the checkpoint, or by the table where there are no weights.
struct Stored {
  bool weights_present = false;
  size_t files = 0;
  int64_t tensors = 0;
  uint64_t bytes = 0;
  uint64_t skipped_bytes = 0;  // of tensors that are not used (multi-token prediction)
  std::array<uint64_t, kDTypes> by_dtype = {};
  BytesByRole by_role = {};
};

bool has_weights(const fs::path& model_dir) {
  return fs::exists(model_dir / "model.safetensors") ||
         fs::exists(model_dir / "model.safetensors.index.json");
}

Stored count_stored(const fs::path& model_dir, const ModelShape& shape) {
  Stored stored;
  const auto add = [&](const TensorSpec& spec, DType dtype, uint64_t bytes) {
    ++stored.tensors;
    stored.bytes += bytes;
    stored.by_dtype[static_cast<size_t>(dtype)] += bytes;
    stored.by_role[static_cast<size_t>(spec.role)] += bytes;
  };
  const auto table = tensor_table(shape);
  if (!has_weights(model_dir)) {
    for (const TensorSpec& spec : table) {
      uint64_t bytes = bytes_of(spec.dtype);
      for (const int64_t dim : spec.shape) bytes *= static_cast<uint64_t>(dim);
      add(spec, spec.dtype, bytes);
    }
    return stored;
  }
  const Checkpoint checkpoint = Checkpoint::open(model_dir);
  (void)bind_tensors(checkpoint, shape);  // for what it refuses
  stored.weights_present = true;
  stored.files = checkpoint.files().size();
  for (const TensorSpec& spec : table) {
    const TensorView* view = checkpoint.find(spec.name);
    if (view != nullptr) add(spec, view->dtype, view->bytes);  // an unquantised linear has no scales
  }
  stored.skipped_bytes = checkpoint.total_bytes() - stored.bytes;
  return stored;
}

struct Report {
  std::string model;
  ModelConfig config;
  ParameterCount parameters;
  Stored stored;
  InspectOptions options;
  MemoryPlan plan;
};

std::string human_count(int64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.2f} M", value / 1e6);
  return fmt::format("{}", count);
}

std::string quantisation(const ModelShape& shape) {
  if (shape.fp8_block_rows == 0) return "none";
  return fmt::format("fp8 e4m3, blocks of {} x {}", shape.fp8_block_rows, shape.fp8_block_cols);
}

void append_architecture(std::string& out, const Report& report) {
  const ModelShape& shape = report.config.shape;
  const auto line = [&](std::string_view name, const std::string& value) {
    out += fmt::format("  {:<14}{}\n", name, value);
  };
  out += fmt::format("{}\n\nArchitecture ({})\n", report.model, report.config.model_type);
  line("layers", fmt::format("{}, hidden {}", shape.layers, shape.hidden));
  line("attention",
       fmt::format("{} query and {} KV heads of {}, {} dimensions rotated, theta {}", shape.q_heads,
                   shape.kv_heads, shape.head_dim, shape.rotary_dim, shape.rope_theta));
  line("experts", fmt::format("{} of width {}, {} a token, {}", shape.experts, shape.expert_width,
                              shape.experts_per_token,
                              shape.routing_bias ? "selected with a bias" : "selected without a bias"));
  line("vocabulary", fmt::format("{} rows{}", shape.vocab_rows, shape.tied_embeddings ? ", tied" : ""));
  line("context", fmt::format("{} tokens", shape.context_tokens_max));
  line("quantisation", quantisation(shape));
  line("parameters", fmt::format("{} total, {} active a token", human_count(report.parameters.total),
                                 human_count(report.parameters.active)));
}

void append_stored(std::string& out, const Stored& stored) {
  if (stored.weights_present) {
    out += fmt::format("\nCheckpoint: {} in {} tensors, {} file(s)\n", human_bytes(stored.bytes),
                       stored.tensors, stored.files);
  } else {
    out += fmt::format("\nNo weights in this folder. As published they would be {} in {} tensors\n",
                       human_bytes(stored.bytes), stored.tensors);
  }
  for (size_t role = 0; role < kRoles; ++role) {
    if (stored.by_role[role] > 0)
      out += fmt::format("  {:<14}{}\n", name_of(static_cast<Role>(role)), human_bytes(stored.by_role[role]));
  }
  for (size_t dtype = 0; dtype < kDTypes; ++dtype) {
    if (stored.by_dtype[dtype] > 0)
      out += fmt::format("  {:<14}{}\n", name_of(static_cast<DType>(dtype)),
                         human_bytes(stored.by_dtype[dtype]));
  }
  if (stored.skipped_bytes > 0)
    out += fmt::format("  {:<14}{}\n", "not used", human_bytes(stored.skipped_bytes));
}

void append_plan(std::string& out, const Report& report) {
  const InspectOptions& options = report.options;
  const MemoryPlan& plan = report.plan;
  out += fmt::format("\nMemory of one device, tensor parallel {}, data parallel {}, expert parallel {}\n",
                     options.layout.tp, options.layout.dp, options.layout.ep);
  const auto line = [&](std::string_view name, const std::string& value) {
    out += fmt::format("  {:<14}{}\n", name, value);
  };
  line("weights", human_bytes(plan.rank_weight_bytes));
  for (size_t role = 0; role < kRoles; ++role) {
    if (plan.rank_weights[role] > 0)
      out += fmt::format("    {:<12}{}\n", name_of(static_cast<Role>(role)),
                         human_bytes(plan.rank_weights[role]));
  }
  for (const RankShare& share : plan.ranks)
    if (plan.ranks.size() > 1) out += fmt::format("  {}\n", to_text(share, options.layout));
  line("KV", fmt::format("{} bytes a token, {} a block of {} tokens", plan.kv_token_bytes,
                         human_bytes(plan.kv_block_bytes), options.block_tokens));
  if (options.device_bytes == 0) {
    line("tokens", "give the memory of a device to see how many fit");
    return;
  }
  line("usable", fmt::format("{} of {} (utilisation {})",
                             human_bytes(static_cast<uint64_t>(static_cast<double>(options.device_bytes) *
                                                               options.utilisation)),
                             human_bytes(options.device_bytes), options.utilisation));
  if (options.reserve_bytes > 0) line("reserve", human_bytes(options.reserve_bytes));
  if (plan.missing_bytes > 0) {
    line("tokens", fmt::format("none: {} too little for the weights",
                               human_bytes(static_cast<uint64_t>(plan.missing_bytes))));
    return;
  }
  line("KV pool", fmt::format("{}, {} blocks", human_bytes(plan.kv_bytes), plan.blocks));
  line("tokens", fmt::format("{} a replica, {:.2f} times the longest context", plan.tokens,
                             static_cast<double>(plan.tokens) / report.config.shape.context_tokens_max));
}

Json json_of(const BytesByRole& bytes) {
  Json out = Json::object();
  for (size_t role = 0; role < kRoles; ++role) out.set(name_of(static_cast<Role>(role)), bytes[role]);
  return out;
}

Json json_of(const Range& range) {
  Json out = Json::array();
  out.push_back(range.begin);
  out.push_back(range.end);
  return out;
}

Json json_of(const std::vector<RankShare>& ranks) {
  Json out = Json::array();
  for (const RankShare& share : ranks) {
    out.push_back(Json::object({{"rank", share.rank},
                                {"replica", share.replica},
                                {"q_heads", json_of(share.q_heads)},
                                {"kv_heads", json_of(share.kv_heads)},
                                {"experts", json_of(share.experts)},
                                {"expert_width", json_of(share.expert_width)},
                                {"vocab_rows", json_of(share.vocab_rows)},
                                {"weight_bytes", share.weight_bytes}}));
  }
  return out;
}

Json json_of(const Stored& stored) {
  Json by_dtype = Json::object();
  for (size_t dtype = 0; dtype < kDTypes; ++dtype)
    by_dtype.set(name_of(static_cast<DType>(dtype)), stored.by_dtype[dtype]);
  return Json::object({{"weights_present", stored.weights_present},
                       {"files", uint64_t{stored.files}},
                       {"tensors", stored.tensors},
                       {"bytes", stored.bytes},
                       {"unused_bytes", stored.skipped_bytes},
                       {"bytes_by_role", json_of(stored.by_role)},
                       {"bytes_by_dtype", std::move(by_dtype)}});
}

Json json_of(const Report& report) {
  const ModelShape& shape = report.config.shape;
  const InspectOptions& options = report.options;
  const MemoryPlan& plan = report.plan;
  const Json architecture = Json::object({{"model_type", report.config.model_type},
                                          {"layers", shape.layers},
                                          {"hidden", shape.hidden},
                                          {"q_heads", shape.q_heads},
                                          {"kv_heads", shape.kv_heads},
                                          {"head_dim", shape.head_dim},
                                          {"rotary_dim", shape.rotary_dim},
                                          {"rope_theta", shape.rope_theta},
                                          {"experts", shape.experts},
                                          {"experts_per_token", shape.experts_per_token},
                                          {"expert_width", shape.expert_width},
                                          {"vocab_rows", shape.vocab_rows},
                                          {"context_tokens_max", shape.context_tokens_max},
                                          {"tied_embeddings", shape.tied_embeddings},
                                          {"fp8_block_rows", shape.fp8_block_rows},
                                          {"fp8_block_cols", shape.fp8_block_cols}});
  Json memory = Json::object({{"tensor_parallel_size", options.layout.tp},
                              {"data_parallel_size", options.layout.dp},
                              {"expert_parallel_size", options.layout.ep},
                              {"ranks", json_of(plan.ranks)},
                              {"rank_weight_bytes", plan.rank_weight_bytes},
                              {"rank_weight_bytes_by_role", json_of(plan.rank_weights)},
                              {"kv_token_bytes", plan.kv_token_bytes},
                              {"kv_block_bytes", plan.kv_block_bytes},
                              {"block_tokens", options.block_tokens}});
  if (options.device_bytes > 0) {
    memory.set("device_bytes", options.device_bytes);
    memory.set("utilisation", options.utilisation);
    memory.set("reserve_bytes", options.reserve_bytes);
    memory.set("missing_bytes", plan.missing_bytes);
    memory.set("kv_bytes", plan.kv_bytes);
    memory.set("blocks", plan.blocks);
    memory.set("tokens", plan.tokens);
  }
  return Json::object({{"model", report.model},
                       {"architecture", architecture},
                       {"parameters", Json::object({{"total", report.parameters.total},
                                                    {"active", report.parameters.active}})},
                       {"checkpoint", json_of(report.stored)},
                       {"memory", std::move(memory)}});
}

}  // namespace

std::string inspect(const fs::path& model_dir, const InspectOptions& options) {
  Report report;
  report.model = model_dir.string();
  report.config = load_config(model_dir);
  const ModelShape& shape = report.config.shape;
  report.parameters = count_parameters(shape);
  report.stored = count_stored(model_dir, shape);
  report.options = options;
  report.plan = plan_memory({.shape = shape,
                             .layout = options.layout,
                             .kv_dtype = options.kv_dtype,
                             .block_tokens = options.block_tokens,
                             .device_bytes = options.device_bytes,
                             .utilisation = options.utilisation,
                             .reserve_bytes = options.reserve_bytes});
  std::string out;
  if (options.json) {
    append_json(out, json_of(report), {",", ": ", 2});
    out += '\n';
    return out;
  }
  append_architecture(out, report);
  append_stored(out, report.stored);
  append_plan(out, report);
  return out;
}

}  // namespace minimax::model
