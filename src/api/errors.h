#pragma once
// Failures as the clients of the OpenAI API know them: {"error": {message, type, param, code}}.

#include <string>
#include <string_view>

#include "api/reply.h"
#include "base/json.h"
#include "base/result.h"

namespace minimax::api {

int http_status(FailureKind kind);

// {"message", "type", "param", "code"}; type by status, as in the peer.
Json error_object(int status, std::string_view message, std::string_view param = {});

Reply error_reply(int status, std::string_view message, std::string_view param = {});
Reply error_reply(const Failure& failure);

// The payload of the event that reports a failure in the middle of a stream.
std::string error_event(const Failure& failure);

}  // namespace minimax::api
