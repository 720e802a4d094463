#include "comm/hosts.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <system_error>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

namespace minimax::comm {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int64_t kMessageBytesMax = int64_t{1} << 30;
constexpr double kHelloSeconds = 2;      // for a stranger at the port to say who he is
constexpr uint32_t kMagic = 0x6D6D7831;  // of this version of what hosts say to each other

struct Hello {
  uint32_t magic = kMagic;
  int32_t rank = 0;
  int32_t count = 0;
  int32_t port = 0;  // where this host waits for those of higher rank
};

std::string reason() {
  return std::system_category().message(errno);
}

double left_of(Clock::time_point end) {
  return Seconds(end - Clock::now()).count();
}

// False: not within the time.
bool wait_for(int fd, short events, double seconds) {
  pollfd entry{fd, events, 0};
  return seconds > 0 && ::poll(&entry, 1, static_cast<int>(seconds * 1000) + 1) > 0;
}

// During set-up, one peer after the other. False: closed, failed or too late.
template <typename T>
bool read_all(int fd, T& value, double seconds) {
  const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(seconds));
  auto* data = reinterpret_cast<std::byte*>(&value);
  for (size_t got = 0; got < sizeof(T);) {
    const ssize_t n = ::recv(fd, data + got, sizeof(T) - got, 0);
    if (n > 0) {
      got += static_cast<size_t>(n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(fd, POLLIN, left_of(end))) {
      return false;
    }
  }
  return true;
}

// What fits the empty buffer of a new connection.
template <typename T>
bool write_all(int fd, const T& value) {
  return ::send(fd, &value, sizeof(T), MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(T));
}

// One packet as soon as it is there, and a peer whose machine vanished is noticed within seconds.
void set_up(int fd) {
  const auto set = [fd](int level, int name, int value) {
    ::setsockopt(fd, level, name, &value, sizeof value);
  };
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 2);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 1);
  set(IPPROTO_TCP, TCP_KEEPCNT, 2);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 4000);
}

std::string text_of(const sockaddr_storage& address) {
  std::array<char, NI_MAXHOST> text{};
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, text.data(), text.size(),
                nullptr, 0, NI_NUMERICHOST);
  return text.data();
}

std::string peer_address(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0 ? text_of(address) : "";
}

struct AddressList {
  AddressList(const std::string& host, int port, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    failure =
        ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &first);
  }
  ~AddressList() {
    if (first != nullptr) ::freeaddrinfo(first);
  }
  AddressList(const AddressList&) = delete;
  AddressList& operator=(const AddressList&) = delete;

  addrinfo* first = nullptr;
  int failure = 0;
};

// A connection, or -1.
int try_connect(const std::string& host, int port, double seconds) {
  const AddressList list(host, port, 0);
  for (const addrinfo* at = list.first; at != nullptr; at = at->ai_next) {
    const int fd = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (fd < 0) continue;
    int failed = ::connect(fd, at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (failed == EINPROGRESS && wait_for(fd, POLLOUT, seconds)) {
      socklen_t bytes = sizeof failed;
      ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &bytes);
    }
    if (failed == 0) return fd;
    ::close(fd);
  }
  return -1;
}

}  // namespace

std::vector<std::string> own_addresses() {
  std::vector<std::string> out;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) == 0) {
    for (const int family : {AF_INET, AF_INET6}) {
      for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
        if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family || (at->ifa_flags & IFF_UP) == 0)
          continue;
        if ((at->ifa_flags & IFF_LOOPBACK) != 0) continue;
        sockaddr_storage address{};
        std::memcpy(&address, at->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
        out.push_back(text_of(address));
      }
    }
    ::freeifaddrs(all);
  }
  if (out.empty()) out.emplace_back("127.0.0.1");
  return out;
}

Listener::Listener(const std::string& address, int port) {
  const AddressList list(address, port, AI_PASSIVE);
  if (list.failure != 0) throw Error("{}: {}", address, ::gai_strerror(list.failure));
  std::string why;
  for (const addrinfo* at = list.first; at != nullptr && fd_ < 0; at = at->ai_next) {
    fd_ = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (fd_ < 0) continue;
    const int on = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd_, at->ai_addr, at->ai_addrlen) != 0 || ::listen(fd_, SOMAXCONN) != 0) {
      why = reason();
      ::close(fd_);
      fd_ = -1;
    }
  }
  if (fd_ < 0) throw Error("{} port {}: other hosts cannot be waited for: {}", address, port, why);
  sockaddr_storage bound{};
  socklen_t bytes = sizeof bound;
  ::getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &bytes);
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                            : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

