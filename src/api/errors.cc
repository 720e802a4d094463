#include "api/errors.h"

namespace minimax::api {
namespace {

std::string_view error_type(int status) {
  switch (status) {
    case 400:
    case 408:
    case 413:
    case 417:
    case 431:
      return "BadRequestError";
    case 401:
      return "AuthenticationError";
    case 403:
      return "PermissionDeniedError";
    case 404:
      return "NotFoundError";
    case 405:
      return "MethodNotAllowedError";
    case 429:
      return "RateLimitError";
    case 503:
      return "ServiceUnavailableError";
    default:
      return "InternalServerError";
  }
}

}  // namespace

int http_status(FailureKind kind) {
  switch (kind) {
    case FailureKind::kInvalid:
    case FailureKind::kUnimplemented:
      return 400;
    case FailureKind::kNotFound:
      return 404;
    case FailureKind::kTooLarge:
      return 413;
    case FailureKind::kOverloaded:
      return 429;
    case FailureKind::kUnavailable:
      return 503;
    case FailureKind::kInternal:
      return 500;
  }
  return 500;
}

Json error_object(int status, std::string_view message, std::string_view param) {
  return Json::object({{"message", message},
                       {"type", error_type(status)},
                       {"param", param.empty() ? Json() : Json(param)},
                       {"code", status}});
}

Reply error_reply(int status, std::string_view message, std::string_view param) {
  Reply reply;
  reply.status = status;
  reply.body = to_string(Json::object({{"error", error_object(status, message, param)}}));
  if (status == 429 || status == 503) reply.headers.emplace_back("retry-after", "1");
  return reply;
}

Reply error_reply(const Failure& failure) {
  return error_reply(http_status(failure.kind), failure.message, failure.param);
}

std::string error_event(const Failure& failure) {
  return to_string(
      Json::object({{"error", error_object(http_status(failure.kind), failure.message, failure.param)}}));
}

}  // namespace minimax::api
