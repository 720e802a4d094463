#pragma once
// HTTP/1.1 over TCP: listens, reads requests within limits, writes replies and event streams. Knows nothing
// of what a request means: routes.h does.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/service.h"
#include "server/routes.h"

namespace minimax::server {

struct Options {
  std::string host = "127.0.0.1";
  int port = 8000;         // 0: any free one; Server::port() says which
  int io_threads = 2;      // sockets, decoding, parsing of model output
  int worker_threads = 2;  // request JSON, rendering, tokenising

  // Limits; the message of each names it.
  int64_t header_bytes_max = 64 << 10;  // request line and headers: 431
  int64_t body_bytes_max = 32 << 20;    // --max-request-bytes: 413
  // Bodies that have arrived, all requests together, until a worker has read them: 503.
  int64_t held_body_bytes_max = int64_t{1} << 30;  // --max-held-request-bytes
  double request_timeout_s = 60;   // from the first byte of a request to its last (--request-timeout): 408
  double idle_timeout_s = 75;      // a kept-alive connection without a request is closed
  double write_timeout_s = 60;     // a client that takes no byte for so long is gone
  int64_t connections_max = 8192;  // beyond: 503
  int64_t unsent_bytes_max = 1 << 20;  // a client that reads slower than its stream: polling waits for it

  double shutdown_timeout_s = 30;  // drain(): time the open requests have to finish (--shutdown-timeout)
  bool handle_signals = false;     // SIGTERM and SIGINT: the first drains, the second ends run() at once

  AccessOptions access;  // API keys and CORS
};

// Throws Error, naming host and port, if nobody could listen there now: to be asked before a model is loaded.
void check_address(const Options& options);

class Server {
 public:
  // Binds and listens, at every address that the host's name stands for; throws Error naming host and port if
  // that fails. The service must outlive the server.
  Server(const Options& options, api::Service& service);
  // The same over any handler, and a gate if there is one (tests).
  Server(const Options& options, Handler handler, Gate gate = {});
  ~Server();  // closes everything

  int port() const;  // the bound port

  // Serves until drain() has come to its end or stop() was called; the calling thread is one of the I/O
  // threads. Returns true if every accepted request was answered.
  bool run();

  // From any thread: no new connections, no new generations; waits up to shutdown_timeout_s for the open
  // requests, ends those that are left with an error that says so, then run() returns.
  void drain();
  // From any thread: what is behind the server has failed, its streams have been told. Listens for two
  // seconds more, so that /health can say why, drains for two at most, and run() returns false.
  void fail();
  // From any thread: run() returns at once, what is open is cut.
  void stop();

  int64_t open_connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::server