Listener::~Listener() {
  ::close(fd_);
}

// Part of a message to or from one host; either side may be empty.
struct Hosts::Transfer {
  int32_t host = 0;
  std::span<const std::byte> out;
  std::span<std::byte> in;
};

Hosts::Hosts(const HostOptions& options, const Listener& listener)
    : options_(options),
      links_(static_cast<size_t>(options.count)),
      listening_(static_cast<size_t>(options.count), 0) {
  CHECK_EQ(options.rank, 0);
  accept_from(listener, 1);
  // Where the others find each other: addresses as host 0 sees them.
  std::string table;
  for (int32_t host = 1; host < count(); ++host) {
    table += fmt::format("{} {}\n", peer_address(links_[static_cast<size_t>(host)].fd),
                         listening_[static_cast<size_t>(host)]);
  }
  send(std::as_bytes(std::span(table)));
}

Hosts::Hosts(const HostOptions& options, std::span<const std::string> addresses, int port)
    : options_(options),
      links_(static_cast<size_t>(options.count)),
      listening_(static_cast<size_t>(options.count), 0) {
  CHECK_GT(options.rank, 0);
  const Listener listener("", 0);
  connect_to(0, addresses, port, listener.port());
  const std::vector<std::byte> told = receive();
  std::istringstream table(std::string(reinterpret_cast<const char*>(told.data()), told.size()));
  for (int32_t host = 1; host < rank(); ++host) {
    std::string address;
    int its_port = 0;
    if (!(table >> address >> its_port))
      throw Error("{} does not say where host {} is", links_[0].name, host);
    connect_to(host, std::span(&address, 1), its_port, 0);
  }
  accept_from(listener, rank() + 1);
}

Hosts::Link::~Link() {
  if (fd >= 0) ::close(fd);
}

void Hosts::link(int32_t host, int fd) {
  set_up(fd);
  Link& made = links_[static_cast<size_t>(host)];
  made.fd = fd;
  made.name = fmt::format("host {} ({})", host, peer_address(fd));
}

// Hosts `first` and up connect to this one.
void Hosts::accept_from(const Listener& listener, int32_t first) {
  const Clock::time_point end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(options_.join_s_max));
  for (int32_t missing = count() - first; missing > 0;) {
    if (!wait_for(listener.fd(), POLLIN, left_of(end)))
      throw Error("waited {} s for the other hosts: {} of {} did not come", options_.join_s_max, missing,
                  count() - 1);
    const int fd = ::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) continue;
    Hello hello;
    const bool heard = read_all(fd, hello, kHelloSeconds) && hello.magic == kMagic;
    const std::string from = peer_address(fd);
    if (!heard) {  // a port scanner, or a host that gave up
      ::close(fd);
      continue;
    }
    if (hello.count != count() || hello.rank < first || hello.rank >= count() ||
        links_[static_cast<size_t>(hello.rank)].fd >= 0) {
      ::close(fd);
      throw Error("{} says it is host {} of {}; expected another of {} hosts, from {} on", from, hello.rank,
                  hello.count, count(), first);
    }
    link(hello.rank, fd);
    listening_[static_cast<size_t>(hello.rank)] = static_cast<uint16_t>(hello.port);
    --missing;
  }
}

