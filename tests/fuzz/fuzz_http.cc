// Bytes from a client, through a real server on the loopback: whatever comes, the answers are whole HTTP/1.1
// answers or none, the connection ends, and the next client is served.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/errors.h"
#include "base/log.h"
#include "server/http.h"

namespace {

using namespace minimax;

// Answers with the path and the size of the body.
class LiveServer {
 public:
  LiveServer() : server_(options(), answer), thread_([this] { server_.run(); }) {}
  ~LiveServer() {
    server_.stop();
    thread_.join();
  }
  int port() const { return server_.port(); }

 private:
  static server::Options options() {
    log::set_level(log::Level::kError);
    server::Options out;
    out.port = 0;
    out.io_threads = 1;
    out.worker_threads = 1;
    out.header_bytes_max = 2000;
    out.body_bytes_max = 5000;
    return out;
  }
  static server::Response answer(server::Request request, api::Notify) {
    api::Reply reply;
    reply.body = request.target + " " + std::to_string(request.body.size());
    return {std::move(reply), {}};
  }

  server::Server server_;
  std::thread thread_;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fuzz_http: %s\n", what);
  std::abort();
}

int connected(int port) {
  constexpr int kTriesMax = 200;  // of 0.1 s: less than libFuzzer waits for an input
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int tries = 0;; ++tries) {
    const int connection = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return connection;
    // libFuzzer's clock, and the ports of this machine: thousands of exchanges a second use them up for a
    // while.
    if ((errno != EINTR && errno != EADDRNOTAVAIL) || tries == kTriesMax) {
      std::perror("connect");
      fail("the server does not listen any more");
    }
    ::close(connection);
    ::usleep(100'000);
  }
}

// Sends all, says that no more comes, and reads to the end.
std::string exchange(int port, std::string_view bytes) {
  const int connection = connected(port);
  while (!bytes.empty()) {  // it may refuse and close before it has read all
    const ssize_t sent = ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) break;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  ::shutdown(connection, SHUT_WR);
  std::string answer;
  char buffer[4096];
  constexpr int kPatienceMs = 5000;
  while (true) {
    pollfd ready{connection, POLLIN, 0};
    if (::poll(&ready, 1, kPatienceMs) == 0) fail("the connection of a client that has gone stays open");
    const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    answer.append(buffer, static_cast<size_t>(count));
  }
  ::close(connection);
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static LiveServer* const live = new LiveServer;  // never taken down: the fuzzer ends by _Exit
  static uint64_t runs = 0;
  const std::string answer = exchange(live->port(), {reinterpret_cast<const char*>(data), size});
  if (!answer.empty() && !answer.starts_with("HTTP/1.1 ") && !answer.starts_with("HTTP/1.0 "))
    fail("an answer that is no HTTP");
  if (++runs % 64 == 0) {
    const std::string well =
        exchange(live->port(), "GET /well HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    if (well.find("/well 0") == std::string::npos) fail("the next client is not served");
  }
  return 0;
}
