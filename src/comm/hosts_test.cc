#include "comm/hosts.h"

#include <cstring>
#include <functional>
#include <future>
#include <latch>
#include <random>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "comm/local.h"

namespace minimax::comm {
namespace {

const std::string kHere = "127.0.0.1";

std::unique_ptr<Hosts> join(const HostOptions& options, const Listener& listener) {
  if (options.rank == 0) return std::make_unique<Hosts>(options, listener);
  return std::make_unique<Hosts>(options, std::span(&kHere, 1), listener.port());
}

// Hosts as threads of this process.
void on_hosts(int32_t count, const std::function<void(Hosts&)>& body, double wait_s_max = 20) {
  const Listener listener(kHere, 0);
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      const auto hosts = join({.rank = rank, .count = count, .wait_s_max = wait_s_max}, listener);
      body(*hosts);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Hosts, HearWhatTheFirstSays) {
  on_hosts(4, [](Hosts& hosts) {
    for (const size_t bytes : {size_t{0}, size_t{5}, size_t{3} << 20}) {
      std::vector<std::byte> said(bytes, std::byte{7});
      if (hosts.rank() == 0) {
        hosts.send(said);
      } else {
        EXPECT_EQ(hosts.receive(), said);
      }
    }
  });
}

TEST(Hosts, ExchangeMoreThanSocketsHold) {
  on_hosts(3, [](Hosts& hosts) {
    const auto letter = [](int32_t host) { return static_cast<std::byte>('a' + host); };
    const auto size = [](int32_t host) {
      return (size_t{8} << 20) * static_cast<size_t>(host);
    };  // of 0: nothing
    for (int round = 0; round < 3; ++round) {
      const std::vector<std::byte> own(size(hosts.rank()), letter(hosts.rank()));
      std::vector<std::vector<std::byte>> theirs;
      for (int32_t host = 0; host < 3; ++host) theirs.emplace_back(host == hosts.rank() ? 0 : size(host));
      hosts.exchange(own, std::vector<std::span<std::byte>>(theirs.begin(), theirs.end()));
      for (int32_t host = 0; host < 3; ++host)
        EXPECT_EQ(theirs[static_cast<size_t>(host)],
                  std::vector(theirs[static_cast<size_t>(host)].size(), letter(host)));
    }
  });
}

std::string failure_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(Hosts, TheEndOfOneIsAnError) {
  on_hosts(2, [](Hosts& hosts) {
    if (hosts.rank() == 1) return;
    std::byte byte{};
    const std::vector<std::span<std::byte>> theirs = {{}, {&byte, 1}};
    EXPECT_EQ(failure_of([&] { hosts.exchange({}, theirs); }), "host 1 (127.0.0.1) has ended");
  });
  on_hosts(2, [](Hosts& hosts) {
    if (hosts.rank() == 0) return;
    EXPECT_EQ(failure_of([&] { hosts.receive(); }), "host 0 (127.0.0.1) has ended");
  });
}

TEST(Hosts, TheEndOfOneIsSeenBetweenSteps) {
  std::latch both_saw(2);
  on_hosts(3, [&](Hosts& hosts) {
    hosts.meet();
    if (hosts.rank() == 2) return;
    std::promise<std::string> lost;
    hosts.watch([&](const std::string& what) { lost.set_value(what); });
    EXPECT_EQ(lost.get_future().get(), "host 2 (127.0.0.1) has ended");
    both_saw.arrive_and_wait();
  });
}

TEST(Hosts, AStepHasAnEndAndTheWaitForOneHasNone) {
  on_hosts(
      2,
      [](Hosts& hosts) {
        if (hosts.rank() == 0) {
          std::byte byte{};
          const std::vector<std::span<std::byte>> theirs = {{}, {&byte, 1}};
          EXPECT_EQ(failure_of([&] { hosts.exchange({}, theirs); }), "waited 0.1 s for host 1 (127.0.0.1)");
          hosts.send(std::as_bytes(std::span("done")));
        } else {
          EXPECT_EQ(hosts.receive().size(), 5u);
        }
      },
      0.1);
}

TEST(Hosts, WhoDoesNotComeIsMissed) {
  const Listener listener(kHere, 0);
  EXPECT_EQ(failure_of([&] { join({.rank = 0, .count = 3, .join_s_max = 0.1}, listener); }),
            "waited 0.1 s for the other hosts: 2 of 2 did not come");
  const int port = [] { return Listener(kHere, 0).port(); }();  // closed again
  EXPECT_EQ(
      failure_of([&] { Hosts({.rank = 1, .count = 2, .join_s_max = 0.1}, std::span(&kHere, 1), port); }),
      "waited 0.1 s for host 0: nobody answers at 127.0.0.1 port " + std::to_string(port));
}

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

TEST(Hosts, StrangersAreSentAway) {
  const Listener listener(kHere, 0);
  const int silent = connect_to(listener.port());
  ::close(silent);
  const int browser = connect_to(listener.port());
  EXPECT_EQ(::send(browser, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
  std::thread second([&] { join({.rank = 1, .count = 2}, listener); });
  EXPECT_EQ(join({.rank = 0, .count = 2}, listener)->count(), 2);
  second.join();
  ::close(browser);
}

TEST(Hosts, OfAnotherCountAreRefused) {
  const Listener listener(kHere, 0);
  std::thread second([&] {
    EXPECT_EQ(failure_of([&] { join({.rank = 1, .count = 3, .wait_s_max = 5}, listener); }),
              "host 0 (127.0.0.1) has ended");
  });
  EXPECT_EQ(failure_of([&] { join({.rank = 0, .count = 2}, listener); }),
            "127.0.0.1 says it is host 1 of 3; expected another of 2 hosts, from 1 on");
  second.join();
}

// Two ranks on each of three hosts gather what six of one host do; rows have groups in the second buffer.
TEST(Hosts, RanksGatherAcrossThem) {
  constexpr int32_t kHosts = 3, kEach = 2, kRanks = kHosts * kEach;
  const std::vector<Slice> slices = {{0, 3}, {3, 4}, {4, 4}, {4, 9}, {9, 12}, {9, 12}};
  std::vector<Slice> grouped;
  for (int32_t rank = 0; rank < kRanks; ++rank) grouped.push_back({rank % 2 * 6, rank % 2 * 6 + 6, rank / 2});
  std::mt19937 random(3);
  std::vector<int32_t> groups(40);
  for (int32_t& group : groups) group = static_cast<int32_t>(random() % 4);  // 3: nobody's
  const auto value = [](size_t row, int64_t at, int round) {
    return static_cast<std::byte>(row * 31 + static_cast<size_t>(at) * 7 + static_cast<size_t>(round));
  };
  on_hosts(kHosts, [&](Hosts& hosts) {
    Local local({.ranks = kEach, .hosts = &hosts});
    std::vector<std::thread> threads;
    for (int32_t rank = local.first(); rank < local.first() + kEach; ++rank) {
      threads.emplace_back([&, rank] {
        Communicator& comm = local.of(rank);
        ASSERT_EQ(comm.rank(), rank);
        ASSERT_EQ(comm.ranks(), kRanks);
        for (int round = 0; round < 50; ++round) {
          std::vector<std::byte> all(40 * 12), of_groups(40 * 12);
          const Slice mine = slices[static_cast<size_t>(rank)], part = grouped[static_cast<size_t>(rank)];
          for (size_t row = 0; row < 40; ++row) {
            for (int64_t at = mine.begin; at < mine.end; ++at)
              all[row * 12 + static_cast<size_t>(at)] = value(row, at, round);
            for (int64_t at = part.begin; at < part.end && groups[row] == part.group; ++at)
              of_groups[row * 12 + static_cast<size_t>(at)] = value(row, at, round + 1);
          }
          const std::vector<Gather> buffers = {{all.data(), 40, 12, slices, {}},
                                               {of_groups.data(), 40, 12, grouped, groups}};
          comm.gather(buffers);
          for (size_t row = 0; row < 40; ++row) {
            for (int64_t at = 0; at < 12; ++at) {
              ASSERT_EQ(all[row * 12 + static_cast<size_t>(at)], value(row, at, round));
              ASSERT_EQ(of_groups[row * 12 + static_cast<size_t>(at)],
                        groups[row] == 3 ? std::byte{0} : value(row, at, round + 1));
            }
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
}

}  // namespace
}  // namespace minimax::comm
