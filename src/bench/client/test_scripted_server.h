#pragma once
// A server whose token times are known to the microsecond, for tests: it lives in the io_context of the
// client it serves, and owns the clock that client reads. Each step sets the clock, writes some bytes, and
// waits until the client has seen them; so what the client measures is what the script says, on however busy
// a machine.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include "bench/client/stream_client.h"

namespace minimax::bench {

class ScriptedServer {
 public:
  struct Step {
    int64_t at_us = 0;
    size_t request = 0;  // number in its X-Request-Id
    std::string bytes;   // as they go over the wire; empty: only the clock moves
    int64_t chunks = 0;  // with choices in `bytes`: waited for
    bool close = false;  // the connection is closed behind them
  };

  ScriptedServer(boost::asio::io_context& context, std::vector<Step> steps)
      : context_(context),
        acceptor_(context, {boost::asio::ip::address_v4::loopback(), 0}),
        steps_(std::move(steps)) {
    accept();
  }

  int64_t now_us() const { return now_us_; }
  const std::vector<std::string>& requests() const { return requests_; }
  StreamClientOptions client_options() {
    return {
        .url = {.host = "127.0.0.1", .port = std::to_string(acceptor_.local_endpoint().port()), .path = ""},
        .target = "/v1/completions",
        .headers = {},
        .stall_timeout_s = 600,
        .clock_us = [this] { return now_us_; }};
  }
  // Lets the io_context run out of work.
  void stop() {
    acceptor_.close();
    for (auto& [id, peer] : peers_) peer->socket.close();
  }
  void watch(const StreamClient& client) { client_ = &client; }

  static std::string head(const std::string& status = "200 OK") {
    return "HTTP/1.1 " + status + "\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  }
  static std::string http_chunk(const std::string& data) {
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size());
    return size + data + "\r\n";
  }
  static std::string event(const std::string& data) { return http_chunk("data: " + data + "\n\n"); }
  static std::string token(const std::string& text) {
    return event("{\"choices\": [{\"index\": 0, \"text\": \"" + text + "\"}]}");
  }
  static std::string usage(int prompt, int completion) {
    return event("{\"choices\": [], \"usage\": {\"prompt_tokens\": " + std::to_string(prompt) +
                 ", \"completion_tokens\": " + std::to_string(completion) + "}}");
  }
  static std::string end() { return event("[DONE]") + "0\r\n\r\n"; }

 private:
  using Socket = boost::asio::ip::tcp::socket;
  struct Peer {
    explicit Peer(Socket accepted) : socket(std::move(accepted)) {}
    Socket socket;
    boost::asio::streambuf buffer;
  };

  void accept() {
    acceptor_.async_accept([this](boost::system::error_code code, Socket socket) {
      if (code) return;
      read(std::make_shared<Peer>(std::move(socket)));
      accept();
    });
  }

  void read(std::shared_ptr<Peer> peer) {
    boost::asio::async_read_until(peer->socket, peer->buffer, "\r\n\r\n",
                                  [this, peer](boost::system::error_code code, size_t n) {
                                    if (!code) take(peer, n);
                                  });
  }

  void take(const std::shared_ptr<Peer>& peer, size_t head_bytes) {
    const auto data = peer->buffer.data();
    std::string head(boost::asio::buffers_begin(data),
                     boost::asio::buffers_begin(data) + static_cast<long>(head_bytes));
    peer->buffer.consume(head_bytes);
    const size_t length = std::stoul(head.substr(head.find("Content-Length: ") + 16));
    if (peer->buffer.size() < length) {
      boost::asio::read(peer->socket, peer->buffer,
                        boost::asio::transfer_exactly(length - peer->buffer.size()));
    }
    const auto rest = peer->buffer.data();
    requests_.push_back(head + std::string(boost::asio::buffers_begin(rest),
                                           boost::asio::buffers_begin(rest) + static_cast<long>(length)));
    peer->buffer.consume(length);
    const size_t id = head.find("X-Request-Id: r");
    peers_[id == std::string::npos ? 0 : std::stoul(head.substr(id + 15))] = peer;
    read(peer);
    play();
  }

  // The next step, once its request is there and the client has seen what was written before.
  void play() {
    if (next_ == steps_.size()) return;
    const Step& step = steps_[next_];
    const auto peer = peers_.find(step.request);
    if (peer == peers_.end()) return;
    if (client_->chunks() < expected_) {
      boost::asio::post(context_, [this] { play(); });
      return;
    }
    now_us_ = step.at_us;
    ++next_;
    expected_ += step.chunks;
    boost::asio::write(peer->second->socket, boost::asio::buffer(step.bytes));
    if (step.close) peer->second->socket.close();
    boost::asio::post(context_, [this] { play(); });
  }

  boost::asio::io_context& context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::vector<Step> steps_;
  std::map<size_t, std::shared_ptr<Peer>> peers_;
  std::vector<std::string> requests_;
  const StreamClient* client_ = nullptr;
  size_t next_ = 0;
  int64_t expected_ = 0;
  int64_t now_us_ = 0;
};

}  // namespace minimax::bench
