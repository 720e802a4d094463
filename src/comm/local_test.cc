#include "comm/local.h"

#include <cstring>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"

namespace minimax::comm {
namespace {

void on_ranks(Local& group, const std::function<void(Communicator&)>& body) {
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < group.ranks(); ++rank)
    threads.emplace_back([&, rank] { body(group.of(rank)); });
  for (std::thread& thread : threads) thread.join();
}

TEST(Local, GathersColumnsOfAllRanks) {
  for (const int32_t spins : {0, 1000}) {
    Local group({.ranks = 3, .spins = spins});
    // Five rows of eight bytes: "aabbbbcc", of which the last two ranks hold "bbbbcc" both.
    const std::vector<Slice> slices = {{0, 2}, {2, 8}, {2, 8}};
    on_ranks(group, [&](Communicator& comm) {
      for (int round = 0; round < 200; ++round) {
        std::string own(5 * 8, '?');
        const auto [begin, end, unused] = slices[static_cast<size_t>(comm.rank())];
        for (int row = 0; row < 5; ++row)
          for (int64_t i = begin; i < end; ++i)
            own[static_cast<size_t>(row * 8 + i)] = static_cast<char>("aabbbbcc"[i] + (row + round) % 5);
        const Gather gather{reinterpret_cast<std::byte*>(own.data()), 5, 8, slices, {}};
        comm.gather({&gather, 1});
        for (int row = 0; row < 5; ++row)
          for (int i = 0; i < 8; ++i)
            ASSERT_EQ(own[static_cast<size_t>(row * 8 + i)], "aabbbbcc"[i] + (row + round) % 5);
      }
    });
  }
}

TEST(Local, GathersRowsOfTheGroupThatHoldsThem) {
  Local group({.ranks = 4});
  const std::vector<Slice> slices = {{0, 2, 0}, {2, 4, 0}, {0, 2, 7}, {2, 4, 7}};
  const std::vector<int32_t> groups = {7, 0, 0, 7, 7};  // 3 would be nobody's
  on_ranks(group, [&](Communicator& comm) {
    std::string own(5 * 4, '?');
    const Slice mine = slices[static_cast<size_t>(comm.rank())];
    for (size_t row = 0; row < 5; ++row)
      for (int64_t i = mine.begin; groups[row] == mine.group && i < mine.end; ++i)
        own[row * 4 + static_cast<size_t>(i)] = static_cast<char>('0' + comm.rank());
    const Gather gather{reinterpret_cast<std::byte*>(own.data()), 5, 4, slices, groups};
    comm.gather({&gather, 1});
    EXPECT_EQ(own, "22330011001122332233");
  });
}

// Whoever waited is gone, and with it the buffers of its call: the round must not be ended without it.
TEST(Local, ALateRankHearsThatTheOthersHaveGivenUp) {
  Local group({.ranks = 2, .wait_s_max = 0.05});
  const std::vector<Slice> slices = {{0, 1}, {1, 2}};
  const auto message_of = [&](int32_t rank) {
    std::string own = "??";
    const Gather gather{reinterpret_cast<std::byte*>(own.data()), 1, 2, slices, {}};
    try {
      group.of(rank).gather({&gather, 1});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return "gathered " + own;
  };
  EXPECT_NE(message_of(0).find("waited 0.05 s for the other ranks of 2: 0 of them came"), std::string::npos);
  EXPECT_NE(message_of(1).find("rank 1: another rank has given up"), std::string::npos);
  EXPECT_NE(message_of(0).find("given up"), std::string::npos);
}

TEST(Local, LeavesRowsAloneThatARankDoesNotRead) {
  Local group({.ranks = 3});
  const std::vector<Slice> slices = {{0, 1, 0}, {0, 1, 1}, {0, 1, 2}};
  on_ranks(group, [&](Communicator& comm) {
    std::string own(3, '?');
    const auto rank = static_cast<size_t>(comm.rank());
    own[rank] = static_cast<char>('0' + rank);
    std::vector<int32_t> groups = {0, 1, 2};
    groups[(rank + 1) % 3] = kRowNotRead;
    const Gather gather{reinterpret_cast<std::byte*>(own.data()), 3, 1, slices, groups};
    comm.gather({&gather, 1});
    std::string expected = "012";
    expected[(rank + 1) % 3] = '?';
    EXPECT_EQ(own, expected);
  });
}

TEST(Local, AWaitHasAnEnd) {
  Local group({.ranks = 2, .wait_s_max = 0.05});
  std::string row(4, ' ');
  const std::vector<Slice> slices = {{0, 2}, {2, 4}};
  const Gather gather{reinterpret_cast<std::byte*>(row.data()), 1, 4, slices, {}};
  try {
    group.of(1).gather({&gather, 1});
    FAIL() << "came back alone";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 1 waited 0.05 s for the other ranks of 2: 0 of them came");
  }
}

}  // namespace
}  // namespace minimax::comm
