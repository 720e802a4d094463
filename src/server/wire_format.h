#pragma once
// HTTP/1.1 as text: heads of responses, chunks of the chunked coding, percent-decoding.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/routes.h"

namespace minimax::server {

std::string_view reason_phrase(int status);

struct Head {
  int status = 200;
  std::string_view content_type;           // empty: none
  std::optional<uint64_t> content_length;  // none: chunked, or until the connection closes
  bool chunked = false;
  bool keep_alive = true;
  bool http10 = false;
};

// Appends the status line and headers, the blank line included. A header whose value holds a control
// character is left out: it would let a client write headers of its own.
void append_head(std::string& out, const Head& head, const HeaderList& headers, const HeaderList& more);

// Appends one chunk of the chunked transfer coding. REQUIRES: data is not empty (that would end the body).
void append_chunk(std::string& out, std::string_view data);
void append_last_chunk(std::string& out);

// "%2F" -> "/". A '%' without two hex digits stays as it is.
std::string percent_decoded(std::string_view text);

}  // namespace minimax::server
