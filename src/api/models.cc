#include "api/models.h"

#include <algorithm>

#include <fmt/format.h>

#include "api/errors.h"

namespace minimax::api {
namespace {

Json model_json(const ServiceOptions& options, int64_t context_tokens_max, int64_t created,
                const std::string& name) {
  return Json::object({{"id", name},
                       {"object", "model"},
                       {"created", created},
                       {"owned_by", "minimax.cpp"},
                       {"root", options.model_root},
                       {"parent", nullptr},
                       {"max_model_len", context_tokens_max}});
}

}  // namespace

Reply models_reply(const ServiceOptions& options, int64_t context_tokens_max, int64_t created) {
  Json data = Json::array();
  for (const std::string& name : options.served_names) {
    data.push_back(model_json(options, context_tokens_max, created, name));
  }
  Reply reply;
  reply.body = to_string(Json::object({{"object", "list"}, {"data", std::move(data)}}));
  return reply;
}

Reply model_reply(const ServiceOptions& options, int64_t context_tokens_max, int64_t created,
                  const std::string& name) {
  const auto& served = options.served_names;
  if (std::find(served.begin(), served.end(), name) == served.end()) {
    return error_reply(404,
                       fmt::format("The model {} does not exist; this server has {}.", to_string(Json(name)),
                                   to_string(Json(served.front()))),
                       "model");
  }
  Reply reply;
  reply.body = to_string(model_json(options, context_tokens_max, created, name));
  return reply;
}

}  // namespace minimax::api
