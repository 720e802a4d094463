#pragma once
// The processes of one server, one a host, with a TCP connection between any two. Host 0 holds the server.
//
// The network between them is trusted, as that of the ranks of any such server: nobody proves who he is,
// nothing is encrypted.
//
// Threads: one caller at a time, but for what watch() says. Throws Error with the name of the host that is
// gone or does not move; after that the object is of no use.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace minimax::comm {

// A socket that waits for connections; closed in the end.
class Listener {
 public:
  // address: of this host, empty for all of it. port 0: any. Throws Error.
  Listener(const std::string& address, int port);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int fd() const { return fd_; }
  int port() const { return port_; }

 private:
  int fd_ = -1;
  int port_ = 0;
};

struct HostOptions {
  int32_t rank = 0;
  int32_t count = 1;
  double join_s_max = 600;  // for all to come: one may still be starting
  double wait_s_max = 60;   // for a host that is in the middle of a step
};

class Hosts {
 public:
  // Host 0: returns once all others came. REQUIRES: options.rank == 0.
  Hosts(const HostOptions& options, const Listener& listener);
  // Others: finds host 0 at the first of those addresses that answers.
  Hosts(const HostOptions& options, std::span<const std::string> addresses, int port);

  int32_t rank() const { return options_.rank; }
  int32_t count() const { return options_.count; }

  // A message of host 0 to all others, and what they hear: receive() waits for the next as long as it takes.
  void send(std::span<const std::byte> message);
  std::vector<std::byte> receive();

  // Returns once all hosts have called it, as long as that takes: one may still be reading weights.
  void meet();

  // Every host gives the same bytes to all others. Sizes are known to both sides; theirs[rank()] is not used.
  void exchange(std::span<const std::byte> own, std::span<const std::span<std::byte>> theirs);

  // From now on, calls once from a thread of its own when a host has ended, also between two steps.
  void watch(std::function<void(const std::string& what)> lost);
  void unwatch();  // waits for that thread

 private:
  struct Link {
    Link() = default;
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    int fd = -1;
    std::string name;  // "host 2 (10.0.0.3)"
  };
  struct Transfer;

  void accept_from(const Listener& listener, int32_t first);
  void connect_to(int32_t host, std::span<const std::string> addresses, int port, int own_port);
  void link(int32_t host, int fd);
  void run(std::span<Transfer> transfers, bool for_ever);

  HostOptions options_;
  std::vector<Link> links_;          // [count]; own: none
  std::vector<uint16_t> listening_;  // [count]: host 0 knows where the others wait for each other
  std::jthread watcher_;             // last: looks at the links
};

// Of this host, in the order worth trying; without the loopback unless there is nothing else.
std::vector<std::string> own_addresses();

}  // namespace minimax::comm
