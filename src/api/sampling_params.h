#pragma once
// The fields that chat and completions requests have in common: sampling, stops, limits, what to return.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/fields.h"
#include "api/service.h"
#include "chat/session.h"
#include "grammar/compiler.h"

namespace minimax::api {

// What reading a request needs to know of the server.
struct RequestContext {
  const ServiceOptions& options;
  const tokenizer::Tokenizer& tokenizer;
  int64_t context_tokens_max;
  std::function<uint64_t()> next_seed;    // for requests without a seed
  const std::string& header_id;           // X-Request-Id, may be empty
  grammar::Compiler* compiler = nullptr;  // needed by requests with a constraint
};

// A constraint and the field it came from.
struct RequestedConstraint {
  grammar::Constraint constraint;
  std::string field;
  bool free_text = false;  // binds tool calls only
};

struct GenerationParams {
  // seed set (drawn if the request has none), logprobs not: chat and completions ask in different words
  executor::SampleSpec spec;
  bool seed_given = false;
  int32_t n = 1;
  std::optional<int64_t> max_tokens;
  bool caps_max_tokens = false;  // max_tokens beyond the context is cut, not refused
  std::vector<std::string> stop;
  bool include_stop_str = false;
  bool skip_special_tokens = true;
  int32_t prompt_logprobs = -1;  // -1: none
  std::optional<int64_t> truncate_prompt_tokens;
  bool truncate_right = false;  // keep the first tokens instead of the last
  int32_t priority = 0;
  std::string cache_salt;
  std::optional<RequestedConstraint> constraint;
  std::optional<int64_t> thinking_token_budget;
  std::string request_id;                 // without the prefix of the endpoint
  std::string prompt_field = "messages";  // named when the prompt is too long

  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool echo = false;
  bool return_token_ids = false;
  bool tokens_as_token_ids = false;
};

// A new id for a request whose client gave none: 32 hexadecimal digits.
std::string make_request_id();

// Reads them; failures go to `fields`. Fields of the peer that this version does not offer are refused by
// name.
GenerationParams read_generation_params(Fields& fields, const RequestContext& context);

// Those fields of the peer: the other APIs hand them on, so that they are refused there too.
std::vector<std::string_view> refused_names();

// Checks the name of the model, if the request gives one: a failure of kind kNotFound.
void read_model(Fields& fields, const ServiceOptions& options);

// A number of log-probabilities: -1 asks for all. Checks --max-logprobs.
int32_t logprob_count(Fields& fields, std::string_view name, int64_t wanted, const RequestContext& context);

// Refuses a text that cannot fit the context even if all its tokens were the longest there are: reading it
// would take time for nothing. Not if truncate_prompt_tokens cuts the prompt.
Status check_prompt_bytes(const GenerationParams& params, int64_t bytes, const RequestContext& context);

// The prompt cut and checked against the context, the number of tokens to generate settled.
// `default_max_tokens`: of requests that name none; nothing: what the context leaves. Above either stands
// max_new_tokens of the generation config: as in the peer it caps every request.
Result<chat::GenerationRequest> make_generation(const GenerationParams& params,
                                                std::vector<engine::TokenId> prompt,
                                                std::optional<int64_t> default_max_tokens,
                                                const RequestContext& context);

}  // namespace minimax::api
