#pragma once
// Who may ask, and from which web page: API keys and CORS (Fetch standard, 3.2).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/reply.h"
#include "server/routes.h"

namespace minimax::server {

class Access {
 public:
  explicit Access(AccessOptions options);

  // The refusal (401), or nothing if the request may pass. Keys come as "Authorization: Bearer KEY" or
  // "x-api-key: KEY"; they are compared by their SHA-256 and without a branch on the outcome, so that the
  // time it takes tells nothing of a key.
  std::optional<api::Reply> refusal(const Request& request, std::string_view path) const;

  // The reply to a preflight, or nothing if the request is none.
  std::optional<api::Reply> preflight(const Request& request) const;
  // The headers of every answer to a request with an Origin.
  HeaderList cors_headers(const Request& request) const;

 private:
  using Digest = std::string;  // 32 bytes

  bool known(std::string_view key) const;
  bool origin_allowed(std::string_view origin) const;

  AccessOptions options_;
  std::vector<Digest> keys_;
  bool all_origins_ = false;
};

}  // namespace minimax::server
