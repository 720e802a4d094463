// `minimax serve MODEL`.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "cli/config_file.h"
#include "cli/hosts.h"
#include "cli/serve_flags.h"
#include "cli/verbs.h"
#include "cli/wire.h"

namespace minimax::cli {
namespace {

constexpr std::chrono::seconds kStatsEvery{10};
constexpr int kExitFailed = 1;  // the model failed: a device or a rank was lost
constexpr int kExitCut = 3;     // a second signal cut off requests without a word

// One line every ten seconds while there is anything to say.
class StatsLogger {
 public:
  StatsLogger(const engine::Engine& engine, bool on) {
    if (!on) return;
    thread_ = std::thread([this, &engine] {
      engine::Stats before = engine.stats();
      std::unique_lock lock(mutex_);
      while (!wake_.wait_for(lock, kStatsEvery, [this] { return ended_; })) {
        const engine::Stats now = engine.stats();
        const double seconds = std::chrono::duration<double>(kStatsEvery).count();
        if (now.steps != before.steps || now.requests_waiting > 0) {
          log::info(
              "prompt {:.1f} tok/s, generation {:.1f} tok/s, running {}, waiting {}, KV cache {:.1f} %, "
              "prefix "
              "hits {:.1f} %",
              static_cast<double>(now.prompt_tokens - before.prompt_tokens) / seconds,
              static_cast<double>(now.generation_tokens - before.generation_tokens) / seconds,
              now.requests_running, now.requests_waiting, now.kv_cache_usage * 100,
              now.prefix_queries == 0
                  ? 0.0
                  : 100.0 * static_cast<double>(now.prefix_hits) / static_cast<double>(now.prefix_queries));
        }
        before = now;
      }
    });
  }
  ~StatsLogger() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ended_ = false;
  std::thread thread_;
};

log::Level level_of(const std::string& name) {
  if (name == "debug") return log::Level::kDebug;
  if (name == "warning") return log::Level::kWarning;
  return name == "error" ? log::Level::kError : log::Level::kInfo;
}

// What VLLM_USE_DEEP_GEMM came to.
void log_deep_gemm(const ServeOptions& options, const Environment& environment) {
  const std::string& value = environment.use_deep_gemm;
  if (value.empty()) return;
  if (options.backend != "cuda") {
    log::info("VLLM_USE_DEEP_GEMM: concerns GPUs; nothing to do on a CPU");
  } else if (value == "0") {
    log::info("VLLM_USE_DEEP_GEMM=0: activations stay bf16, --linear-precision {}", options.arithmetic);
  } else {
    log::info("VLLM_USE_DEEP_GEMM={}: nothing to do; fp8 activations (w8a8) are the default", value);
  }
}

// Flags that only a GPU has a use for.
void log_unused(const Args& args, const ServeOptions& options) {
  if (options.backend == "cuda") return;
  constexpr std::pair<std::string_view, std::string_view> kUnused[] = {
      {"--tensor-parallel-size",
       "ranks share this machine's threads and give the tokens of one; more of them are not faster here"},
      {"--gpu-memory-utilization",
       "concerns GPUs; on a CPU the KV cache is sized by --kv-cache-memory-bytes"},
      {"--enforce-eager", "there are no graphs on a CPU"}};
  if (args.on("--enable-expert-parallel") && !options.expert_parallel)
    log::info("--enable-expert-parallel: the only rank has all experts");
  for (const auto& [name, why] : kUnused)
    if (args.has(name)) log::info("{}: {}", name, why);
}

}  // namespace

int run_serve(const Words& words, const Environment& environment) {
  const int64_t started_us = now_us();
  const Verb& verb = serve_verb();
  const Args args = parse_args(verb, expand_config(verb, words));
  if (print_help(verb, args)) return 0;
  const ServeOptions options = serve_options(args, environment);
  log::set_level(level_of(options.log_level));
  for (const std::string& note : args.notes()) log::info("{}", note);
  log_unused(args, options);
  log_deep_gemm(options, environment);

  server::Options http = server_options(options);
  http.handle_signals = true;
  if (options.host_rank == 0) server::check_address(http);  // a port in use is told before minutes of loading
  const std::unique_ptr<comm::Hosts> hosts = join_hosts(options);
  if (options.host_rank > 0) return follow_hosts(options, environment, *hosts);
  ServedModel model(options, environment, hosts.get());
  server::Server server(http, model.service());
  const bool any_address = options.host == "0.0.0.0" || options.host == "::";
  const bool ipv6 = options.host.find(':') != std::string::npos;
  log::info("listening on http://{}:{} ({}), ready after {} ms",
            ipv6 ? "[" + options.host + "]" : options.host, server.port(),
            any_address ? "all addresses" : "only this address; --host 0.0.0.0 for all",
            (now_us() - started_us) / 1000);
  const StatsLogger stats(model.engine(), options.log_stats);
  model.engine().on_failure([&server](const std::string&) { server.fail(); });
  const bool all_answered = server.run();
  model.engine().on_failure({});  // the server goes before the engine
  if (!model.engine().failure().empty()) {
    std::fflush(nullptr);
    std::_Exit(kExitFailed);  // a rank that hangs can not be waited for
  }
  return all_answered ? 0 : kExitCut;
}

}  // namespace minimax::cli
