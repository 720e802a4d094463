#include "server/wire_format.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/check.h"

namespace minimax::server {
namespace {

struct Phrase {
  int status;
  std::string_view text;
};

constexpr std::array kPhrases{Phrase{200, "OK"},
                              Phrase{204, "No Content"},
                              Phrase{400, "Bad Request"},
                              Phrase{401, "Unauthorized"},
                              Phrase{403, "Forbidden"},
                              Phrase{404, "Not Found"},
                              Phrase{405, "Method Not Allowed"},
                              Phrase{408, "Request Timeout"},
                              Phrase{411, "Length Required"},
                              Phrase{413, "Content Too Large"},
                              Phrase{417, "Expectation Failed"},
                              Phrase{429, "Too Many Requests"},
                              Phrase{431, "Request Header Fields Too Large"},
                              Phrase{500, "Internal Server Error"},
                              Phrase{501, "Not Implemented"},
                              Phrase{503, "Service Unavailable"},
                              Phrase{505, "HTTP Version Not Supported"}};

bool plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  if (!plain(name) || !plain(value)) return;
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_date(std::string& out) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 64> text{};
  // No locale is ever set in this program, so the names are the English ones that HTTP asks for.
  const size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  append_header(out, "date", std::string_view(text.data(), size));
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string_view reason_phrase(int status) {
  const auto found = std::find_if(kPhrases.begin(), kPhrases.end(),
                                  [status](const Phrase& phrase) { return phrase.status == status; });
  return found == kPhrases.end() ? "Unknown" : found->text;
}

void append_head(std::string& out, const Head& head, const HeaderList& headers, const HeaderList& more) {
  out.append(head.http10 ? "HTTP/1.0 " : "HTTP/1.1 ").append(std::to_string(head.status)).append(" ");
  out.append(reason_phrase(head.status)).append("\r\n");
  append_date(out);
  append_header(out, "server", "minimax");
  if (!head.content_type.empty()) append_header(out, "content-type", head.content_type);
  if (head.content_length) append_header(out, "content-length", std::to_string(*head.content_length));
  if (head.chunked) append_header(out, "transfer-encoding", "chunked");
  if (!head.keep_alive) {
    append_header(out, "connection", "close");
  } else if (head.http10) {
    append_header(out, "connection", "keep-alive");
  }
  for (const HeaderList* list : {&headers, &more}) {
    for (const auto& [name, value] : *list) append_header(out, name, value);
  }
  out.append("\r\n");
}

void append_chunk(std::string& out, std::string_view data) {
  CHECK(!data.empty());
  out.append(fmt::format("{:x}\r\n", data.size())).append(data).append("\r\n");
}

void append_last_chunk(std::string& out) {
  out.append("0\r\n\r\n");
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

}  // namespace minimax::server
