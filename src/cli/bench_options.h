#pragma once
// What a benchmark of a server was asked to do: the flags, checked and typed.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/client/datasets.h"
#include "bench/client/serve_result.h"
#include "cli/args.h"
#include "cli/environment.h"
#include "net/fetch.h"

namespace minimax::cli {

struct BenchServeOptions {
  std::string backend = "openai";
  net::Url url;  // with the path in front of the endpoint
  std::string endpoint = "/v1/completions";
  bool chat = false;
  net::HeaderList headers;
  std::string model;        // empty: ask the server
  std::string served_name;  // empty: model
  std::string tokenizer;    // empty: the model's
  bool use_tokenizer = true;
  double ready_timeout_s = 0;
  double stall_timeout_s = 600;

  bench::DatasetOptions dataset;
  bool render_custom = true;  // custom prompts get the chat template
  Json template_kwargs;
  int64_t concurrency_max = 0;
  bench::ArrivalOptions arrivals;
  bool self_timed = false;
  int64_t warmups = 0;
  bench::BodyOptions body;
  std::string request_id_prefix;

  bench::MetricOptions metrics;
  std::vector<std::string> metrics_shown = {"ttft", "tpot", "itl"};
  std::vector<std::pair<std::string, std::string>> metadata;
  std::string label;
  bool save = false, detailed = false, append = false;
  std::string result_dir, result_name;
  bool progress = true;
};

// The flags of the group "Dataset", but for --seed and how prompts are rendered. Throws UsageError.
void dataset_options(const Args& args, bench::DatasetOptions& out);
// Throws UsageError naming the flag.
BenchServeOptions bench_serve_options(const Args& args, const Environment& environment);

}  // namespace minimax::cli
