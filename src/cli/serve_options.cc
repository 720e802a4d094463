#include "cli/serve_options.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"
#include "cli/kv_dtype.h"

namespace minimax::cli {
namespace {

using Choices = std::span<const std::string_view>;

Json json_object(const Args& args, std::string_view name) {
  const std::optional<std::string> text = args.text(name);
  if (!text) return {};
  const Result<Json> value = parse_json(*text);
  if (!value.ok()) throw UsageError("{} takes a JSON object: {}", name, value.failure().message);
  if (!value->is_object()) throw UsageError("{} takes a JSON object, but got {}", name, value->type_name());
  return *value;
}

// A JSON list of strings, as the peer takes them: '["https://a.example"]'.
void json_strings(const Args& args, std::string_view name, std::vector<std::string>& out) {
  const std::optional<std::string> text = args.text(name);
  if (!text) return;
  const Result<Json> value = parse_json(*text);
  if (!value.ok() || !value->is_array()) throw UsageError("{} takes a JSON list of strings", name);
  out.clear();
  for (const Json& item : value->as_array()) {
    if (!item.is_string())
      throw UsageError("{} takes a JSON list of strings, but holds {}", name, item.type_name());
    out.push_back(item.as_string());
  }
}

// Keys of so many positions lie together in the CPU back-end's cache.
constexpr int32_t kCpuBlockMultiple = 16;

template <typename T>
void integer(const Args& args, std::string_view name, int64_t min, int64_t max, T& out) {
  if (const std::optional<int64_t> value = args.integer(name, min, max)) out = static_cast<T>(*value);
}

// Values of the peer that this version does not take, with what there is to say of them.
void refuse_values(const Args& args, std::string_view name, std::span<const std::string_view> values,
                   std::string_view sentence) {
  const std::optional<std::string> given = args.text(name);
  if (given && std::ranges::find(values, *given) != values.end())
    throw UsageError("{} {}: {}", name, *given, sentence);
}

void model_part(const Args& args, ServeOptions& out) {
  constexpr std::array<std::string_view, 3> kLoadFormats{"auto", "safetensors", "dummy"};
  constexpr std::array<std::string_view, 2> kDtypes{"auto", "bfloat16"};
  constexpr std::array<std::string_view, 1> kQuantizations{"fp8"};
  const std::optional<std::string> flag = args.text("--model");
  if (!args.positionals().empty() && flag)
    throw UsageError("the model is given twice: as MODEL and as --model");
  if (args.positionals().empty() && !flag) {
    throw UsageError("which model? Give a directory, a hub name, or tiny");
  }
  out.model = flag ? *flag : args.positionals().front();
  if (out.model.empty()) throw UsageError("the model's name is empty; give a directory, a hub name, or tiny");
  out.tokenizer_dir = args.text("--tokenizer").value_or("");
  out.revision = args.text("--revision").value_or("main");
  out.download_dir = args.text("--download-dir").value_or("");
  out.served_names = args.texts("--served-model-name");
  if (out.served_names.empty()) out.served_names.push_back(out.model);
  for (const std::string& name : out.served_names) {
    if (name.empty()) throw UsageError("--served-model-name must not be empty");
  }
  out.max_model_len = args.integer("--max-model-len", -1, std::numeric_limits<int32_t>::max());
  if (out.max_model_len && *out.max_model_len == 0) throw UsageError("--max-model-len must not be 0");
  constexpr std::array<std::string_view, 5> kOtherDtypes{"half", "float16", "float", "float32", "fp16"};
  refuse_values(args, "--dtype", kOtherDtypes,
                "the family was trained in bfloat16 and is computed in it; auto or bfloat16");
  out.dummy_weights = args.choice("--load-format", kLoadFormats) == "dummy";
  args.choice("--dtype", kDtypes);
  out.quantization = args.choice("--quantization", kQuantizations).value_or("");
}

void server_part(const Args& args, const Environment& environment, ServeOptions& out) {
  out.host = args.text("--host").value_or(out.host);
  if (out.host.empty()) throw UsageError("--host must not be empty; 0.0.0.0 stands for all addresses");
  integer(args, "--port", 0, 65535, out.port);
  out.api_keys = args.texts("--api-key");
  if (out.api_keys.empty() && !environment.api_key.empty()) out.api_keys.push_back(environment.api_key);
  for (const std::string& key : out.api_keys) {
    if (key.empty()) throw UsageError("--api-key must not be empty");
  }
  json_strings(args, "--allowed-origins", out.allowed_origins);
  json_strings(args, "--allowed-methods", out.allowed_methods);
  json_strings(args, "--allowed-headers", out.allowed_headers);
  out.allow_credentials = args.on("--allow-credentials");
  integer(args, "--max-request-bytes", 1024, int64_t{1} << 30, out.request_bytes_max);
  integer(args, "--max-held-request-bytes", 1024, int64_t{1} << 40, out.held_request_bytes_max);
  if (out.held_request_bytes_max < out.request_bytes_max) {
    throw UsageError(
        "--max-held-request-bytes is {}, less than one request may have ({}, --max-request-bytes)",
        out.held_request_bytes_max, out.request_bytes_max);
  }
  integer(args, "--response-store-bytes", 0, int64_t{1} << 40, out.response_store_bytes);
  integer(args, "--response-store-seconds", 1, int64_t{1} << 31, out.response_store_seconds);
  out.openapi = !args.on("--disable-fastapi-docs");
  out.request_timeout_s = args.number("--request-timeout", 1, 3600).value_or(out.request_timeout_s);
  out.shutdown_timeout_s = args.number("--shutdown-timeout", 0, 3600).value_or(out.shutdown_timeout_s);
}

void sampling_part(const Args& args, ServeOptions& out) {
  constexpr std::array<std::string_view, 1> kToolParsers{"minimax_m2"};
  constexpr std::array<std::string_view, 2> kReasoningParsers{"minimax_m2", "minimax_m2_append_think"};
  constexpr std::array<std::string_view, 1> kLogprobsModes{"raw_logprobs"};
  out.tool_call_parser = args.choice("--tool-call-parser", kToolParsers).value_or("");
  out.reasoning_parser = args.choice("--reasoning-parser", kReasoningParsers).value_or("");
  out.auto_tool_choice = args.on("--enable-auto-tool-choice");
  if (out.auto_tool_choice && out.tool_call_parser.empty()) {
    throw UsageError("--enable-auto-tool-choice needs --tool-call-parser minimax_m2");
  }
  out.exclude_tools_when_none = args.on("--exclude-tools-when-tool-choice-none");
  out.default_template_kwargs = json_object(args, "--default-chat-template-kwargs");
  constexpr std::array<std::string_view, 3> kContentFormats{"auto", "string", "openai"};
  out.chat_template = args.text("--chat-template").value_or("");
  out.content_format = args.choice("--chat-template-content-format", kContentFormats).value_or("auto");
  out.generation_config = args.text("--generation-config").value_or("auto");
  out.override_generation_config = json_object(args, "--override-generation-config");
  out.seed_given = args.has("--seed");
  integer(args, "--seed", 0, std::numeric_limits<int64_t>::max(), out.seed);
  integer(args, "--max-logprobs", -1, 1 << 20, out.max_logprobs);
  args.choice("--logprobs-mode", kLogprobsModes);
}

void engine_part(const Args& args, ServeOptions& out) {
  constexpr std::array<std::string_view, 2> kPolicies{"fcfs", "priority"};
  constexpr std::array<std::string_view, 3> kBackends{"cpu", "cuda", "ref"};
  constexpr std::array<std::string_view, 3> kIsas{"avx512", "avx2", "scalar"};
  constexpr std::array<std::string_view, 3> kArithmetics{"bf16", "w8a16", "w8a8"};
  integer(args, "--max-num-seqs", 1, 65536, out.running_max);
  if (args.has("--max-num-batched-tokens")) {
    out.step_tokens_max = 0;
    integer(args, "--max-num-batched-tokens", 1, 1 << 20, *out.step_tokens_max);
  }
  integer(args, "--max-waiting-requests", 1, 1 << 20, out.waiting_max);
  out.priority_scheduling = args.choice("--scheduling-policy", kPolicies).value_or("fcfs") == "priority";
  out.prefix_caching = args.on("--enable-prefix-caching", true);
  out.backend = args.choice("--backend", kBackends).value_or(out.backend);
  integer(args, "--block-size", 1, 1024, out.block_tokens);
  if (out.backend == "cpu" && out.block_tokens % kCpuBlockMultiple != 0) {
    throw UsageError("--block-size must be a multiple of {} on the CPU, but is {}", kCpuBlockMultiple,
                     out.block_tokens);
  }
  out.kv_dtype = kv_dtype_of(args);
  out.kv_bytes = args.integer("--kv-cache-memory-bytes", 1, std::numeric_limits<int64_t>::max());
  integer(args, "--threads", 1, 1024, out.threads);
  out.isa = args.choice("--cpu-isa", kIsas).value_or("");
  out.arithmetic = args.choice("--linear-precision", kArithmetics).value_or("");
}

// From the launcher, unless flags say it.
void hosts_part(const Args& args, const Environment& environment, ServeOptions& out) {
  constexpr int64_t kHostsMax = 64;
  const auto of_launcher = [&](const std::string& text, int32_t otherwise) {
    const std::optional<int64_t> value = parse_count(text);
    return value && *value < kHostsMax ? static_cast<int32_t>(*value) : otherwise;
  };
  if (!args.has("--nnodes")) {
    out.hosts = of_launcher(environment.launched_count, 1);
    if (out.hosts > 1) out.host_rank = of_launcher(environment.launched_rank, 0);
  }
  const bool launched = out.hosts > 1;
  integer(args, "--nnodes", 1, kHostsMax, out.hosts);
  integer(args, "--node-rank", 0, kHostsMax, out.host_rank);
  integer(args, "--master-port", 1, 65535, out.master_port);
  out.master_port_given = args.has("--master-port");
  out.master_address = args.text("--master-addr").value_or(launched ? "" : "127.0.0.1");
  if (args.text("--master-addr") == "")
    throw UsageError("--master-addr takes an address or a name, but got none");
  if (out.hosts == 1) {
    if (out.host_rank > 0) throw UsageError("--node-rank {}: --nnodes is 1", out.host_rank);
    return;
  }
  if (out.host_rank >= out.hosts)
    throw UsageError("--node-rank {}: expected less than --nnodes, which is {}", out.host_rank, out.hosts);
  if (out.backend != "cpu")
    throw UsageError("--nnodes {}: the {} back-end runs on one host so far", out.hosts, out.backend);
  if (out.data_parallel > 1)
    throw UsageError(
        "--nnodes {} with --data-parallel-size {}: replicas are of one host so far; start one server a "
        "host and put a proxy in front",
        out.hosts, out.data_parallel);
  if (out.tensor_parallel % out.hosts != 0) {
    throw UsageError(
        "--tensor-parallel-size {} over --nnodes {}: expected a multiple, as every host has as many "
        "ranks; the nearest is {}",
        out.tensor_parallel, out.hosts, (out.tensor_parallel + out.hosts - 1) / out.hosts * out.hosts);
  }
}

// Flags with nothing to do here must still make sense: a start script with a slip in it should hear of it
// before it meets a machine where the flag counts.
void parallel_part(const Args& args, const Environment& environment, ServeOptions& out) {
  constexpr int64_t kRanksMax = 1024;
  const bool cuda = out.backend == "cuda";
  integer(args, "--tensor-parallel-size", 1, kRanksMax, out.tensor_parallel);
  constexpr int64_t kReplicasMax = 64;
  integer(args, "--data-parallel-size", 1, kReplicasMax, out.data_parallel);
  if (out.backend == "ref" && out.tensor_parallel > 1)
    throw UsageError("--tensor-parallel-size {}: the reference back-end runs one rank", out.tensor_parallel);
  out.expert_parallel =
      args.on("--enable-expert-parallel") && (out.tensor_parallel > 1 || out.data_parallel > 1);
  if (out.backend == "ref" && out.expert_parallel)
    throw UsageError("--enable-expert-parallel: each replica of the reference back-end has all experts");
  if (args.has("--rank-proxy")) {
    integer(args, "--rank-proxy", 0, kRanksMax, out.rank_alone);
    if (!cuda) throw UsageError("--rank-proxy is for --backend cuda");
    if (out.data_parallel > 1)
      throw UsageError("--rank-proxy with --data-parallel-size {}: it is of one replica", out.data_parallel);
    if (out.rank_alone >= out.tensor_parallel)
      throw UsageError("--rank-proxy {}: --tensor-parallel-size is {}", out.rank_alone, out.tensor_parallel);
  }
  for (const std::string& text : args.texts("--devices")) {
    const std::optional<int64_t> device = parse_count(text);
    if (!device || *device < 0 || *device >= kRanksMax)
      throw UsageError("--devices takes the ordinals of GPUs, but got \"{}\"", text);
    out.devices.push_back(static_cast<int32_t>(*device));
  }
  if (!out.devices.empty() && !cuda) throw UsageError("--devices is for --backend cuda");
  if (out.dummy_weights && !cuda) throw UsageError("--load-format dummy is for --backend cuda");
  out.gpu_memory_utilization =
      args.number("--gpu-memory-utilization", 0, 1).value_or(out.gpu_memory_utilization);
  out.graphs = !args.on("--enforce-eager");
  // What the guide's readers set to keep a kernel library of the peer away.
  if (cuda && environment.use_deep_gemm == "0" && out.arithmetic.empty()) out.arithmetic = "w8a16";
  if (const std::optional<std::string> text = args.text("--compilation-config")) {
    const Result<Json> value = parse_json(*text);
    if (!value.ok() || !(value->is_object() || value->is_int64())) {
      throw UsageError("--compilation-config takes a JSON object or a level, but got \"{}\"", *text);
    }
  }
}

}  // namespace

ServeOptions serve_options(const Args& args, const Environment& environment) {
  constexpr std::array<std::string_view, 4> kLevels{"debug", "info", "warning", "error"};
  ServeOptions out;
  model_part(args, out);
  server_part(args, environment, out);
  sampling_part(args, out);
  engine_part(args, out);
  parallel_part(args, environment, out);
  hosts_part(args, environment, out);
  out.log_requests = args.on("--enable-log-requests");
  out.log_stats = !args.on("--disable-log-stats");
  out.prompt_tokens_details = args.on("--enable-prompt-tokens-details");
  out.force_include_usage = args.on("--enable-force-include-usage");
  out.log_level = args.choice("--uvicorn-log-level", kLevels).value_or("info");
  return out;
}

}  // namespace minimax::cli
