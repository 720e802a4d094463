#include "server/connection.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <malloc.h>

#include "api/errors.h"
#include "base/log.h"
#include "server/sse.h"
#include "server/wire_format.h"

namespace minimax::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kReadBytes = 16 << 10;
// What a pipelining client may send ahead while its last request is being answered.
constexpr size_t kAheadBytesMax = 64 << 10;
// How long the rest of a refused request is read and thrown away, so that the client sees the reply and not a
// reset connection.
constexpr double kLingerSeconds = 2;
// Buffers that once held a large reply are given back above this.
constexpr size_t kKeptBytesMax = 256 << 10;
// After a request with a larger body, memory goes back to the system.
constexpr size_t kTrimmedBodyBytes = 1 << 20;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c);
  });
  return out;
}

Request request_of(const http::request<http::string_body>& message) {
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message) {
    request.headers.emplace_back(lower(field.name_string()), std::string(field.value()));
  }
  return request;
}

// No exception of a handler reaches the event loop: it becomes a 500.
Response guarded(const Handler& handler, Request request, api::Notify notify) {
  try {
    return handler(std::move(request), std::move(notify));
  } catch (const std::exception& error) {
    log::error("a handler failed: {}", error.what());
  }
  return {api::error_reply({FailureKind::kInternal, "The server failed to handle the request.", {}}), {}};
}

}  // namespace

Connection::Connection(Socket socket, Hub& hub)
    : hub_(hub), socket_(std::move(socket)), timer_(socket_.get_executor()) {
  hub_.add(this);
}

Connection::~Connection() {
  if (wake_) wake_->cut();
  pending_.reset();
  hub_.remove(this);
}

void Connection::start() {
  asio::dispatch(socket_.get_executor(), [self = shared_from_this()] {
    self->wake_ = std::make_shared<Wake>(self);
    error_code ignored;
    self->socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    self->socket_.non_blocking(true, ignored);  // write() tries without the event loop first
    self->set_deadline(Deadline::kIdle, self->hub_.options().idle_timeout_s);
    self->read_some();
  });
}

void Connection::refuse() {
  asio::dispatch(socket_.get_executor(), [self = shared_from_this()] {
    self->busy_ = true;
    self->send_error(
        503, fmt::format("The server has {} open connections, its limit (connections_max). Try again later.",
                         self->hub_.options().connections_max));
  });
}

void Connection::drain() {
  // May run while another thread drops the last reference; then there is nothing to drain.
  if (std::shared_ptr<Connection> self = weak_from_this().lock()) {
    const auto executor = socket_.get_executor();
    asio::post(executor, [self = std::move(self)] {
      self->keep_alive_ = false;
      if (!self->busy_ && !self->parser_) self->close();
    });
  }
}

void Connection::abandon() {
  if (wake_) wake_->cut();
  pending_.reset();
  error_code ignored;
  socket_.close(ignored);
}

// ---------------------------------------------------------------------------------------------------------------
// Reading.

void Connection::read_some() {
  if (reading_ || closed_ || ended_by_client_) return;
  if (busy_ && !lingering_ && input_.size() >= kAheadBytesMax) return;
  reading_ = true;
  const auto place = input_.prepare(kReadBytes);
  read_place_ = place.data();
  socket_.async_read_some(
      place, [self = shared_from_this()](error_code error, size_t bytes) { self->on_read(error, bytes); });
}

void Connection::on_read(error_code error, size_t bytes) {
  reading_ = false;
  if (closed_) return;
  if (error == asio::error::eof && !pending_ && !lingering_) {
    ended_by_client_ = true;
    if (!busy_) parse();  // what was read ahead
    if (!busy_) close();
    return;
  }
  if (error) {
    // The client closed or was cut off. With an answer under way this cancels it.
    close();
    return;
  }
  // A request that was read ahead may have been parsed meanwhile; a buffer that became empty by that begins
  // at its front again, and what was read lies further back.
  const auto place = input_.prepare(bytes);
  if (place.data() != read_place_) std::memmove(place.data(), read_place_, bytes);
  input_.commit(bytes);
  if (lingering_) {
    input_.clear();
  } else if (!busy_) {
    parse();
  }
  read_some();
}

void Connection::parse() {
  if (input_.size() == 0 || lingering_) return;
  if (!parser_) {
    parser_.emplace();
    parser_->eager(true);
    parser_->header_limit(static_cast<uint32_t>(hub_.options().header_bytes_max));
    parser_->body_limit(static_cast<uint64_t>(hub_.options().body_bytes_max));
    expect_seen_ = false;
    admitted_ = false;
    body_.emplace(hub_.held_body_bytes());
    set_deadline(Deadline::kRequest, hub_.options().request_timeout_s);
  }
  error_code error;
  while (input_.size() > 0 && !parser_->is_done()) {
    const size_t used = parser_->put(input_.data(), error);
    input_.consume(used);
    if (error) break;
  }
  if (error == http::error::need_more) {
    // The parser looks at the header only once all of it is there, so the limit on what it holds is ours.
    if (!parser_->is_header_done() && input_.size() > static_cast<size_t>(hub_.options().header_bytes_max)) {
      reject(http::make_error_code(http::error::header_limit));
      return;
    }
    error = {};
  }
  if (parser_->is_header_done() && !admit()) return;
  if (error) {
    reject(error);
  } else if (parser_->is_done()) {
    dispatch();
  } else if (parser_->is_header_done()) {
    answer_expect();
  }
}

