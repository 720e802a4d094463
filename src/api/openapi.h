#pragma once
// GET /openapi.json: the API described to machines (OpenAPI 3.1). tests/test_openapi.py holds the server to
// it.

#include <string>
#include <string_view>

#include "base/json.h"

namespace minimax::api {

// The document, of a server of that version. Members of requests that it does not list are taken as
// docs/apis.md says, or ignored.
Json openapi_document(std::string_view version);

}  // namespace minimax::api
