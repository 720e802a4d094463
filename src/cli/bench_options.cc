#include "cli/bench_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>

#include <fmt/format.h>

#include "base/error.h"

namespace minimax::cli {
namespace {

constexpr int64_t kTokensMax = 1 << 24;
constexpr int64_t kPromptsMax = 10'000'000;
constexpr double kSecondsMax = 86'400;
constexpr double kRateMax = 1e6;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <typename T>
void integer(const Args& args, std::string_view name, int64_t min, int64_t max, T& out) {
  if (const std::optional<int64_t> value = args.integer(name, min, max)) out = static_cast<T>(*value);
}

void number(const Args& args, std::string_view name, double min, double max, double& out) {
  if (const std::optional<double> value = args.number(name, min, max)) out = *value;
}

void text(const Args& args, std::string_view name, std::string& out) {
  if (const std::optional<std::string> value = args.text(name)) out = *value;
}

std::optional<double> parse_number(std::string_view word) {
  double value = 0;
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (code != std::errc() || end != word.data() + word.size()) return {};
  return value;
}

// Blanks around a word of a list, as the peer's float() and strip() pass over them.
std::string stripped(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t");
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

Json json_object(const Args& args, std::string_view name) {
  const std::optional<std::string> given = args.text(name);
  if (!given) return {};
  const Result<Json> value = parse_json(*given);
  if (!value.ok()) throw UsageError("{} takes a JSON object: {}", name, value.failure().message);
  if (!value->is_object()) throw UsageError("{} takes a JSON object, but got {}", name, value->type_name());
  return *value;
}

std::vector<std::pair<std::string, std::string>> pairs(const Args& args, std::string_view name,
                                                       char between) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& word : args.texts(name)) {
    const size_t at = word.find(between);
    if (at == std::string::npos || at == 0) {
      throw UsageError("{} takes KEY{}VALUE, but got \"{}\"", name, between, word);
    }
    out.emplace_back(stripped(word.substr(0, at)), stripped(word.substr(at + 1)));
  }
  return out;
}

std::vector<std::string> comma_list(const Args& args, std::string_view name) {
  std::vector<std::string> out;
  const std::string value = args.text(name).value_or("");
  for (size_t begin = 0; begin < value.size();) {
    const size_t end = std::min(value.find(',', begin), value.size());
    out.push_back(stripped(value.substr(begin, end - begin)));
    begin = end + 1;
  }
  return out;
}

void server_part(const Args& args, const Environment& environment, BenchServeOptions& out) {
  constexpr std::array<std::string_view, 3> kBackends{"vllm", "openai", "openai-chat"};
  out.backend = args.choice("--backend", kBackends).value_or(out.backend);
  out.chat = out.backend == "openai-chat";
  text(args, "--endpoint", out.endpoint);
  if (!out.endpoint.starts_with('/'))
    throw UsageError("--endpoint must begin with /, but is {}", out.endpoint);
  const bool chat_path = out.endpoint.ends_with("/chat/completions");
  if (out.chat != chat_path) {
    throw UsageError(
        "--backend {} does not go with --endpoint {}: openai-chat needs /v1/chat/completions, "
        "vllm and openai /v1/completions",
        out.backend, out.endpoint);
  }
  if (const auto base = args.text("--base-url")) {
    out.url = net::parse_url(*base);
  } else {
    const std::string host = args.text("--host").value_or("127.0.0.1");
    const int64_t port = args.integer("--port", 1, 65535).value_or(8000);
    out.url = net::Url{.host = host, .port = std::to_string(port), .path = ""};
  }
  bool key_given = false;
  for (const auto& [name, value] : pairs(args, "--header", '=')) {
    constexpr std::string_view kBad("\r\n\0", 3);
    if ((name + value).find_first_of(kBad) != std::string::npos ||
        name.find_first_of(": ") != std::string::npos)
      throw UsageError("--header {}: not a name and a value of HTTP", name);
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (lower == "content-length" || lower == "transfer-encoding" || lower == "connection")
      throw UsageError("--header {}: the client says that itself, of each request", name);
    key_given |= lower == "authorization";
    out.headers.emplace_back(name, value);
  }
  if (!key_given && !environment.openai_api_key.empty()) {
    out.headers.emplace_back("Authorization", "Bearer " + environment.openai_api_key);
  }
  text(args, "--model", out.model);
  text(args, "--served-model-name", out.served_name);
  text(args, "--tokenizer", out.tokenizer);
  out.use_tokenizer = !args.on("--skip-tokenizer-init");
  number(args, "--ready-check-timeout-sec", 0, kSecondsMax, out.ready_timeout_s);
  number(args, "--stall-timeout", 0.1, kSecondsMax, out.stall_timeout_s);
}

void random_part(const Args& args, bench::DatasetOptions& out) {
  integer(args, "--input-len", 0, kTokensMax, out.input_len);
  integer(args, "--random-input-len", 0, kTokensMax, out.input_len);
  integer(args, "--random-prefix-len", 0, kTokensMax, out.prefix_len);
  for (int64_t* length : {&out.output_len, &out.sharegpt_output_len, &out.custom_output_len,
                          &out.repeated_output_len, &out.agent_output_len}) {
    integer(args, "--output-len", 1, kTokensMax, *length);
  }
  integer(args, "--random-output-len", 1, kTokensMax, out.output_len);
  const std::optional<std::string> ratio = args.text("--random-range-ratio");
  if (!ratio) return;
  const auto checked = [](double value) {
    if (!(value >= 0 && value < 1))
      throw UsageError("--random-range-ratio must be in [0, 1), but is {}", value);
    return value;
  };
  if (const std::optional<double> both = parse_number(*ratio)) {
    out.input_range = out.output_range = checked(*both);
    return;
  }
  const Json ranges = json_object(args, "--random-range-ratio");
  for (const auto& [name, value] : ranges.as_object()) {
    if (!value.is_number() || (name != "input" && name != "output")) {
      throw UsageError("--random-range-ratio takes a number or {{\"input\": X, \"output\": Y}}, but got {}",
                       *ratio);
    }
    (name == "input" ? out.input_range : out.output_range) = checked(value.as_double());
  }
}

void dataset_part(const Args& args, BenchServeOptions& options) {
  bench::DatasetOptions& out = options.dataset;
  dataset_options(args, out);
  integer(args, "--seed", 0, std::numeric_limits<int64_t>::max(), out.seed);
  options.render_custom = !args.on("--skip-chat-template");
  options.template_kwargs = json_object(args, "--chat-template-kwargs");
  if (args.has("--chat-template-kwargs") && out.name != "custom") {
    throw UsageError(
        "--chat-template-kwargs is for --dataset-name custom; to send it to the server give --extra-body "
        "'{{\"chat_template_kwargs\": ...}}'");
  }
  integer(args, "--agent-turns", 1, 100'000, out.agent_turns);
  integer(args, "--agent-system-len", 1, kTokensMax, out.agent_system_len);
  integer(args, "--agent-task-len", 1, kTokensMax, out.agent_task_len);
  integer(args, "--agent-result-len", 0, kTokensMax, out.agent_result_len);
  integer(args, "--agent-output-len", 1, kTokensMax, out.agent_output_len);
  number(args, "--agent-think-time", 0, kSecondsMax, out.agent_think_s);
  if (out.name == "agent" && !options.chat) {
    throw UsageError("--dataset-name agent needs --backend openai-chat --endpoint /v1/chat/completions");
  }
}

void load_part(const Args& args, BenchServeOptions& out) {
  constexpr std::array<std::string_view, 2> kRamps{"linear", "exponential"};
  constexpr double kRateMin = 1e-6;
  integer(args, "--max-concurrency", 1, 1 << 20, out.concurrency_max);
  number(args, "--request-rate", kRateMin, kInfinity, out.arrivals.rate);
  number(args, "--burstiness", 1e-3, kInfinity, out.arrivals.burstiness);
  if (const auto ramp = args.choice("--ramp-up-strategy", kRamps)) {
    out.arrivals.ramp_up = *ramp == "linear" ? bench::RampUp::kLinear : bench::RampUp::kExponential;
    if (std::isfinite(out.arrivals.rate)) {
      throw UsageError("--ramp-up-strategy takes the place of --request-rate: give one of them");
    }
    if (!args.has("--ramp-up-start-rps") || !args.has("--ramp-up-end-rps")) {
      throw UsageError("--ramp-up-strategy needs --ramp-up-start-rps and --ramp-up-end-rps");
    }
    number(args, "--ramp-up-start-rps", kRateMin, kRateMax, out.arrivals.ramp_start);
    number(args, "--ramp-up-end-rps", kRateMin, kRateMax, out.arrivals.ramp_end);
    if (out.arrivals.ramp_start > out.arrivals.ramp_end)
      throw UsageError("--ramp-up-start-rps must not be above --ramp-up-end-rps");
  } else if (args.has("--ramp-up-start-rps") || args.has("--ramp-up-end-rps")) {
    throw UsageError("--ramp-up-start-rps and --ramp-up-end-rps need --ramp-up-strategy");
  }
  integer(args, "--num-warmups", 0, kPromptsMax, out.warmups);
  out.self_timed = args.on("--self-timed", out.dataset.name == "timed_trace");
  if (out.self_timed && out.dataset.name != "timed_trace") {
    throw UsageError("--self-timed needs a dataset with times: timed_trace");
  }
}

void request_part(const Args& args, BenchServeOptions& out) {
  struct Sampling {
    std::string_view flag, member;
    double min, max;
    bool whole;
  };
  constexpr std::array<Sampling, 7> kSampling{{
      {"--temperature", "temperature", 0, 100, false},
      {"--top-p", "top_p", 0, 1, false},
      {"--top-k", "top_k", -1, 1e9, true},
      {"--min-p", "min_p", 0, 1, false},
      {"--frequency-penalty", "frequency_penalty", -10, 10, false},
      {"--presence-penalty", "presence_penalty", -10, 10, false},
      {"--repetition-penalty", "repetition_penalty", 0, 100, false},
  }};
  Json extra = Json::object();
  // The peer sends it always; servers that are strict about fields OpenAI does not have refuse it.
  if (out.backend != "vllm") extra.set("repetition_penalty", nullptr);
  for (const Sampling& one : kSampling) {
    if (one.whole) {
      if (const auto value =
              args.integer(one.flag, static_cast<int64_t>(one.min), static_cast<int64_t>(one.max)))
        extra.set(one.member, *value);
    } else if (const auto value = args.number(one.flag, one.min, one.max)) {
      extra.set(one.member, *value);
    }
  }
  const Json given = json_object(args, "--extra-body");
  if (given.is_object()) {
    for (const auto& [name, value] : given.as_object()) extra.set(name, value);
  }
  out.body.chat = out.chat;
  // As the peer: random prompts have no answer of a length that means anything.
  const bool made_up = out.dataset.name == "random" || out.dataset.name == "timed_trace";
  out.body.ignore_eos = args.on("--ignore-eos", made_up);
  integer(args, "--logprobs", 0, 1 << 20, out.body.logprobs);
  out.body.extra = std::move(extra);
  out.request_id_prefix = fmt::format("bench-{:08x}-", static_cast<uint32_t>(std::random_device()()));
  text(args, "--request-id-prefix", out.request_id_prefix);
  if (out.request_id_prefix.find_first_of("\r\n") != std::string::npos)
    throw UsageError("--request-id-prefix must be one line");
}

void output_part(const Args& args, BenchServeOptions& out) {
  constexpr std::array<std::string_view, 4> kMetrics{"ttft", "tpot", "itl", "e2el"};
  if (args.has("--percentile-metrics")) out.metrics_shown = comma_list(args, "--percentile-metrics");
  for (const std::string& name : out.metrics_shown) {
    if (std::find(kMetrics.begin(), kMetrics.end(), name) == kMetrics.end())
      throw UsageError("--percentile-metrics takes ttft, tpot, itl and e2el, but got \"{}\"", name);
  }
  if (out.metrics_shown.empty())
    throw UsageError("--percentile-metrics takes ttft, tpot, itl and e2el, but got none");
  if (args.has("--metric-percentiles")) {
    out.metrics.percentiles.clear();
    for (const std::string& word : comma_list(args, "--metric-percentiles")) {
      const std::optional<double> value = parse_number(word);
      if (!value || !(*value >= 0 && *value <= 100))
        throw UsageError("--metric-percentiles takes numbers from 0 to 100, but got \"{}\"", word);
      out.metrics.percentiles.push_back(*value);
    }
  }
  if (out.metrics.percentiles.empty())
    throw UsageError("--metric-percentiles takes numbers from 0 to 100, but got none");
  for (const auto& [name, value] : pairs(args, "--goodput", ':')) {
    const std::optional<double> bound = parse_number(value);
    if (!bound || !(*bound >= 0))
      throw UsageError("--goodput {} takes milliseconds, but got \"{}\"", name, value);
    if (name == "ttft") {
      out.metrics.good_ttft_ms = bound;
    } else if (name == "tpot") {
      out.metrics.good_tpot_ms = bound;
    } else if (name == "e2el") {
      out.metrics.good_e2el_ms = bound;
    } else {
      throw UsageError("--goodput takes ttft, tpot and e2el, but got \"{}\"", name);
    }
  }
  out.metadata = pairs(args, "--metadata", '=');
  text(args, "--label", out.label);
  if (out.label.find('/') != std::string::npos && !args.has("--result-filename"))
    throw UsageError("--label {}: becomes part of a file's name, which has no / (or give --result-filename)",
                     out.label);
  out.append = args.on("--append-result");
  out.detailed = args.on("--save-detailed");
  out.save = args.on("--save-result") || out.append || out.detailed;
  text(args, "--result-dir", out.result_dir);
  text(args, "--result-filename", out.result_name);
  out.progress = !args.on("--disable-tqdm");
}

}  // namespace

void dataset_options(const Args& args, bench::DatasetOptions& out) {
  text(args, "--dataset-name", out.name);
  text(args, "--dataset-path", out.path);
  integer(args, "--num-prompts", 1, kPromptsMax, out.num_prompts);
  out.oversample = !args.on("--no-oversample");
  out.shuffle = !args.on("--disable-shuffle");
  random_part(args, out);
  integer(args, "--sharegpt-output-len", 1, kTokensMax, out.sharegpt_output_len);
  integer(args, "--custom-output-len", -1, kTokensMax, out.custom_output_len);
  if (out.custom_output_len == 0) throw UsageError("--custom-output-len is 0, expected -1 or at least 1");
  integer(args, "--prefix-repetition-prefix-len", 1, kTokensMax, out.repeated_prefix_len);
  integer(args, "--prefix-repetition-suffix-len", 1, kTokensMax, out.repeated_suffix_len);
  integer(args, "--prefix-repetition-num-prefixes", 1, kPromptsMax, out.repeated_prefixes);
  integer(args, "--prefix-repetition-output-len", 1, kTokensMax, out.repeated_output_len);
  integer(args, "--timed-trace-chunk-hash-size", 1, kTokensMax, out.trace_block_tokens);
  number(args, "--timed-trace-sec-multiplier", 1e-9, kSecondsMax, out.trace_seconds);
  text(args, "--timed-trace-label-timestamp", out.trace_time);
  text(args, "--timed-trace-label-input-length", out.trace_input);
  text(args, "--timed-trace-label-output-length", out.trace_output);
  text(args, "--timed-trace-label-hash-ids", out.trace_hashes);
  if (!out.path.empty() && (out.name == "random" || out.name == "prefix_repetition" || out.name == "agent"))
    throw UsageError("--dataset-path: --dataset-name {} makes its requests itself", out.name);
}

BenchServeOptions bench_serve_options(const Args& args, const Environment& environment) {
  BenchServeOptions out;
  server_part(args, environment, out);
  dataset_part(args, out);
  load_part(args, out);
  request_part(args, out);
  output_part(args, out);
  return out;
}

}  // namespace minimax::cli
