#include "bench/frontend/frontend.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

#include "api/service.h"
#include "base/error.h"
#include "bench/frontend/byte_client.h"
#include "bench/frontend/replay_executor.h"
#include "server/http.h"

namespace minimax::bench {
namespace {

constexpr int32_t kPromptTokensMax = 1024;
constexpr int32_t kBlockTokens = 16;

// The service's metrics, and the engine's share of the time to first token beside.
class Watch final : public engine::Observer {
 public:
  explicit Watch(api::Metrics& metrics) : metrics_(metrics) {}
  void on_step(int64_t rows) override { metrics_.on_step(rows); }
  void on_first_token(int64_t since_arrival_us) override {
    metrics_.on_first_token(since_arrival_us);
    first_us_ += since_arrival_us;
    ++first_count_;
  }
  void on_next_token(int64_t since_previous_us) override { metrics_.on_next_token(since_previous_us); }
  void on_finished(const engine::RequestTimes& times) override { metrics_.on_finished(times); }

  std::atomic<int64_t> first_us_ = 0, first_count_ = 0;

 private:
  api::Metrics& metrics_;
};

int64_t process_cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& time) {
    return static_cast<int64_t>(time.tv_sec) * 1'000'000 + time.tv_usec;
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Looks at the resident size now and then until it is destroyed.
class MemoryWatch {
 public:
  MemoryWatch()
      : thread_([this] {
          while (!ended_) {
            peak_ = std::max(peak_.load(), resident_bytes());
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          }
        }) {}
  int64_t stop() {
    ended_ = true;
    thread_.join();
    return peak_;
  }

 private:
  std::atomic<bool> ended_ = false;
  std::atomic<int64_t> peak_ = 0;
  std::thread thread_;
};

executor::Limits limits_for(const FrontendOptions& options, int32_t answer_tokens, int32_t vocab_size) {
  const int32_t streams = *std::max_element(options.streams.begin(), options.streams.end());
  executor::Limits limits;
  limits.block_tokens = kBlockTokens;
  limits.context_tokens_max = kPromptTokensMax + answer_tokens + 1;
  limits.block_count = streams * (limits.context_tokens_max / kBlockTokens + 2);
  limits.slot_count = streams;
  limits.step_rows_max = std::max(8192, 2 * streams);
  limits.step_sequences_max = streams;
  limits.step_samples_max = streams;
  limits.pipeline_depth = 1;
  limits.vocab_size = vocab_size;
  limits.mask_words = (vocab_size + 31) / 32;
  return limits;
}

std::string http_request(int port) {
  const std::string body =
      R"({"model": "m", "stream": true, "temperature": 0, "messages": [)"
      R"({"role": "user", "content": "What is the weather in Paris?"}], "tools": [{"type": "function", )"
      R"("function": {"name": "get_weather", "description": "Current weather of a city.", "parameters": )"
      R"({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]})";
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

// The server and all below it.
struct Stack {
  Stack(const FrontendOptions& options, const std::vector<tokenizer::TokenId>& answer,
        const tokenizer::Tokenizer& tokenizer)
      : executor(limits_for(options, static_cast<int32_t>(answer.size()), tokenizer.size()), answer,
                 options.step_us),
        metrics({.model_name = "m", .context_tokens_max = executor.limits().context_tokens_max}),
        watch(metrics),
        engine(executor, engine::Options{.waiting_requests_max = 1 << 16}, &watch),
        service(service_options(answer.back()), tokenizer, engine, metrics),
        server(server_options(options), service),
        thread([this] { server.run(); }) {}
  ~Stack() {
    server.stop();
    thread.join();
  }

  static api::ServiceOptions service_options(tokenizer::TokenId eos) {
    api::ServiceOptions out;
    out.served_names = {"m"};
    out.eos_ids = {eos};
    out.reasoning = chat::ReasoningFormat::kMinimaxM2;
    out.tool_parser = out.auto_tool_choice = true;
    return out;
  }
  static server::Options server_options(const FrontendOptions& options) {
    server::Options out;
    out.port = 0;
    out.io_threads = options.io_threads;
    out.worker_threads = options.worker_threads;
    out.connections_max = 1 << 16;
    return out;
  }

  ReplayExecutor executor;
  api::Metrics metrics;
  Watch watch;
  engine::Engine engine;
  api::Service service;
  server::Server server;
  std::thread thread;
};

// The last step of an answer is counted after the client has it.
void wait_until_counted(const engine::Engine& engine) {
  while (!engine.idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

FrontendRecord run_load(const FrontendOptions& options, Stack& stack, ByteClient& client, int32_t streams,
                        int64_t answer_us, int64_t resident_before) {
  FrontendRecord out;
  out.streams = streams;
  const ByteLoad load{.streams = streams,
                      .rounds = std::max(1, (options.requests_least + streams - 1) / streams),
                      .spread_us = options.spread ? answer_us : 0};
  wait_until_counted(stack.engine);
  const int64_t tokens = stack.engine.stats().generation_tokens, cpu_us = process_cpu_us(),
                executor_ns = stack.executor.cpu_ns(), first_us = stack.watch.first_us_,
                first_count = stack.watch.first_count_;
  MemoryWatch memory;
  const ByteReport report = client.run(load);
  out.kib_per_stream = static_cast<double>(memory.stop() - resident_before) / 1024 / streams;
  wait_until_counted(stack.engine);
  out.requests = report.answered;
  out.failed = report.failed + static_cast<int64_t>(streams) * load.rounds - report.answered;
  out.seconds = report.seconds;
  out.tokens = stack.engine.stats().generation_tokens - tokens;
  const auto drawn = static_cast<double>(std::max<int64_t>(out.tokens, 1));
  out.executor_cpu_us_per_token = static_cast<double>(stack.executor.cpu_ns() - executor_ns) * 1e-3 / drawn;
  out.cpu_us_per_token =
      static_cast<double>(process_cpu_us() - cpu_us) / drawn - out.executor_cpu_us_per_token;
  const auto firsts = static_cast<double>(std::max<int64_t>(stack.watch.first_count_ - first_count, 1));
  out.client_ttft_ms = report.ttft_mean_us * 1e-3;
  out.engine_ttft_ms = static_cast<double>(stack.watch.first_us_ - first_us) / firsts * 1e-3;
  out.added_ttft_ms = out.client_ttft_ms - out.engine_ttft_ms;
  return out;
}

}  // namespace

std::vector<tokenizer::TokenId> frontend_answer(const tokenizer::Tokenizer& tokenizer, int32_t tokens) {
  const std::vector<tokenizer::TokenId> end = tokenizer.encode(
      "\n</think>\n\nI will look.\n<minimax:tool_call>\n<invoke name=\"get_weather\">\n"
      "<parameter name=\"city\">Paris</parameter>\n</invoke>\n</minimax:tool_call>[e~[",
      true);
  const std::vector<tokenizer::TokenId> thought =
      tokenizer.encode("The user asks for the weather in Paris, so the tool has to be called. ", false);
  if (tokens <= std::ssize(end))
    throw UsageError("--answer-tokens: expected at least {}, for a thought, the text and a call; found {}",
                     std::ssize(end) + 1, tokens);
  std::vector<tokenizer::TokenId> out;
  while (std::ssize(out) + std::ssize(end) < tokens) out.push_back(thought[out.size() % thought.size()]);
  out.insert(out.end(), end.begin(), end.end());
  return out;
}

std::vector<FrontendRecord> run_frontend_bench(const FrontendOptions& options, tokenizer::Tokenizer tokenizer,
                                               ByteClient& client,
                                               const std::function<void(const FrontendRecord&)>& done) {
  if (!tokenizer.added_id("[e~[")) throw Error("the tokenizer has no [e~[: it is not one of this family");
  const std::vector<tokenizer::TokenId> answer = frontend_answer(tokenizer, options.answer_tokens);
  Stack stack(options, answer, tokenizer);
  client.aim(static_cast<uint16_t>(stack.server.port()), http_request(stack.server.port()));
  // What is set up by the first request belongs to no stream.
  client.run({1, 2});
  const int64_t resident_before = resident_bytes();
  std::vector<FrontendRecord> records;
  for (const int32_t streams : options.streams) {
    records.push_back(
        run_load(options, stack, client, streams, std::ssize(answer) * options.step_us, resident_before));
    if (done) done(records.back());
  }
  return records;
}

}  // namespace minimax::bench
