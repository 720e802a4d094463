#pragma once
// One HTTP/1.1 exchange, waited for: the small questions a program asks a server (models, health, metrics).

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/url.h"

namespace minimax::net {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// Those of `own`, and of the defaults what `own` does not name; names in any case.
HeaderList with_defaults(HeaderList defaults, const HeaderList& own);

struct FetchReply {
  int status = 0;  // 0: no reply; `error` says why
  std::string body;
  std::string error;
};

inline constexpr size_t kFetchBodyBytesMax = size_t{64} << 20;

// GET if body is empty, otherwise POST of JSON. Never throws: what goes wrong is in the reply.
FetchReply fetch(const Url& url, std::string_view target, std::string_view body, const HeaderList& headers,
                 double timeout_s);

}  // namespace minimax::net
