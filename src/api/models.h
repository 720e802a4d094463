#pragma once
// GET /v1/models and /v1/models/NAME.

#include <string>

#include "api/service.h"

namespace minimax::api {

Reply models_reply(const ServiceOptions& options, int64_t context_tokens_max, int64_t created);
Reply model_reply(const ServiceOptions& options, int64_t context_tokens_max, int64_t created,
                  const std::string& name);

}  // namespace minimax::api
