#include "bench/frontend/byte_client.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

namespace minimax::bench {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

bool read_all(int fd, void* data, size_t bytes) {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::read(fd, at, bytes);
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

bool write_all(int fd, const void* data, size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd, at, bytes);
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

// All streams of one load. The end of an answer is its last chunk, "0\r\n\r\n"; the head and the chunk with
// the role come before there is a token, so the first token is in what comes after "content" or "reasoning".
class Swarm {
 public:
  Swarm(uint16_t port, const std::string& request, const ByteLoad& load)
      : endpoint_(asio::ip::address_v4::loopback(), port),
        request_(request),
        load_(load),
        buffer_(64 << 10) {}

  ByteReport run() {
    const int64_t begin_us = now_us();
    for (int32_t i = 0; i < load_.streams; ++i) {
      const auto stream = std::make_shared<Stream>(context_);
      stream->begin.expires_after(std::chrono::microseconds(load_.spread_us * i / load_.streams));
      stream->begin.async_wait([this, stream](error_code code) { code ? fail() : start(stream); });
    }
    context_.run();
    report_.seconds = static_cast<double>(now_us() - begin_us) * 1e-6;
    std::sort(ttfts_.begin(), ttfts_.end());
    for (const double ttft : ttfts_) report_.ttft_mean_us += ttft / static_cast<double>(ttfts_.size());
    if (!ttfts_.empty()) report_.ttft_p99_us = ttfts_[(ttfts_.size() - 1) * 99 / 100];
    return report_;
  }

 private:
  struct Stream {
    explicit Stream(asio::io_context& context) : socket(context), begin(context) {}
    tcp::socket socket;
    asio::steady_timer begin;
    int32_t rounds = 0;
    int64_t sent_us = 0;
    bool answering = false, first_seen = false;
    std::array<char, 7> tail{};
  };
  using StreamPtr = std::shared_ptr<Stream>;

  void start(const StreamPtr& stream) {
    stream->socket.async_connect(endpoint_, [this, stream](error_code code) {
      if (code) return fail();
      error_code ignored;
      stream->socket.non_blocking(true, ignored);
      stream->socket.set_option(tcp::no_delay(true), ignored);
      send(stream);
    });
  }

  void send(const StreamPtr& stream) {
    stream->sent_us = now_us();
    stream->first_seen = stream->answering = false;
    asio::async_write(stream->socket, asio::buffer(request_), [this, stream](error_code code, size_t) {
      if (code) return fail();
      wait(stream);
    });
  }

  void wait(const StreamPtr& stream) {
    stream->socket.async_wait(tcp::socket::wait_read, [this, stream](error_code code) {
      if (code) return fail();
      const size_t n = stream->socket.read_some(asio::buffer(buffer_), code);
      if (code == asio::error::would_block) return wait(stream);
      if (code || n == 0) return fail();
      take(stream, n);
    });
  }

  void take(const StreamPtr& stream, size_t n) {
    const std::string_view piece(buffer_.data(), n);
    report_.bytes += static_cast<int64_t>(n);
    if (!stream->answering && !piece.starts_with("HTTP/1.1 200")) return fail();
    stream->answering = true;
    if (!stream->first_seen && piece.find("\"reasoning\"") != std::string_view::npos) {
      stream->first_seen = true;
      ttfts_.push_back(static_cast<double>(now_us() - stream->sent_us));
    }
    // The last bytes, of this piece and what came before: those of the last chunk, which no header ends with.
    const size_t keep = std::min<size_t>(n, stream->tail.size());
    std::memmove(stream->tail.data(), stream->tail.data() + keep, stream->tail.size() - keep);
    std::memcpy(stream->tail.data() + stream->tail.size() - keep, buffer_.data() + n - keep, keep);
    if (std::string_view(stream->tail.data(), stream->tail.size()) != "\r\n0\r\n\r\n") return wait(stream);
    stream->tail = {};
    ++report_.answered;
    if (!stream->first_seen) ++report_.failed;  // an error body, or an answer without a token
    if (++stream->rounds < load_.rounds) send(stream);
  }

  void fail() { ++report_.failed; }

  tcp::endpoint endpoint_;
  const std::string& request_;
  ByteLoad load_;
  asio::io_context context_{1};
  std::vector<char> buffer_;
  std::vector<double> ttfts_;
  ByteReport report_;
};

[[noreturn]] void serve_loads(int in, int out) {
  uint16_t port = 0;
  uint64_t bytes = 0;
  if (!read_all(in, &port, sizeof port) || !read_all(in, &bytes, sizeof bytes)) _exit(0);
  std::string request(bytes, '\0');
  if (!read_all(in, request.data(), request.size())) _exit(0);
  ByteLoad load;
  while (read_all(in, &load, sizeof load)) {
    const ByteReport report = Swarm(port, request, load).run();
    if (!write_all(out, &report, sizeof report)) break;
  }
  _exit(0);
}

}  // namespace

ByteClient::ByteClient() {
  std::array<int, 2> to{}, from{};
  if (pipe(to.data()) != 0 || pipe(from.data()) != 0)
    throw Error("cannot make a pipe: {}", std::strerror(errno));
  child_ = fork();
  if (child_ < 0) throw Error("cannot start the client's process: {}", std::strerror(errno));
  if (child_ == 0) {
    close(to[1]);
    close(from[0]);
    serve_loads(to[0], from[1]);
  }
  close(to[0]);
  close(from[1]);
  to_child_ = to[1];
  from_child_ = from[0];
}

ByteClient::~ByteClient() {
  close(to_child_);
  close(from_child_);
  waitpid(child_, nullptr, 0);
}

void ByteClient::aim(uint16_t port, const std::string& request) {
  const uint64_t bytes = request.size();
  if (!write_all(to_child_, &port, sizeof port) || !write_all(to_child_, &bytes, sizeof bytes) ||
      !write_all(to_child_, request.data(), request.size())) {
    throw Error("the client's process has ended");
  }
}

ByteReport ByteClient::run(const ByteLoad& load) {
  ByteReport report;
  if (!write_all(to_child_, &load, sizeof load) || !read_all(from_child_, &report, sizeof report)) {
    throw Error("the client's process has ended");
  }
  return report;
}

}  // namespace minimax::bench
