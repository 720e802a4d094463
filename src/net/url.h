#pragma once
// The address of a server.

#include <string>
#include <string_view>

namespace minimax::net {

struct Url {
  std::string host, port, path;  // path without a trailing slash, may be empty

  std::string authority() const;  // for the Host header: "127.0.0.1:8000", "[::1]:8000"
};

// http://host[:port][/path]; throws UsageError for anything else (https: put the name of the proxy's plain
// port).
Url parse_url(std::string_view text);

}  // namespace minimax::net
