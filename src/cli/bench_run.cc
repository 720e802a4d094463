#include "cli/bench_run.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "bench/client/spec_metrics.h"
#include "chat/render.h"
#include "cli/model_location.h"
#include "cli/model_text.h"

namespace minimax::cli {
namespace {

constexpr double kAskTimeoutS = 30;
constexpr double kLateTrustedMs = 1;
constexpr double kCpuTrusted = 0.9;
constexpr int kExitInterrupted = 130;
constexpr size_t kErrorsShown = 5;

// A descriptor a stream: as many as the system lets this process have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return text;
}

// One line on a terminal, drawn over again; nothing elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(bool wanted) : on_(wanted && isatty(STDERR_FILENO) != 0) {}
  ~ProgressLine() {
    if (shown_) fmt::print(stderr, "\n");
  }
  void show(const bench::Progress& progress) {
    if (!on_) return;
    const double interval = progress.seconds - last_.seconds;
    if (interval > 0) rate_ = static_cast<double>(progress.chunks - last_.chunks) / interval;
    last_ = progress;
    const double left = progress.done == 0
                            ? 0
                            : progress.seconds * static_cast<double>(progress.total - progress.done) /
                                  static_cast<double>(progress.done);
    fmt::print(stderr, "\r\033[K{} of {} done, {} running, {} failed, {:.0f} tok/s, {}", progress.done,
               progress.total, progress.running, progress.failed, rate_,
               progress.done == 0 ? "time left not known" : fmt::format("{:.0f} s left", left));
    std::fflush(stderr);
    shown_ = true;
  }

 private:
  bool on_;
  bool shown_ = false;
  double rate_ = 0;
  bench::Progress last_;
};

std::string rendered(const std::string& text, const Json& kwargs, const chat::RenderOptions& render) {
  chat::Conversation conversation;
  chat::Message message;
  message.content = Json(text);
  conversation.messages.push_back(std::move(message));
  conversation.template_kwargs = kwargs;
  const auto segments = chat::render(conversation, render);
  if (!segments.ok()) throw Error("the chat template: {}", segments.failure().message);
  return chat::joined(*segments);
}

}  // namespace

ServeBench::ServeBench(BenchServeOptions options, const Environment& environment)
    : options_(std::move(options)), root_(options_.url) {
  raise_descriptor_limit();
  if (root_.path.ends_with("/v1")) root_.path.resize(root_.path.size() - 3);
  find_model();
  if (options_.use_tokenizer) find_tokenizer(environment);
  make_scripts(environment);
  if (options_.ready_timeout_s > 0) wait_until_ready();
}

void ServeBench::find_model() {
  if (options_.model.empty()) {
    const net::FetchReply reply = net::fetch(root_, "/v1/models", "", options_.headers, kAskTimeoutS);
    const Result<Json> answer = parse_json(reply.body);
    const Json* data = answer.ok() ? answer->find("data") : nullptr;
    const Json* id = data != nullptr && data->is_array() && !data->as_array().empty()
                         ? data->as_array().front().find("id")
                         : nullptr;
    if (reply.status != 200 || id == nullptr || !id->is_string()) {
      throw Error("no --model, and the server does not name one: {}",
                  reply.status == 0 ? reply.error : fmt::format("/v1/models says HTTP {}", reply.status));
    }
    options_.model = id->as_string();
  }
  if (options_.served_name.empty()) options_.served_name = options_.model;
  options_.body.model = options_.served_name;
}

void ServeBench::find_tokenizer(const Environment& environment) {
  const bool named = !options_.tokenizer.empty();
  const std::string& name = named ? options_.tokenizer : options_.model;
  try {
    text_ = bench::local_token_text(tokenizer::Tokenizer::load(locate_tokenizer(name, environment)), name);
  } catch (const Error& error) {
    if (named) throw;
    const std::string_view what = error.what();
    fmt::print(stderr, "asking the server to tokenize: {}\n", what.substr(0, what.find('\n')));
    text_ = bench::server_token_text(root_, options_.headers, options_.served_name, kAskTimeoutS);
  }
}

