#include "server/access.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "api/errors.h"
#include "base/check.h"

namespace minimax::server {
namespace {

// Probes, scrapers and readers of the document carry no key.
constexpr std::array<std::string_view, 6> kPublicPaths{"/health", "/ping",    "/version",
                                                       "/load",   "/metrics", "/openapi.json"};
constexpr std::string_view kAllMethods = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
constexpr std::string_view kPreflightSeconds = "600";

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string sha256(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  CHECK_EQ(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr), 1);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

bool equal_nocase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

api::Reply plain_reply(int status, std::string body) {
  api::Reply reply;
  reply.status = status;
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = std::move(body);
  return reply;
}

}  // namespace

Access::Access(AccessOptions options)
    : options_(std::move(options)), all_origins_(contains(options_.allowed_origins, "*")) {
  for (const std::string& key : options_.api_keys) keys_.push_back(sha256(key));
}

bool Access::known(std::string_view key) const {
  const Digest given = sha256(key);
  int matches = 0;
  for (const Digest& digest : keys_) {
    matches |= static_cast<int>(CRYPTO_memcmp(given.data(), digest.data(), digest.size()) == 0);
  }
  return matches != 0;
}

std::optional<api::Reply> Access::refusal(const Request& request, std::string_view path) const {
  if (keys_.empty() || std::find(kPublicPaths.begin(), kPublicPaths.end(), path) != kPublicPaths.end())
    return {};
  if (const std::string* authorization = request.header("authorization")) {
    const size_t space = authorization->find(' ');
    const std::string_view scheme = std::string_view(*authorization).substr(0, space);
    if (space != std::string::npos && equal_nocase(scheme, "bearer") &&
        known(std::string_view(*authorization).substr(space + 1))) {
      return {};
    }
  }
  if (const std::string* key = request.header("x-api-key"); key != nullptr && known(*key)) return {};
  api::Reply reply = api::error_reply(
      401,
      "This server asks for an API key: send it as \"Authorization: Bearer KEY\" (or \"x-api-key: KEY\").");
  reply.headers.emplace_back("www-authenticate", "Bearer");
  return reply;
}

bool Access::origin_allowed(std::string_view origin) const {
  return all_origins_ || contains(options_.allowed_origins, origin);
}

std::optional<api::Reply> Access::preflight(const Request& request) const {
  const std::string* origin = request.header("origin");
  const std::string* method = request.header("access-control-request-method");
  if (request.method != "OPTIONS" || origin == nullptr || method == nullptr) return {};
  if (!origin_allowed(*origin)) return plain_reply(400, "Disallowed CORS origin");
  const bool all_methods = contains(options_.allowed_methods, "*");
  if (!all_methods && !contains(options_.allowed_methods, *method))
    return plain_reply(400, "Disallowed CORS method");
  api::Reply reply = plain_reply(200, "OK");
  reply.headers.emplace_back(
      "access-control-allow-methods",
      all_methods ? std::string(kAllMethods) : fmt::format("{}", fmt::join(options_.allowed_methods, ", ")));
  reply.headers.emplace_back("access-control-max-age", kPreflightSeconds);
  const std::string* wanted = request.header("access-control-request-headers");
  if (contains(options_.allowed_headers, "*")) {
    if (wanted != nullptr) reply.headers.emplace_back("access-control-allow-headers", *wanted);
  } else {
    reply.headers.emplace_back("access-control-allow-headers",
                               fmt::format("{}", fmt::join(options_.allowed_headers, ", ")));
  }
  return reply;
}

HeaderList Access::cors_headers(const Request& request) const {
  const std::string* origin = request.header("origin");
  if (origin == nullptr || !origin_allowed(*origin)) return {};
  HeaderList headers;
  if (all_origins_ && !options_.allow_credentials) {
    headers.emplace_back("access-control-allow-origin", "*");
  } else {
    // Browsers take no "*" along with credentials.
    headers.emplace_back("access-control-allow-origin", *origin);
    headers.emplace_back("vary", "Origin");
  }
  if (options_.allow_credentials) headers.emplace_back("access-control-allow-credentials", "true");
  headers.emplace_back("access-control-expose-headers", "x-request-id");
  return headers;
}

}  // namespace minimax::server
