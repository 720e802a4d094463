#pragma once
// POST /tokenize and /detokenize.

#include "api/sampling_params.h"
#include "api/service.h"

namespace minimax::api {

Result<Json> tokenize(const Json& body, const RequestContext& context);
Result<Json> detokenize(const Json& body, const RequestContext& context);

}  // namespace minimax::api