// The gate is asked once the head is there, and what has come of the body is counted. False: the request was
// answered.
bool Connection::admit() {
  const auto& message = parser_->get();
  if (!admitted_ && hub_.gate()) {
    if (std::optional<Response> refusal = hub_.gate()(request_of(message))) {
      busy_ = true;
      http10_ = message.version() < 11;
      keep_alive_ = parser_->is_done() && message.keep_alive();
      head_only_ = message.method() == http::verb::head;
      parser_.reset();
      body_.reset();
      on_response(std::move(*refusal));
      return false;
    }
  }
  admitted_ = true;
  if (body_->grow_to(std::ssize(message.body()), hub_.options().held_body_bytes_max)) return true;
  busy_ = true;
  parser_.reset();
  body_.reset();
  send_error(503, fmt::format("The server holds as many bytes of requests as it may: {} "
                              "(--max-held-request-bytes). Try again later.",
                              hub_.options().held_body_bytes_max));
  return false;
}

void Connection::reject(error_code error) {
  busy_ = true;
  keep_alive_ = false;
  const Options& options = hub_.options();
  if (error == http::error::body_limit) {
    send_error(413, fmt::format("The request's body is larger than {} bytes (--max-request-bytes).",
                                options.body_bytes_max));
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    send_error(
        431, fmt::format("The request's line and headers are larger than {} bytes, the limit of this server.",
                         options.header_bytes_max));
  } else {
    send_error(400, fmt::format("This is no HTTP/1.1 request: {}.", error.message()));
  }
}

void Connection::answer_expect() {
  if (expect_seen_) return;
  expect_seen_ = true;
  const auto expect = parser_->get().find(http::field::expect);
  if (expect == parser_->get().end()) return;
  if (lower(expect->value()) != "100-continue") {
    busy_ = true;
    keep_alive_ = false;
    send_error(417, "The only expectation understood is 100-continue.");
    return;
  }
  output_ += "HTTP/1.1 100 Continue\r\n\r\n";
  write();
}

void Connection::dispatch() {
  http::request<http::string_body> message = parser_->release();
  parser_.reset();
  busy_ = true;
  answered_ = false;
  stream_open_ = false;
  http10_ = message.version() < 11;
  keep_alive_ = message.keep_alive() && !hub_.draining();
  head_only_ = message.method() == http::verb::head;
  set_deadline(Deadline::kNone, 0);

  Request request = request_of(message);
  request.body = std::move(message.body());
  asio::thread_pool& pool = message.method() == http::verb::get ? hub_.short_worker()
                            : may_compile(request)              ? hub_.compile_workers()
                                                                : hub_.workers();
  asio::post(pool, [self = shared_from_this(), request = std::move(request),
                    hold = std::exchange(body_, std::nullopt)]() mutable {
    const bool large = request.body.size() > kTrimmedBodyBytes;
    Response response =
        guarded(self->hub_.handler(), std::move(request), [wake = self->wake_] { wake->signal(); });
    hold.reset();
    // The tree of a large body is many small pieces, which the allocator would keep for ever.
    if (large) malloc_trim(0);
    const auto executor = self->socket_.get_executor();
    asio::post(executor, [self = std::move(self), response = std::move(response)]() mutable {
      self->on_response(std::move(response));
    });
  });
}

// ---------------------------------------------------------------------------------------------------------------
// Answering.

void Connection::on_response(Response response) {
  if (closed_) return;  // the client has gone meanwhile; the Pending dies here
  response_headers_ = std::move(response.headers);
  if (auto* reply = std::get_if<api::Reply>(&response.answer)) {
    send_reply(std::move(*reply));
  } else {
    if (ended_by_client_) {
      close();
      return;
    }
    pending_ = std::move(std::get<std::unique_ptr<api::Pending>>(response.answer));
    poll();
  }
}

void Connection::on_wake() {
  wake_->taken();
  poll();
}

