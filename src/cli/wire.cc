#include "cli/wire.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "backend/cpu/kernels.h"
#include "base/error.h"
#include "base/log.h"
#include "bench/step.h"
#include "cli/hosts.h"
#include "cli/model_location.h"
#include "cli/model_text.h"
#include "executor/host_group.h"
#include "model/plan.h"
#include "model/shard.h"

namespace minimax::cli {
namespace {

// What --override-generation-config says, within the bounds of the file itself.
model::GenerationConfig overrides(const Json& given) {
  constexpr std::string_view kFlag = "--override-generation-config";
  if (!given.is_object()) return {};
  constexpr std::array<std::string_view, 6> kNames = {"temperature",        "top_p",         "top_k", "min_p",
                                                      "repetition_penalty", "max_new_tokens"};
  for (const auto& [name, value] : given.as_object()) {
    if (std::ranges::find(kNames, name) == kNames.end()) {
      throw UsageError("{}: {} is not known; expected {}", kFlag, name, fmt::join(kNames, ", "));
    }
  }
  try {
    return model::parse_generation_config(given, std::string(kFlag));
  } catch (const Error& error) {
    throw UsageError("{}", error.what());
  }
}

void set_defaults(const model::GenerationConfig& source, api::SamplingDefaults& defaults) {
  if (source.temperature) defaults.temperature = *source.temperature;
  if (source.top_p) defaults.top_p = *source.top_p;
  if (source.top_k) defaults.top_k = *source.top_k;
  if (source.min_p) defaults.min_p = *source.min_p;
  if (source.repetition_penalty) defaults.repetition_penalty = *source.repetition_penalty;
  if (source.max_new_tokens) defaults.max_tokens = *source.max_new_tokens;
}

api::SamplingDefaults sampling_defaults(const ServeOptions& options, const model::GenerationConfig& own) {
  api::SamplingDefaults defaults;
  if (options.generation_config == "auto") {
    set_defaults(own, defaults);
  } else if (options.generation_config != "vllm") {
    const std::filesystem::path dir = options.generation_config;
    std::error_code code;
    if (!std::filesystem::is_regular_file(dir / "generation_config.json", code)) {
      throw UsageError("--generation-config {}: expected auto, vllm or a folder with generation_config.json",
                       dir.string());
    }
    set_defaults(model::load_generation_config(dir), defaults);
  }
  set_defaults(overrides(options.override_generation_config), defaults);
  return defaults;
}

chat::ReasoningFormat reasoning_format(const std::string& parser) {
  if (parser == "minimax_m2") return chat::ReasoningFormat::kMinimaxM2;
  if (parser == "minimax_m2_append_think") return chat::ReasoningFormat::kAppendThink;
  return chat::ReasoningFormat::kNone;
}

api::ServiceOptions service_options(const ServeOptions& options, const std::filesystem::path& dir,
                                    const model::ModelConfig& config) {
  const model::GenerationConfig generation = model::load_generation_config(dir);
  api::ServiceOptions out;
  out.served_names = options.served_names;
  out.model_root = options.model;
  out.version = MINIMAX_VERSION;
  out.eos_ids = generation.eos_ids.empty() ? config.eos_ids : generation.eos_ids;
  out.render = render_options(dir, {options.chat_template, options.content_format});
  out.reasoning = reasoning_format(options.reasoning_parser);
  out.tool_parser = !options.tool_call_parser.empty();
  out.auto_tool_choice = options.auto_tool_choice;
  out.exclude_tools_when_none = options.exclude_tools_when_none;
  out.default_template_kwargs = options.default_template_kwargs;
  out.defaults = sampling_defaults(options, generation);
  if (options.seed_given) out.seed = options.seed;
  out.priority_scheduling = options.priority_scheduling;
  out.logprobs_max = options.max_logprobs;
  out.response_store_bytes = options.response_store_bytes;
  out.response_store_seconds = options.response_store_seconds;
  out.openapi = options.openapi;
  out.prompt_tokens_details = options.prompt_tokens_details;
  out.force_include_usage = options.force_include_usage;
  out.log_requests = options.log_requests;
  return out;
}

// All but what the plan decides.
backend::ExecutorOptions executor_options(const ServeOptions& options, int32_t vocab_size) {
  backend::ExecutorOptions out;
  out.name = options.backend;
  out.arithmetic = options.arithmetic;
  out.isa = options.isa;
  out.threads = options.threads;
  out.block_tokens = options.block_tokens;
  out.kv_dtype = options.kv_dtype;
  out.step_rows_max = step_rows_of(options);
  out.step_sequences_max = options.running_max;
  out.vocab_size = vocab_size;
  out.logprobs_max = options.max_logprobs;
  out.tensor_parallel = options.tensor_parallel;
  out.expert_parallel = options.expert_parallel;
  out.replicas = options.data_parallel;
  out.rank_alone = options.rank_alone;
  out.devices = options.devices;
  out.graphs = options.graphs;
  return out;
}

// What holds the KV cache.
Machine machine_for(const ServeOptions& options, const model::ModelShape& shape, int32_t vocab_size) {
  Machine machine = read_machine();
  if (options.backend != "cuda" || options.kv_bytes) return machine;
  backend::ExecutorOptions own = executor_options(options, vocab_size);
  const int64_t longest = options.max_model_len.value_or(-1);
  own.context_tokens_max = longest < 0 || longest > shape.context_tokens_max ? shape.context_tokens_max
                                                                             : static_cast<int32_t>(longest);
  machine.device_kv_bytes = backend::device_kv_bytes(shape, own, options.gpu_memory_utilization);
  return machine;
}

// Of all replicas if they share the experts; otherwise of one.
model::ParallelLayout layout_of(const ServeOptions& options) {
  model::ParallelLayout layout{.tp = options.tensor_parallel};
  if (!options.expert_parallel) return layout;
  layout.dp = options.data_parallel;
  layout.ep = layout.ranks();
  return layout;
}

model::ModelShape rank_shape(const ServeOptions& options, const model::ModelShape& shape) {
  const model::ParallelLayout layout = layout_of(options);
  model::check_layout(shape, layout);
  if (options.backend != "cuda") {  // the ranks of a host share its memory: all they hold counts
    model::ModelShape together = shape;
    together.kv_heads =
        std::max(shape.kv_heads, options.tensor_parallel) / options.hosts * options.data_parallel;
    return together;
  }
  return model::shape_of_rank(shape, layout, std::max(options.rank_alone, 0));
}

}  // namespace

LoadedModel::LoadedModel(const ServeOptions& options, const Environment& environment)
    : dir_(locate_model(options.model, options.revision, options.download_dir, environment)),
      config_(model::load_config(dir_)),
      tokenizer_(tokenizer::Tokenizer::load(
          options.tokenizer_dir.empty() ? dir_ : std::filesystem::path(options.tokenizer_dir))) {
  if (options.dummy_weights) {
    described_.emplace(config_.shape);
  } else {
    checkpoint_.emplace(model::Checkpoint::open(dir_));
    view_ = model::bind_tensors(*checkpoint_, config_.shape);
  }
  if (tokenizer_.size() > config_.shape.vocab_rows) {
    throw Error("{}: tokenizer.json has ids up to {}, but the model's vocab_size is {}", dir_.string(),
                tokenizer_.size() - 1, config_.shape.vocab_rows);
  }
  if (options.quantization == "fp8" && config_.shape.fp8_block_rows == 0) {
    throw UsageError("--quantization fp8: {} is not quantized, and weights are run as they are stored",
                     dir_.string());
  }
}

void LoadedModel::make_executors(const ServeOptions& options, comm::Hosts* hosts) {
  Machine machine = machine_for(options, config_.shape, tokenizer_.size());
  if (hosts != nullptr) machine.memory_available_bytes = least(machine.memory_available_bytes, *hosts);
  plan_ = plan_serve(options, rank_shape(options, config_.shape), machine);
  if (hosts != nullptr) check_same(facts(options), *hosts);
  log_plan(options);
  backend::ExecutorOptions executor = executor_options(options, tokenizer_.size());
  // The plan's KV cache is a rank's on GPUs, and that of a host's ranks and replicas on the CPU.
  executor.kv_bytes = options.backend == "cuda" ? plan_.kv_bytes : plan_.kv_bytes / options.data_parallel;
  executor.context_tokens_max = plan_.context_tokens_max;
  executor.hosts = hosts;
  executors_ = backend::make_replicas(view(), executor);
  for (const auto& [name, value] : executors_.front()->report()) {
    if (name != bench::kBytesReadName) log::info("{}: {}", name, value);  // of a step: none has run
  }
  if (hosts == nullptr) return;
  hosts->meet();
  if (hosts->rank() == 0)
    executors_.front() = std::make_unique<executor::HostGroup>(std::move(executors_.front()), *hosts);
}

// What hosts must agree on to compute the same.
std::string LoadedModel::facts(const ServeOptions& options) const {
  std::string out;
  const auto add = [&out](std::string_view name, const auto& value) {
    out += fmt::format("{}: {}\n", name, value);
  };
  add("version", MINIMAX_VERSION);
  add("bytes of weights", checkpoint_->total_bytes());
  add("vocabulary", tokenizer_.size());
  add("--tensor-parallel-size", options.tensor_parallel);
  add("--enable-expert-parallel", options.expert_parallel);
  add("--linear-precision", options.arithmetic.empty() ? "auto" : options.arithmetic);
  add("--cpu-isa", backend::cpu::name_of(backend::cpu::choose_isa(options.isa)));
  add("--block-size", options.block_tokens);
  add("--kv-cache-dtype", model::name_of(options.kv_dtype));
  add("--max-num-seqs", plan_.running_max);
  add("--max-num-batched-tokens", plan_.step_rows_max);
  add("--max-logprobs", options.max_logprobs);
  add("--max-model-len", plan_.context_tokens_max);
  add("--kv-cache-memory-bytes", plan_.kv_bytes);
  return out;
}

static std::vector<api::RankBytes> rank_bytes(const ServeOptions& options, const LoadedModel& loaded) {
  const model::MemoryPlan memory =
      model::plan_memory({.shape = loaded.config().shape, .layout = layout_of(options)});
  const int64_t sharers =
      options.backend == "cuda" ? 1 : options.tensor_parallel / options.hosts * options.data_parallel;
  std::vector<api::RankBytes> out;
  for (const model::RankShare& share : memory.ranks)
    out.push_back({static_cast<int64_t>(share.weight_bytes), loaded.plan().kv_bytes / sharers});
  return out;
}

ServedModel::ServedModel(const ServeOptions& options, const Environment& environment, comm::Hosts* hosts)
    : hosts_(hosts), model_(options, environment) {
  // All that may be refused is refused before the weights are read.
  const tokenizer::Tokenizer& tokenizer = model_.tokenizer();
  api::ServiceOptions service = service_options(options, model_.dir(), model_.config());
  for (const tokenizer::TokenId id : service.eos_ids) {
    if (id < 0 || id >= tokenizer.size()) {
      throw Error("{}: eos_token_id {} is not an id of tokenizer.json, which has {}", model_.dir().string(),
                  id, tokenizer.size());
    }
  }
  model_.make_executors(options, hosts);
  const ServePlan& plan = model_.plan();
  std::vector<executor::Executor*> replicas;
  for (const auto& executor : model_.executors()) replicas.push_back(executor.get());
  const executor::Limits& limits = replicas.front()->limits();
  metrics_ = std::make_unique<api::Metrics>(
      api::MetricsOptions{.model_name = options.served_names.front(),
                          .context_tokens_max = plan.context_tokens_max,
                          .block_tokens = limits.block_tokens,
                          .block_count = int64_t{limits.block_count} * options.data_parallel,
                          .cache_dtype = std::string(model::name_of(options.kv_dtype)),
                          .prefix_caching = options.prefix_caching,
                          .ranks = rank_bytes(options, model_)});
  const engine::Options engine_options{.policy = options.priority_scheduling
                                                     ? engine::SchedulingPolicy::kPriority
                                                     : engine::SchedulingPolicy::kFcfs,
                                       .running_max = plan.running_max,
                                       .step_tokens_max = plan.step_rows_max,
                                       .context_tokens_max = plan.context_tokens_max,
                                       .waiting_requests_max = options.waiting_max,
                                       .prefix_caching = options.prefix_caching};
  engine_ = std::make_unique<engine::Engine>(replicas, engine_options, metrics_.get());
  service_ = std::make_unique<api::Service>(std::move(service), tokenizer, *engine_, *metrics_);
  if (hosts != nullptr) hosts->watch([this](const std::string& what) { engine_->fail(what); });
}

ServedModel::~ServedModel() {
  if (hosts_ != nullptr) hosts_->unwatch();  // the others end once the engine has
}

void LoadedModel::log_plan(const ServeOptions& options) const {
  const model::ModelShape& shape = config_.shape;
  const model::ParameterCount parameters = model::count_parameters(shape);
  log::info("model {}: {} layers, hidden {}, {} experts top {}, {:.2f} M parameters, {:.2f} M active",
            dir_.string(), shape.layers, shape.hidden, shape.experts, shape.experts_per_token,
            static_cast<double>(parameters.total) / 1e6, static_cast<double>(parameters.active) / 1e6);
  const model::ParallelLayout layout = layout_of(options);
  const int32_t ranks = layout.ranks();
  log::info("memory: weights {:.3f} GB{}, KV cache {:.3f} GB{} = {} tokens of {} bytes ({}) in blocks of {}",
            static_cast<double>(checkpoint_ ? checkpoint_->total_bytes()
                                            : model::total(model::weight_bytes(shape))) /
                1e9,
            ranks > 1 ? fmt::format(" over {} ranks", ranks) : "", static_cast<double>(plan_.kv_bytes) / 1e9,
            options.backend == "cuda" && ranks * options.data_parallel > 1 ? " a rank" : "", plan_.kv_tokens,
            plan_.kv_token_bytes, model::name_of(options.kv_dtype), options.block_tokens);
  if (options.data_parallel > 1) {
    log::info(
        "{} replicas, each with {} tokens of KV cache: a request goes where its prefix is cached, unless "
        "that one is busy",
        options.data_parallel, plan_.kv_tokens);
  }
  if (layout.dp > 1) log::info("the replicas share the experts and step together");
  if (ranks > 1) {
    for (const model::RankShare& share : model::plan_memory({.shape = shape, .layout = layout}).ranks)
      log::info("{}", model::to_text(share, layout));
  }
  log::info("context {} tokens, {} sequences at once, {} rows a step, prefix caching {}",
            plan_.context_tokens_max, plan_.running_max, plan_.step_rows_max,
            options.prefix_caching ? "on" : "off");
  log::info("tool parser {}, reasoning parser {}, auto tool choice {}",
            options.tool_call_parser.empty() ? "none" : options.tool_call_parser,
            options.reasoning_parser.empty() ? "none" : options.reasoning_parser,
            options.auto_tool_choice ? "on" : "off");
}

server::Options server_options(const ServeOptions& options) {
  server::Options out;
  out.host = options.host;
  out.port = options.port;
  out.body_bytes_max = options.request_bytes_max;
  out.held_body_bytes_max = options.held_request_bytes_max;
  out.request_timeout_s = options.request_timeout_s;
  out.shutdown_timeout_s = options.shutdown_timeout_s;
  out.access.api_keys = options.api_keys;
  out.access.allowed_origins = options.allowed_origins;
  out.access.allowed_methods = options.allowed_methods;
  out.access.allowed_headers = options.allowed_headers;
  out.access.allow_credentials = options.allow_credentials;
  return out;
}

std::unique_ptr<LocalServer> LocalServer::start(const std::string& model, const Environment& environment) {
  log::set_level(log::Level::kWarning);
  ServeOptions options;
  options.model = model;
  options.served_names = {model};
  options.port = 0;
  options.running_max = 4;
  options.max_model_len = -1;
  options.tool_call_parser = "minimax_m2";
  options.reasoning_parser = "minimax_m2";
  options.auto_tool_choice = true;
  std::unique_ptr<LocalServer> local(new LocalServer);
  local->model_ = std::make_unique<ServedModel>(options, environment);
  local->server_ = std::make_unique<server::Server>(server_options(options), local->model_->service());
  local->thread_ = std::thread([server = local->server_.get()] { server->run(); });
  return local;
}

LocalServer::~LocalServer() {
  if (server_) server_->stop();
  if (thread_.joinable()) thread_.join();
}

std::string LocalServer::url() const {
  return "http://127.0.0.1:" + std::to_string(server_->port());
}

}  // namespace minimax::cli
