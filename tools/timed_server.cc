// timed_server [--port P]: a server of known timing, to measure what a client of streams adds. Every POST is
// answered by a stream of completion chunks at fixed times after its head and body are there:
//
//   X-Request-Id: pN         the request's number, for the record
//   body: "max_tokens": T    T chunks, the first after --first-us, the others --gap-us apart
//
// On SIGTERM or SIGINT it prints a line for each request: N, microseconds from its last byte read to the
// moment before its first chunk was written, the same for its last chunk. What the client measured beyond
// that is the sum of the way there, the way back and the client. tools/client_proof.py makes the comparison.

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include "base/clock.h"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using minimax::now_us;

struct Options {
  int64_t port = 0;
  int64_t first_us = 100'000;
  int64_t gap_us = 20'000;
};

struct Times {
  int64_t request = 0, first_us = 0, last_us = 0;
};

// The number behind `name` in `text`, or `otherwise`.
int64_t number_after(std::string_view text, std::string_view name, int64_t otherwise) {
  const size_t at = text.find(name);
  if (at == std::string_view::npos) return otherwise;
  size_t begin = at + name.size();
  while (begin < text.size() && (text[begin] == ' ' || text[begin] == ':')) ++begin;
  int64_t value = otherwise;
  std::from_chars(text.data() + begin, text.data() + text.size(), value);
  return value;
}

std::string http_chunk(std::string_view data) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return size + std::string(data) + "\r\n";
}

// One connection, one request after another.
class Peer : public std::enable_shared_from_this<Peer> {
 public:
  Peer(tcp::socket socket, const Options& options, std::vector<Times>& times)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), options_(options), times_(times) {
    socket_.set_option(tcp::no_delay(true));
  }

  void read() {
    asio::async_read_until(socket_, buffer_, "\r\n\r\n",
                           [self = shared_from_this()](error_code code, size_t n) {
                             if (!code) self->take_head(n);
                           });
  }

 private:
  std::string consume(size_t n) {
    std::string out(n, '\0');
    asio::buffer_copy(asio::buffer(out), buffer_.data(), n);
    buffer_.consume(n);
    return out;
  }

  void take_head(size_t n) {
    const std::string head = consume(n);
    record_ = {.request = number_after(head, "X-Request-Id: p", -1)};
    const auto length = static_cast<size_t>(number_after(head, "Content-Length: ", 0));
    const size_t missing = length > buffer_.size() ? length - buffer_.size() : 0;
    asio::async_read(socket_, buffer_, asio::transfer_exactly(missing),
                     [self = shared_from_this(), length](error_code code, size_t) {
                       if (!code) self->answer(length);
                     });
  }

  void answer(size_t length) {
    left_ = tokens_ = std::max<int64_t>(1, number_after(consume(length), "\"max_tokens\"", 1));
    begin_us_ = now_us();
    pending_ = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    write([self = shared_from_this()] { self->wait(); });
  }

  void wait() {
    const int64_t at = begin_us_ + options_.first_us + (tokens_ - left_) * options_.gap_us;
    timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::microseconds(at)));
    timer_.async_wait([self = shared_from_this()](error_code code) {
      if (!code) self->send_token();
    });
  }

  void send_token() {
    pending_ = http_chunk("data: {\"choices\": [{\"index\": 0, \"text\": \" word\"}]}\n\n");
    record_.last_us = now_us() - begin_us_;
    if (left_ == tokens_) record_.first_us = record_.last_us;
    --left_;
    write([self = shared_from_this()] { self->left_ > 0 ? self->wait() : self->finish(); });
  }

  void finish() {
    times_.push_back(record_);
    pending_ =
        http_chunk("data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 1, \"completion_tokens\": " +
                   std::to_string(tokens_) + "}}\n\n") +
        http_chunk("data: [DONE]\n\n") + "0\r\n\r\n";
    write([self = shared_from_this()] { self->read(); });
  }

  template <typename Then>
  void write(Then then) {
    asio::async_write(socket_, asio::buffer(pending_), [then](error_code code, size_t) {
      if (!code) then();
    });
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  asio::streambuf buffer_;
  const Options& options_;
  std::vector<Times>& times_;
  Times record_;
  std::string pending_;
  int64_t begin_us_ = 0, tokens_ = 0, left_ = 0;
};

bool read_options(int argc, char** argv, Options& out) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    int64_t* target = flag == "--port"       ? &out.port
                      : flag == "--first-us" ? &out.first_us
                      : flag == "--gap-us"   ? &out.gap_us
                                             : nullptr;
    if (target == nullptr || i + 1 == argc) return false;
    const std::string_view text = argv[i + 1];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *target);
    if (error != std::errc{} || end != text.data() + text.size() || *target < 0) return false;
  }
  return out.port < 65536;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!read_options(argc, argv, options)) {
    std::fprintf(stderr, "usage: timed_server [--port P] [--first-us N] [--gap-us N]\n");
    return 2;
  }
  asio::io_context context{1};
  std::vector<Times> times;
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), static_cast<uint16_t>(options.port)});
  acceptor.listen(4096);
  std::printf("port %d\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  const std::function<void()> accept = [&] {
    acceptor.async_accept([&](error_code code, tcp::socket socket) {
      if (!code) std::make_shared<Peer>(std::move(socket), options, times)->read();
      accept();
    });
  };
  accept();
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](error_code, int) { context.stop(); });
  context.run();
  for (const Times& t : times) {
    std::printf("%lld %lld %lld\n", static_cast<long long>(t.request), static_cast<long long>(t.first_us),
                static_cast<long long>(t.last_us));
  }
  return 0;
}