void Connection::poll() {
  if (!pending_ || closed_) return;
  // A client that reads slower than its stream: what comes meanwhile waits in the engine's stream, and
  // on_writable() polls again.
  if (writing_ && output_.size() > static_cast<size_t>(hub_.options().unsent_bytes_max)) {
    starved_ = true;
    return;
  }
  events_.clear();
  const bool more = pending_->poll(events_);
  if (!pending_->streams()) {
    if (more) return;
    api::Reply reply = pending_->reply();
    pending_.reset();
    send_reply(std::move(reply));
    return;
  }
  if (!stream_open_) {  // at once, before the first token: a proxy sees that the answer has begun
    stream_open_ = true;
    Head head;
    head.content_type = kEventStream;
    head.chunked = !http10_;
    head.http10 = http10_;
    if (http10_) keep_alive_ = false;  // the end of the connection is the end of the body
    head.keep_alive = keep_alive_;
    append_head(output_, head, event_stream_headers(), response_headers_);
  }
  if (!events_.empty()) {
    frames_.clear();
    for (const api::Event& event : events_) append_event(frames_, event);
    if (http10_) {
      output_ += frames_;
    } else {
      append_chunk(output_, frames_);
    }
  }
  if (!more) {
    pending_.reset();
    if (!http10_) append_last_chunk(output_);
    answered_ = true;
  }
  write();
}

void Connection::send_reply(api::Reply reply) {
  if (hub_.draining()) keep_alive_ = false;
  Head head;
  head.status = reply.status;
  head.content_type = reply.body.empty() ? std::string_view{} : std::string_view(reply.content_type);
  if (reply.status != 204) head.content_length = reply.body.size();
  head.keep_alive = keep_alive_;
  head.http10 = http10_;
  append_head(output_, head, reply.headers, response_headers_);
  if (!head_only_) output_ += reply.body;
  answered_ = true;
  write();
}

void Connection::send_error(int status, std::string message) {
  response_headers_.clear();
  keep_alive_ = false;
  http10_ = false;
  head_only_ = false;
  send_reply(api::error_reply(status, std::move(message)));
}

// As much as the socket takes at once; the event loop is asked only when it is full. A token's way to the
// client is then one system call.
void Connection::write() {
  if (writing_ || closed_) return;
  while (sent_ < sending_.size() || !output_.empty()) {
    if (sent_ == sending_.size()) {
      if (sending_.capacity() > kKeptBytesMax) sending_ = {};
      sending_.clear();
      sent_ = 0;
      std::swap(sending_, output_);
    }
    const auto rest = asio::buffer(sending_.data() + sent_, sending_.size() - sent_);
    error_code error;
    sent_ += socket_.write_some(rest, error);
    if (error == asio::error::would_block) {
      writing_ = true;
      set_deadline(Deadline::kWrite, hub_.options().write_timeout_s);
      socket_.async_wait(Socket::wait_write,
                         [self = shared_from_this()](error_code code) { self->on_writable(code); });
      return;
    }
    if (error) {
      close();
      return;
    }
  }
  set_deadline(Deadline::kNone, 0);
  if (answered_) {
    finish_answer();
  } else if (!busy_) {
    // The 100 Continue is out; the body may take the rest of its time.
    set_deadline(Deadline::kRequest, hub_.options().request_timeout_s);
  }
}

void Connection::on_writable(error_code error) {
  writing_ = false;
  if (closed_) return;
  if (error) {
    close();
    return;
  }
  write();
  if (std::exchange(starved_, false)) poll();
}

void Connection::finish_answer() {
  if (!keep_alive_ || hub_.draining()) {
    linger();
    return;
  }
  busy_ = false;
  answered_ = false;
  set_deadline(Deadline::kIdle, hub_.options().idle_timeout_s);
  // Through the event loop, so that a client with a thousand pipelined requests does not deepen the stack.
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->closed_ || self->busy_) return;
    self->parse();
    if (self->ended_by_client_ && !self->busy_) {
      self->close();
      return;
    }
    self->read_some();
  });
}

void Connection::linger() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  if (ended_by_client_) {
    close();
    return;
  }
  lingering_ = true;
  busy_ = false;
  input_.clear();
  set_deadline(Deadline::kLinger, kLingerSeconds);
  read_some();
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  busy_ = false;
  pending_.reset();
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
  timer_.cancel();
}

// ---------------------------------------------------------------------------------------------------------------
// Time. The deadline moves with every write, the timer does not: when it fires early it looks again.

void Connection::set_deadline(Deadline kind, double seconds) {
  deadline_kind_ = kind;
  if (kind == Deadline::kNone) {
    deadline_ = Clock::time_point::max();
    return;
  }
  deadline_ =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  if (deadline_ < timer_expiry_) arm_timer();
}

void Connection::arm_timer() {
  timer_expiry_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([weak = weak_from_this()](error_code error) {
    if (error) return;  // re-armed or closed
    if (const std::shared_ptr<Connection> self = weak.lock()) self->on_timer();
  });
}

void Connection::on_timer() {
  timer_expiry_ = Clock::time_point::max();
  if (closed_ || deadline_kind_ == Deadline::kNone) return;
  if (Clock::now() < deadline_) {
    arm_timer();
    return;
  }
  if (deadline_kind_ == Deadline::kRequest && !writing_) {
    busy_ = true;
    send_error(408, fmt::format("The request did not arrive within {} seconds (--request-timeout).",
                                hub_.options().request_timeout_s));
    return;
  }
  close();
}

}  // namespace minimax::server
