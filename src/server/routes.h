#pragma once
// From a request to the handler that answers it: path and method, API key, CORS.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/service.h"

namespace minimax::server {

struct AccessOptions {
  // Empty: none asked for. Guards every path but those of probes and scrapers (/health, /ping, /version,
  // /load, /metrics, /openapi.json), as in the peer.
  std::vector<std::string> api_keys;
  std::vector<std::string> allowed_origins{"*"}, allowed_methods{"*"}, allowed_headers{"*"};
  bool allow_credentials = false;
};

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// A request as the transport read it. Header names are in lower case.
struct Request {
  std::string method;
  std::string target;  // path and query, as sent
  HeaderList headers;
  std::string body;
  // The value of the first header of that name, or nullptr.
  const std::string* header(std::string_view name) const;
};

// The answer, and headers that go with it whatever it is.
struct Response {
  api::Answer answer;
  HeaderList headers;
};

using Handler = std::function<Response(Request request, api::Notify notify)>;

// Asked once the head of a request is there and before its body is read: the refusal, or nothing. Runs on the
// thread of the socket, so it must be quick.
using Gate = std::function<std::optional<Response>(const Request& head)>;

// Whether a request may demand a form of its answer, which is compiled while the request is read: it has
// workers of its own then, and others need not wait for it.
bool may_compile(const Request& request);

// Checks the API key.
Gate make_gate(AccessOptions access);

// The handler of the whole API: answers CORS and OPTIONS, finds the route. Requests have passed the gate. The
// service must outlive it.
Handler make_handler(AccessOptions access, api::Service& service);

}  // namespace minimax::server
