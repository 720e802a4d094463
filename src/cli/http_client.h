#pragma once
// A small HTTP/1.1 client for the terminal chat: one request at a time, the body given as it arrives.

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/url.h"

namespace minimax::cli {

using net::parse_url;
using net::Url;

struct HttpReply {
  int status = 0;            // 0: interrupted before the headers came
  bool interrupted = false;  // Ctrl-C ended it
};

using Headers = std::vector<std::pair<std::string, std::string>>;

// Sends one request (GET if body is empty) and hands over the reply's body piece by piece. SIGINT during the
// call closes the connection and returns with interrupted set. Throws Error naming host and port when it
// cannot connect or the reply breaks off.
HttpReply http_request(const Url& url, std::string_view target, std::string_view body, const Headers& headers,
                       const std::function<void(int status, std::string_view piece)>& on_piece);

}  // namespace minimax::cli
