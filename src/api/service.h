#pragma once
// The OpenAI API over one engine: JSON in, JSON out. Every handler may be called from any thread and never
// waits for the engine: what takes time is returned as a Pending.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/metrics.h"
#include "api/reply.h"
#include "chat/parse.h"
#include "chat/render.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace minimax::api {

// Values of requests that name none: the checkpoint's generation_config, or the API's own (1, 1, 0, 0, 1).
struct SamplingDefaults {
  double temperature = 1.0;
  double top_p = 1.0;
  int64_t top_k = 0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;
  std::optional<int64_t> max_tokens;  // max_new_tokens: no request gets more, as in the peer
};

struct ServiceOptions {
  // --- the model
  std::vector<std::string> served_names;  // at least one; the first is the one reported in answers
  std::string model_root;                 // what MODEL was, for /v1/models
  std::string version;                    // of the program, for /version
  std::vector<tokenizer::TokenId> eos_ids;
  chat::RenderOptions render;

  // --- thinking and tools
  chat::ReasoningFormat reasoning = chat::ReasoningFormat::kNone;  // --reasoning-parser
  bool tool_parser = false;                                        // --tool-call-parser minimax_m2
  bool auto_tool_choice = false;                                   // --enable-auto-tool-choice
  bool exclude_tools_when_none = false;                            // --exclude-tools-when-tool-choice-none
  Json default_template_kwargs;                                    // null or an object

  // --- sampling
  SamplingDefaults defaults;
  // Requests without a seed: drawn from the system, or, if set (--seed), derived from this and a count of
  // such requests, so that the same series of requests gives the same answers.
  std::optional<uint64_t> seed;
  bool priority_scheduling = false;  // otherwise a request's priority must be 0

  // --- limits; the message of each names it
  int64_t logprobs_max = 20;  // --max-logprobs; -1: all
  int64_t n_max = 128;        // samples of one request
  int64_t stop_strings_max = 16;
  int64_t stop_string_bytes_max = 1024;
  int64_t prompts_max = 256;     // prompts of one completions request
  int64_t messages_max = 65536;  // of one chat request
  int64_t tools_max = 1024;
  int64_t tokenize_bytes_max = 8 << 20;  // text of /tokenize and /v1/messages/count_tokens

  // --- responses that are stored (POST /v1/responses)
  int64_t response_store_bytes = 256 << 20;  // --response-store-bytes; 0: none is stored
  int64_t response_store_seconds = 3600;     // --response-store-seconds: since it was last written or read

  // --- answers and logs
  bool prompt_tokens_details = false;  // --enable-prompt-tokens-details
  bool force_include_usage = false;    // --enable-force-include-usage
  bool log_requests = false;           // --enable-log-requests
  bool openapi = true;                 // /openapi.json is served (--disable-fastapi-docs)
};

class Service {
 public:
  // All that is borrowed must outlive the service and every Pending it returned. `metrics` is the engine's
  // observer.
  Service(ServiceOptions options, const tokenizer::Tokenizer& tokenizer, engine::Engine& engine,
          Metrics& metrics);
  ~Service();

  Answer chat_completions(const Call& call, Notify notify);  // POST /v1/chat/completions
  Answer completions(const Call& call, Notify notify);       // POST /v1/completions
  Answer messages(const Call& call, Notify notify);          // POST /v1/messages
  Reply count_tokens(const Call& call) const;                // POST /v1/messages/count_tokens
  Answer responses(const Call& call, Notify notify);         // POST /v1/responses
  // GET /v1/responses/ID, with stream and starting_after in the query; DELETE of the same; POST .../ID/cancel
  Answer response(const Call& call, const std::string& id, Notify notify);
  Reply delete_response(const std::string& id);
  Reply cancel_response(const std::string& id);
  Reply render_chat(const Call& call) const;   // POST /v1/chat/completions/render
  Reply openapi() const;                       // GET /openapi.json
  Reply models() const;                        // GET /v1/models
  Reply model(const std::string& name) const;  // GET /v1/models/NAME
  Reply tokenize(const Call& call) const;      // POST /tokenize
  Reply detokenize(const Call& call) const;    // POST /detokenize
  Reply health() const;                        // GET /health, GET and POST /ping
  Reply version() const;                       // GET /version
  Reply load() const;                          // GET /load
  Reply metrics() const;                       // GET /metrics

  // From now on new generations are refused (503) and /health says so; those accepted go on.
  void drain();
  // Ends every generation with an error that says that the server is shutting down.
  void abort();

  const ServiceOptions& options() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::api