void ServeBench::make_scripts(const Environment& environment) {
  bench::DatasetOptions& dataset = options_.dataset;
  if (dataset.name == "custom" && options_.render_custom && !options_.chat) {
    chat::RenderOptions render;
    try {
      render = render_options(locate_model(options_.model, "main", "", environment));
    } catch (const Error&) {  // the family's template without a name of its own
    }
    dataset.apply_template = [kwargs = options_.template_kwargs, render](const std::string& text) {
      return rendered(text, kwargs, render);
    };
  }
  const int64_t begin_us = now_us();
  scripts_ = bench::make_scripts(dataset, text_.get());
  if (now_us() - begin_us > 2'000'000) {
    fmt::print(stderr, "{} requests made in {:.1f} s\n", scripts_.size(),
               static_cast<double>(now_us() - begin_us) * 1e-6);
  }
}

bench::LoadResult ServeBench::load(std::span<const bench::Script> scripts, bench::LoadOptions load_options,
                                   double stall_timeout_s) {
  boost::asio::io_context context(1);
  const std::function<int64_t()> clock = now_us;
  bench::StreamClient client(context, {.url = options_.url,
                                       .target = options_.endpoint,
                                       .headers = options_.headers,
                                       .stall_timeout_s = stall_timeout_s,
                                       .clock_us = clock});
  load_options.body = options_.body;
  load_options.handle_interrupt = true;
  if (load_options.arrivals_s.empty()) load_options.arrivals_s.resize(scripts.size());
  return bench::run_load(context, client, scripts, load_options, clock);
}

