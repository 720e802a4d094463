#include "net/url.h"

#include <charconv>
#include <cstdint>

#include "base/error.h"

namespace minimax::net {

std::string Url::authority() const {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

Url parse_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with("https://")) {
    throw UsageError(
        "\"{}\": https is not spoken; let a proxy on this machine speak it (socat TCP-LISTEN:8080,fork "
        "OPENSSL:HOST:443) and give its http:// address, with --header Host=HOST",
        text);
  }
  if (!text.starts_with(kScheme)) {
    throw UsageError("\"{}\" is no address of a server: expected http://HOST[:PORT][/PATH]", text);
  }
  std::string_view rest = text.substr(kScheme.size());
  Url url;
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    url.path = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  while (url.path.ends_with('/')) url.path.pop_back();
  const size_t bracket = rest.find(']');  // [::1]:8000
  const size_t colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
  url.host = rest.substr(0, colon);
  if (url.host.starts_with('[') && url.host.ends_with(']'))
    url.host = url.host.substr(1, url.host.size() - 2);
  url.port = colon == std::string_view::npos ? "80" : std::string(rest.substr(colon + 1));
  if (url.host.empty() || url.port.empty()) throw UsageError("\"{}\" lacks a host or a port", text);
  if (url.host.find('@') != std::string::npos || url.port.find('@') != std::string::npos) {
    throw UsageError(
        "\"{}\": a name and a password in the address are not sent; give --header Authorization=...", text);
  }
  uint16_t number = 0;
  const char* const end = url.port.data() + url.port.size();
  const auto [read, code] = std::from_chars(url.port.data(), end, number);
  if (code != std::errc() || read != end || number == 0)
    throw UsageError("\"{}\": expected a port from 1 to 65535, found \"{}\"", text, url.port);
  return url;
}

}  // namespace minimax::net
