#include "server/http.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <thread>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include "base/error.h"
#include "base/log.h"
#include "server/connection.h"

namespace minimax::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Connections above the limit that are still told so; beyond, they are closed without a word.
constexpr int64_t kRefusedConnectionsMax = 64;
// Pause after a failed accept, e.g. when the process has no file descriptors left.
constexpr auto kAcceptRetry = std::chrono::milliseconds(100);
// Time for the last words to requests that outlast the shutdown limit.
constexpr auto kFarewell = std::chrono::seconds(2);
// After fail(): less than five seconds together, kFarewell not counted.
constexpr auto kFailureShown = std::chrono::seconds(2);
constexpr auto kFailureDrain = std::chrono::seconds(2);

// All addresses that the host's name stands for: localhost is one of each family on most machines.
std::vector<tcp::endpoint> resolved(asio::io_context& io, const Options& options) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    throw Error("cannot listen on {}:{}: {} (--host takes an address or a name of this machine)",
                options.host, options.port, error.message());
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) {
    if (std::ranges::find(endpoints, entry.endpoint()) == endpoints.end())
      endpoints.push_back(entry.endpoint());
  }
  return endpoints;
}

[[noreturn]] void cannot_listen(const Options& options, const boost::system::system_error& failed) {
  throw Error("cannot listen on {}:{}: {} (choose another with --host and --port)", options.host,
              options.port, failed.code().message());
}

// A family that this machine has no address of, e.g. IPv6 in a container: its names still resolve.
bool family_is_absent(const error_code& error) {
  return error == asio::error::address_family_not_supported ||
         error == error_code(EADDRNOTAVAIL, boost::system::system_category());
}

// Acceptors bound to every address of the host, of one port; at least one.
std::vector<tcp::acceptor> bound(asio::io_context& io, const asio::any_io_executor& executor,
                                 const Options& options) {
  std::vector<tcp::acceptor> acceptors;
  std::optional<boost::system::system_error> absent;
  const std::vector<tcp::endpoint> endpoints = resolved(io, options);
  for (tcp::endpoint endpoint : endpoints) {
    if (!acceptors.empty()) endpoint.port(acceptors.front().local_endpoint().port());
    try {
      tcp::acceptor acceptor(executor);
      acceptor.open(endpoint.protocol());
      acceptor.set_option(tcp::acceptor::reuse_address(true));
      if (endpoints.size() > 1 && endpoint.protocol() == tcp::v6())
        acceptor.set_option(asio::ip::v6_only(true));
      acceptor.bind(endpoint);
      acceptors.push_back(std::move(acceptor));
    } catch (const boost::system::system_error& failed) {
      if (!family_is_absent(failed.code())) cannot_listen(options, failed);
      absent = failed;
    }
  }
  if (acceptors.empty()) cannot_listen(options, *absent);
  return acceptors;
}

}  // namespace

void check_address(const Options& options) {
  asio::io_context io;
  bound(io, io.get_executor(), options);
}

struct Server::Impl {
  Impl(const Options& given, Handler handler, Gate gate)
      : hub(given, std::move(handler), std::move(gate)),
        io(std::max(1, given.io_threads)),
        control(asio::make_strand(io)),
        shutdown(control),
        last_words(control),
        signals(control) {
    // Before anybody is told of the port: a signal between now and run() is kept until run().
    if (hub.options().handle_signals) {
      signals.add(SIGTERM);
      signals.add(SIGINT);
    }
    listen();
  }

  void listen() {
    acceptors = bound(io, control, hub.options());
    try {
      for (tcp::acceptor& acceptor : acceptors) acceptor.listen(asio::socket_base::max_listen_connections);
    } catch (const boost::system::system_error& failed) {
      cannot_listen(hub.options(), failed);
    }
    port = acceptors.front().local_endpoint().port();
  }