void ServeBench::wait_until_ready() {
  const int64_t end_us = now_us() + static_cast<int64_t>(options_.ready_timeout_s * 1e6);
  bench::Script probe = scripts_.front();
  probe.follow_ups.clear();
  while (true) {
    const double left_s = std::max(0.1, static_cast<double>(end_us - now_us()) * 1e-6);
    const bench::LoadResult tried =
        load(std::span(&probe, 1), {}, std::min(left_s, options_.stall_timeout_s));
    if (tried.interrupted) throw Interrupted("interrupted while waiting for the server");
    if (!tried.outcomes.empty() && tried.outcomes.front().success) return;
    if (now_us() >= end_us) {
      throw Error("the server is not ready after {} s (--ready-check-timeout-sec): {}",
                  options_.ready_timeout_s,
                  tried.outcomes.empty() ? "no answer" : tried.outcomes.front().error);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

ServeBench::Outcome ServeBench::run(int64_t concurrency_max, const bench::ArrivalOptions& arrivals,
                                    Part part) {
  const std::span<const bench::Script> all(scripts_);
  // Files may hold fewer requests than were asked for.
  const auto begin = std::min(static_cast<size_t>(part.begin), all.size());
  const std::span<const bench::Script> scripts =
      part.count == 0 ? all
                      : all.subspan(begin, std::min(static_cast<size_t>(part.count), all.size() - begin));
  Outcome out;
  bench::ServeResult& result = out.result;
  result.concurrency_max = concurrency_max;
  result.arrivals = arrivals;
  if (options_.warmups > 0) {
    bench::Script warmup = scripts_.front();
    warmup.follow_ups.clear();
    const std::vector<bench::Script> warmups(static_cast<size_t>(options_.warmups), warmup);
    bench::LoadOptions load_options;
    load_options.concurrency_max = concurrency_max;
    const bench::LoadResult warm = load(warmups, load_options, options_.stall_timeout_s);
    if (warm.interrupted) {
      out.interrupted = true;
      out.measured = false;
      return out;
    }
    const auto failed = std::ranges::find(warm.outcomes, false, &bench::Outcome::success);
    if (failed != warm.outcomes.end()) fmt::print(stderr, "a warm-up request failed: {}\n", failed->error);
  }
  const auto speculation = [&] {
    return bench::read_spec_decode(net::fetch(root_, "/metrics", "", options_.headers, kAskTimeoutS).body);
  };
  const auto speculation_before = speculation();
  bench::LoadOptions load_options;
  load_options.concurrency_max = concurrency_max;
  load_options.request_id_prefix = options_.request_id_prefix;
  if (options_.self_timed) {
    // A part of a sweep begins with its first request.
    for (const bench::Script& script : scripts)
      load_options.arrivals_s.push_back(script.arrival_s - scripts.front().arrival_s);
  } else {
    load_options.arrivals_s =
        bench::arrival_times(arrivals, static_cast<int64_t>(scripts.size()), options_.dataset.seed);
  }
  bench::LoadResult loaded;
  {
    ProgressLine line(options_.progress);
    load_options.on_progress = [&line](const bench::Progress& progress) { line.show(progress); };
    loaded = load(scripts, std::move(load_options), options_.stall_timeout_s);
  }
  out.interrupted = loaded.interrupted;
  result.date = local_time();
  result.endpoint_type = result.backend = options_.backend;
  result.label = options_.label;
  result.model_id = options_.model;
  result.tokenizer_id = text_ == nullptr ? "" : text_->name();
  result.num_prompts = part.count == 0 ? options_.dataset.num_prompts : std::ssize(scripts);
  result.metadata = options_.metadata;
  result.percentiles = options_.metrics.percentiles;
  result.metrics_shown = options_.metrics_shown;
  bench::MetricOptions metric_options = options_.metrics;
  if (text_ != nullptr) {
    metric_options.count_tokens = [this](const std::string& text) { return std::ssize(text_->encode(text)); };
  }
  result.metrics = bench::serve_metrics(loaded.outcomes, loaded.duration_s, metric_options);
  result.health = loaded.health;
  result.outcomes = std::move(loaded.outcomes);
  result.speculation = bench::spec_decode_between(speculation_before, speculation());
  return out;
}

int ServeBench::report(const Outcome& outcome) {
  const bench::ServeResult& result = outcome.result;
  if (!outcome.measured) {
    fmt::print(stderr, "interrupted during the warm-ups: nothing was measured\n");
    return kExitInterrupted;
  }
  std::map<std::string, int64_t> errors;
  for (const bench::Outcome& request : result.outcomes) {
    if (!request.success) ++errors[request.error];
  }
  size_t shown = 0;
  for (const auto& [error, count] : errors) {
    if (++shown > kErrorsShown) {
      fmt::print(stderr, "and {} other errors\n", errors.size() - kErrorsShown);
      break;
    }
    fmt::print(stderr, "{} request(s) failed: {}\n", count, error);
  }
  const bench::ClientHealth& health = result.health;
  if (health.late_p99_ms > kLateTrustedMs || health.cpu_share > kCpuTrusted) {
    fmt::print(
        stderr,
        "this machine was too busy to trust times below {:.1f} ms: the client woke up to {:.1f} ms late "
        "(P99 {:.1f} ms) and used {:.0f} % of a core\n",
        health.late_p99_ms, health.late_max_ms, health.late_p99_ms, health.cpu_share * 100);
  }
  if (outcome.interrupted) {
    fmt::print(stderr, "interrupted: the figures are of what was answered until then\n");
    return kExitInterrupted;
  }
  return result.metrics.failed > 0 || result.metrics.completed == 0 ? 1 : 0;
}

void check_writable(const std::filesystem::path& folder) {
  std::error_code code;
  if (!folder.empty()) std::filesystem::create_directories(folder, code);
  if (code) throw Error("{}: the folder cannot be made: {}", folder.string(), code.message());
  const std::filesystem::path probe = folder / fmt::format(".minimax-bench-{}", getpid());
  const bool fine = std::ofstream(probe).good();
  std::filesystem::remove(probe, code);
  if (!fine) throw Error("{}: nothing can be written there", folder.empty() ? "." : folder.string());
}

void check_result_place(const BenchServeOptions& options) {
  const std::filesystem::path path = std::filesystem::path(options.result_dir) / options.result_name;
  check_writable(options.result_name.empty() ? std::filesystem::path(options.result_dir)
                                             : path.parent_path());
  std::error_code code;
  if (!options.result_name.empty() && std::filesystem::exists(path, code) &&
      !std::ofstream(path, std::ios::app).good())
    throw Error("{}: cannot be written", path.string());
}

void save_result(const BenchServeOptions& options, const bench::ServeResult& result) {
  const std::filesystem::path dir = options.result_dir;
  if (!dir.empty()) std::filesystem::create_directories(dir);
  const std::filesystem::path path =
      dir / (options.result_name.empty() ? bench::default_file_name(result) : options.result_name);
  std::error_code code;
  const bool more = options.append && std::filesystem::file_size(path, code) > 0 && !code;
  std::ofstream file(path, options.append ? std::ios::app | std::ios::binary : std::ios::binary);
  if (more) file << "\n";
  file << to_string(bench::result_json(result, options.detailed), kPythonStyle);
  file.close();
  if (!file) throw Error("{}: cannot be written", path.string());
  fmt::print(stderr, "result written to {}\n", path.string());
}

}  // namespace minimax::cli