void Hosts::connect_to(int32_t host, std::span<const std::string> addresses, int port, int own_port) {
  constexpr double kTrySeconds = 3;
  const Clock::time_point end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(options_.join_s_max));
  for (bool told = false;; told = true) {
    for (const std::string& address : addresses) {
      const int fd = try_connect(address, port, kTrySeconds);
      if (fd < 0) continue;
      link(host, fd);
      if (!write_all(fd, Hello{.rank = rank(), .count = count(), .port = own_port}))
        throw Error("{} took no greeting", links_[static_cast<size_t>(host)].name);
      return;
    }
    if (left_of(end) < 0) {
      throw Error("waited {} s for host {}: nobody answers at {} port {}", options_.join_s_max, host,
                  fmt::join(addresses, ", "), port);
    }
    if (!told) {
      log::info("host {} does not answer yet at {} port {}; looking for {} s", host,
                fmt::join(addresses, ", "), port, options_.join_s_max);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

// All at once: two hosts that first sent and then received would wait for each other.
void Hosts::run(std::span<Transfer> transfers, bool for_ever) {
  std::vector<pollfd> waits;
  Clock::time_point moved = Clock::now();
  while (true) {
    waits.clear();
    bool progress = false;
    const Link* still = nullptr;
    for (Transfer& transfer : transfers) {
      const Link& link = links_[static_cast<size_t>(transfer.host)];
      short events = 0;
      if (!transfer.out.empty()) {
        const ssize_t n = ::send(link.fd, transfer.out.data(), transfer.out.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) throw Error("{} is gone: {}", link.name, reason());
        if (n > 0) transfer.out = transfer.out.subspan(static_cast<size_t>(n));
        progress |= n > 0;
        if (!transfer.out.empty()) events |= POLLOUT;
      }
      if (!transfer.in.empty()) {
        const ssize_t n = ::recv(link.fd, transfer.in.data(), transfer.in.size(), 0);
        if (n == 0) throw Error("{} has ended", link.name);
        if (n < 0 && errno != EAGAIN && errno != EINTR) throw Error("{} is gone: {}", link.name, reason());
        if (n > 0) transfer.in = transfer.in.subspan(static_cast<size_t>(n));
        progress |= n > 0;
        if (!transfer.in.empty()) events |= POLLIN;
      }
      if (events == 0) continue;
      waits.push_back({link.fd, events, 0});
      if (still == nullptr) still = &link;
    }
    if (waits.empty()) return;
    if (progress) {
      moved = Clock::now();
      continue;
    }
    const double left = options_.wait_s_max - Seconds(Clock::now() - moved).count();
    if (!for_ever && left <= 0) throw Error("waited {} s for {}", options_.wait_s_max, still->name);
    ::poll(waits.data(), waits.size(), for_ever ? -1 : static_cast<int>(left * 1000) + 1);
  }
}

void Hosts::send(std::span<const std::byte> message) {
  CHECK_EQ(rank(), 0);
  const auto bytes = static_cast<uint64_t>(message.size());
  for (const std::span<const std::byte> part : {std::as_bytes(std::span(&bytes, 1)), message}) {
    std::vector<Transfer> transfers;
    for (int32_t host = 1; host < count(); ++host) transfers.push_back({host, part, {}});
    run(transfers, false);
  }
}

std::vector<std::byte> Hosts::receive() {
  CHECK_GT(rank(), 0);
  uint64_t bytes = 0;
  Transfer head{0, {}, std::as_writable_bytes(std::span(&bytes, 1))};
  run(std::span(&head, 1), true);
  if (bytes > kMessageBytesMax)
    throw Error("{} announces {} bytes; expected at most {}", links_[0].name, bytes, kMessageBytesMax);
  std::vector<std::byte> out(bytes);
  Transfer body{0, {}, out};
  run(std::span(&body, 1), false);
  return out;
}

void Hosts::meet() {
  std::byte here{};
  std::vector<std::byte> there(links_.size());
  std::vector<Transfer> transfers;
  for (int32_t host = 0; host < count(); ++host) {
    if (host == rank()) continue;
    transfers.push_back({host, {&here, 1}, std::span(there).subspan(static_cast<size_t>(host), 1)});
  }
  run(transfers, true);
}

void Hosts::exchange(std::span<const std::byte> own, std::span<const std::span<std::byte>> theirs) {
  CHECK_EQ(std::ssize(theirs), count());
  std::vector<Transfer> transfers;
  for (int32_t host = 0; host < count(); ++host)
    if (host != rank()) transfers.push_back({host, own, theirs[static_cast<size_t>(host)]});
  run(transfers, false);
}

void Hosts::watch(std::function<void(const std::string&)> lost) {
  watcher_ = std::jthread([this, lost = std::move(lost)](const std::stop_token& stop) {
    constexpr int kLookEveryMs = 200;  // whether to end
    std::vector<pollfd> waits;
    std::vector<const Link*> links;
    for (const Link& link : links_) {
      if (link.fd < 0) continue;
      waits.push_back({link.fd, POLLRDHUP, 0});
      links.push_back(&link);
    }
    while (!stop.stop_requested()) {
      if (::poll(waits.data(), waits.size(), kLookEveryMs) <= 0) continue;
      for (size_t i = 0; i < waits.size(); ++i) {
        if (waits[i].revents == 0) continue;
        lost(links[i]->name + " has ended");
        return;
      }
    }
  });
}

void Hosts::unwatch() {
  watcher_ = {};
}

}  // namespace minimax::comm