  void accept(tcp::acceptor& acceptor) {
    acceptor.async_accept(asio::make_strand(io), [this, &acceptor](error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || hub.draining()) return;
      if (error) {
        log::warning("cannot accept a connection: {}", error.message());
        auto retry = std::make_shared<asio::steady_timer>(control, kAcceptRetry);
        retry->async_wait([this, &acceptor, retry](error_code) {
          if (!hub.draining()) accept(acceptor);
        });
        return;
      }
      const int64_t open = hub.count();
      if (open < hub.options().connections_max) {
        std::make_shared<Connection>(std::move(socket), hub)->start();
      } else if (open < hub.options().connections_max + kRefusedConnectionsMax) {
        std::make_shared<Connection>(std::move(socket), hub)->refuse();
      }
      accept(acceptor);
    });
  }

  void await_signal() {
    signals.async_wait([this](error_code error, int) {
      if (error) return;
      if (hub.draining()) {
        stop();
        return;
      }
      log::info("draining: open requests have {} s to finish; a second signal ends them",
                hub.options().shutdown_timeout_s);
      drain();
      await_signal();
    });
  }

  void fail() {
    asio::post(control, [this] {
      if (has_failed.exchange(true)) return;
      last_words.expires_after(kFailureShown);
      last_words.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        if (hub.draining()) stop();
        drain(kFailureDrain);
      });
    });
  }

  void drain() {
    drain(std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(hub.options().shutdown_timeout_s)));
  }

  void drain(std::chrono::nanoseconds limit) {
    asio::post(control, [this, limit] {
      if (hub.draining()) return;
      error_code ignored;
      for (tcp::acceptor& acceptor : acceptors) acceptor.close(ignored);
      if (on_drain) on_drain();
      shutdown.expires_after(limit);
      shutdown.async_wait([this](error_code cancelled) {
        if (!cancelled) end_late();
      });
      hub.start_drain([this] { io.stop(); });
    });
  }

  // The limit is over: what is still open is told so, and has a moment to take it.
  void end_late() {
    log::warning("{} connections still open after {} s (--shutdown-timeout): ending their requests",
                 hub.count(), hub.options().shutdown_timeout_s);
    if (on_limit) on_limit();
    shutdown.expires_after(kFarewell);
    shutdown.async_wait([this](error_code cancelled) {
      if (!cancelled) stop();
    });
  }

  void stop() {
    cut = true;
    io.stop();
  }

  bool run() {
    for (tcp::acceptor& acceptor : acceptors) accept(acceptor);
    if (hub.options().handle_signals) await_signal();
    std::vector<std::thread> threads;
    for (int i = 1; i < hub.options().io_threads; ++i) threads.emplace_back([this] { loop(); });
    loop();
    for (std::thread& thread : threads) thread.join();
    bool all_answered = true;
    hub.for_each([&](Connection& connection) { all_answered = all_answered && !connection.busy(); });
    return (all_answered || !cut) && !has_failed;
  }

  void loop() {
    while (true) {
      try {
        io.run();
        return;
      } catch (const std::exception& error) {
        log::error("an I/O handler failed: {}", error.what());
      }
    }
  }

  ~Impl() {
    io.stop();
    hub.end_workers();
    // No thread of ours runs any more. Those of the engine may still signal: cut them off before the event
    // loop dies, and with it the handlers that hold the connections.
    hub.for_each([](Connection& connection) { connection.abandon(); });
  }

  Hub hub;
  std::function<void()> on_drain, on_limit;
  asio::io_context io;
  asio::strand<asio::io_context::executor_type> control;  // what follows is used on it alone
  std::vector<tcp::acceptor> acceptors;
  asio::steady_timer shutdown;
  asio::steady_timer last_words;
  asio::signal_set signals;
  int port = 0;
  std::atomic<bool> cut{false};
  std::atomic<bool> has_failed{false};
};

Server::Server(const Options& options, Handler handler, Gate gate)
    : impl_(std::make_unique<Impl>(options, std::move(handler), std::move(gate))) {}

Server::Server(const Options& options, api::Service& service)
    : Server(options, make_handler(options.access, service), make_gate(options.access)) {
  impl_->on_drain = [&service] { service.drain(); };
  impl_->on_limit = [&service] { service.abort(); };
}

Server::~Server() = default;

int Server::port() const {
  return impl_->port;
}

bool Server::run() {
  return impl_->run();
}

void Server::drain() {
  impl_->drain();
}

void Server::fail() {
  impl_->fail();
}

void Server::stop() {
  impl_->stop();
}

int64_t Server::open_connections() const {
  return impl_->hub.count();
}

}  // namespace minimax::server
