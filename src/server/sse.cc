#include "server/sse.h"

namespace minimax::server {

const HeaderList& event_stream_headers() {
  static const HeaderList headers{{"cache-control", "no-cache"}, {"x-accel-buffering", "no"}};
  return headers;
}

void append_event(std::string& out, const api::Event& event) {
  if (!event.name.empty()) out.append("event: ").append(event.name).append("\n");
  std::string_view payload = event.data;
  while (true) {
    const size_t end = payload.find('\n');
    out.append("data: ").append(payload.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    payload.remove_prefix(end + 1);
  }
  out.append("\n");
}

}  // namespace minimax::server
