#pragma once
// `minimax bench frontend`: what the server itself costs. HTTP, JSON, template, tokenizer, engine, parsers
// and event streams run as they do behind a model, over an executor that takes no work; a client in another
// process counts bytes.
//
//   CPU a token  (CPU of this process - CPU inside the executor) / tokens drawn
//   added TTFT   client's time to the first reasoning event - engine's time from arrival to first token:
//                what transport, JSON, template, tokenizer, decoder and parser add
//   memory       (largest resident size during the load - that before the first load) / streams

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "chat/render.h"
#include "tokenizer/tokenizer.h"

namespace minimax::bench {

class ByteClient;

struct FrontendOptions {
  std::vector<int32_t> streams = {1, 100, 1000, 5000};
  int32_t answer_tokens = 128;   // of an answer: reasoning, then text, then a tool call
  int32_t requests_least = 200;  // of a load: streams ask several times if they are few
  int64_t step_us = 0;           // a step of the executor takes so long, without work
  bool spread = false;           // the streams begin evenly over the time of an answer, not all at once
  int32_t io_threads = 2, worker_threads = 2;
};

struct FrontendRecord {
  int32_t streams = 0;
  int64_t requests = 0, failed = 0, tokens = 0;
  double seconds = 0;
  double cpu_us_per_token = 0;
  double executor_cpu_us_per_token = 0;  // already left out of the figure above
  double client_ttft_ms = 0, engine_ttft_ms = 0, added_ttft_ms = 0;
  double kib_per_stream = 0;
};

// `client` must have been made before this process had a second thread. Calls `done` after each load. Throws
// Error.
std::vector<FrontendRecord> run_frontend_bench(const FrontendOptions& options, tokenizer::Tokenizer tokenizer,
                                               ByteClient& client,
                                               const std::function<void(const FrontendRecord&)>& done);

// The answer every sequence gives: thinking, </think>, text, a tool call, [e~[; of about that many tokens.
std::vector<tokenizer::TokenId> frontend_answer(const tokenizer::Tokenizer& tokenizer, int32_t tokens);

}  // namespace minimax::bench
