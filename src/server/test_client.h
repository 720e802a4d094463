#pragma once
// A blocking HTTP client of the plainest kind, for tests: sends the bytes it is told and shows what comes
// back.

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

namespace minimax::server {

struct TestReply {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
};

class TestClient {
 public:
  explicit TestClient(int port, int receive_buffer_bytes = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    CHECK_GE(fd_, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~TestClient() { close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return connected_; }

  // False once the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  // Appends what comes to the input; false at the end of the connection or after the time.
  bool receive(std::chrono::milliseconds time = std::chrono::seconds(10)) {
    pollfd waited{fd_, POLLIN, 0};
    if (::poll(&waited, 1, static_cast<int>(time.count())) <= 0) return false;
    char buffer[16384];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    input_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  // Reads until the text has come; false if it does not.
  bool receive_until(std::string_view text) {
    while (input_.find(text) == std::string::npos) {
      if (!receive()) return false;
    }
    return true;
  }

  // True if the server closes the connection within the time; what comes before is kept in input().
  bool closes(std::chrono::milliseconds time = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!ended_ && std::chrono::steady_clock::now() < end) receive(std::chrono::milliseconds(50));
    return ended_;
  }

  // One reply with its body, by Content-Length or chunks; status 0 if the connection ends before. `head`: the
  // reply to HEAD has no body.
  TestReply reply(bool head = false) {
    TestReply out;
    if (!receive_until("\r\n\r\n")) return out;
    const size_t end = input_.find("\r\n\r\n");
    std::string_view lines = std::string_view(input_).substr(0, end);
    const int status = std::atoi(std::string(lines.substr(9, 3)).c_str());
    for (size_t at = lines.find("\r\n"); at != std::string_view::npos; at = lines.find("\r\n")) {
      lines.remove_prefix(at + 2);
      const std::string_view line = lines.substr(0, lines.find("\r\n"));
      const size_t colon = line.find(": ");
      if (colon != std::string_view::npos)
        out.headers[std::string(line.substr(0, colon))] = line.substr(colon + 2);
    }
    input_.erase(0, end + 4);
    if (out.headers.contains("transfer-encoding")) {
      if (!chunks(out.body)) return out;
    } else if (!head && out.headers.contains("content-length")) {
      const size_t length = std::stoul(out.headers["content-length"]);
      while (input_.size() < length) {
        if (!receive()) return out;
      }
      out.body = input_.substr(0, length);
      input_.erase(0, length);
    }
    out.status = status;
    return out;
  }

  TestReply get(const std::string& path, const std::string& headers = {}) {
    send("GET " + path + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n");
    return reply();
  }

  TestReply post(const std::string& path, const std::string& body, const std::string& headers = {}) {
    send("POST " + path + " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + headers + "\r\n" + body);
    return reply();
  }

  // No more will be sent; replies are still read.
  void end_sending() { ::shutdown(fd_, SHUT_WR); }

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // The end of the connection is a reset, as when a process dies.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }

  const std::string& input() const { return input_; }

 private:
  bool chunks(std::string& body) {
    while (true) {
      if (!receive_until("\r\n")) return false;
      const size_t end = input_.find("\r\n");
      const size_t size = std::stoul(input_.substr(0, end), nullptr, 16);
      while (input_.size() < end + 2 + size + 2) {
        if (!receive()) return false;
      }
      body += input_.substr(end + 2, size);
      input_.erase(0, end + 2 + size + 2);
      if (size == 0) return true;
    }
  }

  int fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string input_;
};

}  // namespace minimax::server
