#include "api/anthropic_errors.h"

namespace minimax::api {
namespace {

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

bool speaks_anthropic(std::string_view path) {
  return path == "/v1/messages" || path.starts_with("/v1/messages/");
}

Json anthropic_error(int status, std::string_view message, std::string_view request_id) {
  return Json::object({{"type", "error"},
                       {"error", Json::object({{"type", error_type(status)}, {"message", message}})},
                       {"request_id", request_id.empty() ? Json() : Json(request_id)}});
}

Reply anthropic_reply(Reply reply, std::string_view request_id) {
  if (reply.status < 400) return reply;
  const Result<Json> body = parse_json(reply.body);
  if (!body.ok()) return reply;
  const Json* error = body->find("error");
  const Json* message = error == nullptr ? nullptr : error->find("message");
  if (message == nullptr || !message->is_string() || body->find("type") != nullptr) return reply;
  Json told = anthropic_error(reply.status, message->as_string(), request_id);
  // Anthropic's own client then sends whole conversations.
  const Json* field = error->find("param");
  if (field != nullptr && *field == Json("thread"))
    told.find("error")->set("details", Json::object({{"error_code", "thread_unsupported_request"}}));
  reply.body = to_string(told);
  return reply;
}

}  // namespace minimax::api
