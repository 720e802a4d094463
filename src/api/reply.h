#pragma once
// What passes between the transport and the handlers: a request as plain strings, and an answer that is
// either whole or comes with time. No socket is known here, and no API field in the transport.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace minimax::api {

struct Call {
  std::string method;      // "GET", "POST", ...
  std::string path;        // decoded, without the query
  std::string query;       // what stands behind the "?", as sent
  std::string body;        // as sent
  std::string request_id;  // X-Request-Id, empty if the client sent none
};

struct Reply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // besides type and length
};

// One server-sent event. Without a name it is the stream's plain message.
struct Event {
  Event(std::string text) : data(std::move(text)) {}
  Event(std::string_view text) : data(text) {}
  Event(const char* text) : data(text) {}
  Event(std::string_view type, std::string text) : name(type), data(std::move(text)) {}

  std::string name;  // "event: NAME", left out if empty
  std::string data;  // "data: ..."
};

// An answer that takes time. The transport polls it whenever `notify` was called, from one thread at a time.
// Destroying it cancels the generations behind it.
class Pending {
 public:
  virtual ~Pending() = default;

  // True: the client gets server-sent events as they come. False: one reply at the end.
  virtual bool streams() const = 0;

  // Never blocks. Appends the events that became known; returns false once nothing more will come. An answer
  // that does not stream appends nothing.
  virtual bool poll(std::vector<Event>& events) = 0;

  // REQUIRES: !streams(), and poll() has returned false.
  virtual Reply reply() = 0;
};

using Answer = std::variant<Reply, std::unique_ptr<Pending>>;

// Called from the engine's thread when there is something to poll. Must return at once.
using Notify = std::function<void()>;

}  // namespace minimax::api
