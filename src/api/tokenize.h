#pragma once
// POST /tokenize and /detokenize.

#include "api/sampling_params.h"
#include "api/service.h"

namespace minimax::api {

// The prompt of a chat request, whatever the context; kTooLarge beyond tokenize_bytes_max.
Result<std::vector<tokenizer::TokenId>> chat_prompt_ids(Fields& fields, const RequestContext& context);

// The prompt of a chat request as text and as ids, nothing generated: {"prompt", "prompt_token_ids", "count",
// "max_model_len"}. The whole request is checked, as if it were to be answered.
Result<Json> render_chat(const Json& body, const RequestContext& context);

Result<Json> tokenize(const Json& body, const RequestContext& context);
Result<Json> detokenize(const Json& body, const RequestContext& context);

}  // namespace minimax::api
