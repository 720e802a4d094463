#pragma once
// What `minimax serve` was asked to do: the flags, checked and typed. Nothing here depends on the model.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/args.h"
#include "cli/environment.h"
#include "model/kv_dtype.h"

namespace minimax::cli {

struct ServeOptions {
  std::string model;
  std::string tokenizer_dir;  // empty: the model's
  std::string revision = "main";
  std::string download_dir;
  std::vector<std::string> served_names;
  std::string quantization;              // empty, or "fp8": the checkpoint must be
  std::optional<int64_t> max_model_len;  // -1: what fits the KV cache

  std::string host = "127.0.0.1";
  int port = 8000;
  std::vector<std::string> api_keys;
  std::vector<std::string> allowed_origins{"*"}, allowed_methods{"*"}, allowed_headers{"*"};
  bool allow_credentials = false;
  int64_t request_bytes_max = 32 << 20;
  int64_t held_request_bytes_max = int64_t{1} << 30;
  double request_timeout_s = 60;
  double shutdown_timeout_s = 30;

  std::string tool_call_parser;  // empty or "minimax_m2"
  std::string reasoning_parser;  // empty, "minimax_m2" or "minimax_m2_append_think"
  bool auto_tool_choice = false;
  bool exclude_tools_when_none = false;
  Json default_template_kwargs;
  std::string chat_template;  // a file or a template's text; empty: the checkpoint's
  std::string content_format = "auto";

  std::string generation_config = "auto";
  Json override_generation_config;
  uint64_t seed = 0;
  bool seed_given = false;
  int32_t max_logprobs = 20;
  bool openapi = true;
  int64_t response_store_bytes = 256 << 20;
  int64_t response_store_seconds = 3600;

  int32_t running_max = 256;
  std::optional<int32_t> step_tokens_max;
  int32_t waiting_max = 4096;
  bool priority_scheduling = false;
  bool prefix_caching = true;
  int32_t block_tokens = 16;
  model::KvDtype kv_dtype = model::KvDtype::kBf16;
  std::optional<int64_t> kv_bytes;

  std::string backend = "cpu";
  int32_t threads = 0;
  std::string isa;
  std::string arithmetic;
  bool dummy_weights = false;  // --load-format dummy
  // cuda.
  int32_t tensor_parallel = 1;
  int32_t data_parallel = 1;     // replicas behind one port
  bool expert_parallel = false;  // more than one rank, of one or all replicas, and whole experts on each
  int32_t hosts = 1;             // --nnodes: processes, one a host, that share the ranks
  int32_t host_rank = 0;         // --node-rank
  std::string master_address;    // empty: MPI tells
  int master_port = 29501;
  bool master_port_given = false;
  int32_t rank_alone = -1;  // --rank-proxy
  std::vector<int32_t> devices;
  double gpu_memory_utilization = 0.9;
  bool graphs = true;

  bool log_requests = false;
  bool log_stats = true;
  bool prompt_tokens_details = false;
  bool force_include_usage = false;
  std::string log_level = "info";
};

// Throws UsageError naming the flag.
ServeOptions serve_options(const Args& args, const Environment& environment);

}  // namespace minimax::cli
