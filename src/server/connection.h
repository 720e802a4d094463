#pragma once
// One client's connection: reads a request, hands it to the handler, writes the answer, and so on. All
// members run on the connection's strand, except where said. At most one read and one write are under way.
//
// The read stays open while an answer is made: that is how a client that went away is noticed, and then the
// Pending is destroyed, which cancels its generations. A client that has only shut its sending side looks the
// same: it gets replies that are known at once, and no generation. What a pipelining client sends meanwhile
// waits in the input buffer, up to its limit.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "server/http.h"

namespace minimax::server {

class Connection;

// What all connections of a server share. Thread-safe.
class Hub {
 public:
  Hub(const Options& options, Handler handler, Gate gate);

  const Options& options() const { return options_; }
  const Handler& handler() const { return handler_; }
  const Gate& gate() const { return gate_; }  // may be empty
  // Threads for what may take a while: JSON, rendering, tokenising.
  boost::asio::thread_pool& workers() { return *workers_; }
  // One thread for GET requests, which are short: /health answers while the workers read large prompts.
  boost::asio::thread_pool& short_worker() { return *short_worker_; }
  // For requests whose constraint is compiled. Hostile ones take up to a second each and wait for each other,
  // so there are threads beyond those that may wait.
  boost::asio::thread_pool& compile_workers() { return *compile_workers_; }
  // Ends the workers; what was queued for them is dropped. Before the event loop dies.
  void end_workers();
  bool draining() const { return draining_; }

  // Bytes of request bodies that are held.
  std::atomic<int64_t>& held_body_bytes() { return held_body_bytes_; }

  void add(Connection* connection);
  void remove(Connection* connection);  // calls on_empty if it was the last one and the server drains
  int64_t count() const;
  void for_each(const std::function<void(Connection&)>& visit);
  // From now on answers close their connection. `on_empty` is called (from any thread) once none is left.
  void start_drain(std::function<void()> on_empty);

 private:
  const Options options_;
  const Handler handler_;
  const Gate gate_;
  std::atomic<int64_t> held_body_bytes_{0};
  std::optional<boost::asio::thread_pool> workers_;
  std::optional<boost::asio::thread_pool> short_worker_;
  std::optional<boost::asio::thread_pool> compile_workers_;
  std::atomic<bool> draining_{false};
  mutable std::mutex mutex_;
  std::unordered_set<Connection*> connections_;
  std::function<void()> on_empty_;
};

// The bytes of one request's body, counted in a total as long as this lives.
class BodyHold {
 public:
  explicit BodyHold(std::atomic<int64_t>& total) : total_(&total) {}
  BodyHold(BodyHold&& other) noexcept : total_(other.total_), bytes_(std::exchange(other.bytes_, 0)) {}
  BodyHold& operator=(BodyHold&&) = delete;
  ~BodyHold() { *total_ -= bytes_; }
  // False: the total would be above `max`, and nothing has changed.
  bool grow_to(int64_t bytes, int64_t max);

 private:
  std::atomic<int64_t>* total_;
  int64_t bytes_ = 0;
};

// The engine's way to a connection: outlives it, and does nothing once it is gone.
class Wake {
 public:
  explicit Wake(std::weak_ptr<Connection> connection) : connection_(std::move(connection)) {}
  void signal();                    // from any thread; returns at once
  void taken() { woken_ = false; }  // the posted wake runs: the next signal() posts again
  void cut();                       // no signal() is under way or has an effect after this

 private:
  std::atomic<bool> woken_{false};  // a wake is posted and has not run yet
  std::mutex mutex_;
  std::weak_ptr<Connection> connection_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::ip::tcp::socket;

  // The socket's executor is a strand of its own.
  Connection(Socket socket, Hub& hub);
  ~Connection();

  void start();
  void refuse();  // instead of start(): says 503 and closes

  // The next three from any thread.
  void drain();  // closes now if no request is under way, otherwise after its answer
  bool busy() const { return busy_; }
  void abandon();  // REQUIRES: no thread runs the strand any more. Cancels what is under way

 private:
  friend class Wake;
  using Clock = std::chrono::steady_clock;
  enum class Deadline { kNone, kIdle, kRequest, kWrite, kLinger };

  void read_some();
  void on_read(boost::system::error_code error, size_t bytes);
  void parse();
  bool admit();
  void reject(boost::system::error_code error);
  void answer_expect();
  void dispatch();
  void on_response(Response response);
  void on_wake();
  void poll();
  void send_reply(api::Reply reply);
  void send_error(int status, std::string message);
  void write();
  void on_writable(boost::system::error_code error);
  void finish_answer();
  void linger();
  void close();
  void set_deadline(Deadline kind, double seconds);
  void arm_timer();
  void on_timer();

  Hub& hub_;
  Socket socket_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<Wake> wake_;

  boost::beast::flat_buffer input_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  bool reading_ = false;
  const void* read_place_ = nullptr;  // in input_, where the read under way writes
  bool expect_seen_ = false;
  bool admitted_ = false;         // the gate let the request pass
  std::optional<BodyHold> body_;  // of the request that is being read
  bool ended_by_client_ = false;  // it sends no more, but may still read

  // The request that is being answered.
  std::atomic<bool> busy_{false};
  bool keep_alive_ = true;
  bool http10_ = false;
  bool head_only_ = false;
  std::unique_ptr<api::Pending> pending_;
  HeaderList response_headers_;
  std::vector<api::Event> events_;
  std::string frames_;
  bool stream_open_ = false;  // the head of an event stream was written
  bool answered_ = false;     // all of the answer is in output_ or on its way

  std::string output_;   // waits for the write under way
  std::string sending_;  // being written
  size_t sent_ = 0;
  bool writing_ = false;  // the socket is full: on_writable() goes on
  bool starved_ = false;  // poll() was put off until the socket takes more

  Deadline deadline_kind_ = Deadline::kNone;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point timer_expiry_ = Clock::time_point::max();
  bool lingering_ = false;
  bool closed_ = false;
};

}  // namespace minimax::server
