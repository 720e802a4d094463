#pragma once
// Server-sent events (HTML standard, 9.2): the frame around each payload of a stream.

#include <string>
#include <string_view>

#include "server/routes.h"

namespace minimax::server {

inline constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";

// Nothing on the way may keep the events: no cache, and no buffer in a proxy such as nginx.
const HeaderList& event_stream_headers();

// Appends "event: NAME\n" if there is a name, and "data: ...\n\n"; data of several lines become several data
// lines, which the reader joins.
void append_event(std::string& out, const api::Event& event);

}  // namespace minimax::server
