#include "bench/offline/offline.h"

#include "base/check.h"
#include "base/clock.h"

namespace minimax::bench {

OfflineRun run_offline(engine::Engine& engine, std::vector<engine::Request> requests) {
  OfflineRun out;
  const auto fail = [&](const std::string& error) {
    ++out.failed;
    out.error = error;
  };
  const int64_t begin_us = now_us();
  std::vector<std::unique_ptr<engine::Stream>> streams;
  for (engine::Request& request : requests) {
    const int64_t prompt_tokens = std::ssize(request.prompt);
    auto stream = engine.submit(std::move(request));
    if (!stream.ok()) {
      fail(stream.failure().message);
      continue;
    }
    out.prompt_tokens += prompt_tokens;
    streams.push_back(std::move(stream).value());
  }
  std::vector<engine::TokenEvent> events;
  for (const std::unique_ptr<engine::Stream>& stream : streams) {
    bool more = true;
    while (more) {
      stream->wait();
      events.clear();
      more = stream->take(events);
      for (const engine::TokenEvent& event : events) {
        if (event.has_token) ++out.output_tokens;
        if (event.finish == engine::FinishReason::kError) fail(event.error);
      }
    }
  }
  out.seconds = static_cast<double>(now_us() - begin_us) * 1e-6;
  return out;
}

std::vector<engine::Request> offline_requests(const std::vector<std::vector<engine::TokenId>>& prompts,
                                              const std::vector<int64_t>& output_tokens) {
  CHECK_EQ(prompts.size(), output_tokens.size());
  std::vector<engine::Request> out;
  for (size_t i = 0; i < prompts.size(); ++i) {
    engine::Request request;
    request.id = "bench-" + std::to_string(i);
    request.prompt = prompts[i];
    request.max_tokens = static_cast<int32_t>(output_tokens[i]);
    request.spec.seed = i;
    out.push_back(std::move(request));
  }
  return out;
}

}  // namespace minimax::bench
