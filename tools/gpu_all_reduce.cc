// Times what ranks of backend/cuda exchange (peer.h): the sum over ranks with the residual and norm fused
// into it, and, of replicas that share experts, the rows to all ranks and the experts' parts back.
// Microseconds of one of many in a recorded graph, the median over ranks and repetitions.
//
//   gpu_all_reduce COMMIT RESULTS.jsonl RANKS [HIDDEN]
//
// A JSON line a form and number of rows: "push" and "owned" as in peer.cu; "alone" is the same kernel without
// ranks, so what the exchange costs is the difference. Of kind "expert_exchange", a rank a replica, `rows`
// are those of all: "spread", and "spread and collect", where each row has parts of 8 of 256 experts.

#include <algorithm>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/peer.h"
#include "base/clock.h"
#include "base/error.h"

namespace {

using namespace minimax;
using namespace minimax::backend::cuda;

constexpr int32_t kRowsMax = 4096;
constexpr int32_t kOps = 100;  // of a graph
constexpr int32_t kRepetitions = 15;

// Microseconds of one, at this rank.
template <typename Launch>
double time_launches(PeerGroup& group, const Stream& stream, const Launch& launch) {
  group.meet();
  launch();
  stream.wait();
  stream.begin_recording();
  for (int32_t i = 0; i < kOps; ++i) launch();
  const Graph graph = stream.end_recording();
  std::vector<double> us;
  for (int32_t i = 0; i < kRepetitions + 2; ++i) {
    group.meet();
    const int64_t start = now_us();
    stream.launch(graph);
    stream.wait();
    us.push_back(static_cast<double>(now_us() - start) / kOps);
  }
  group.meet();
  std::nth_element(us.begin(), us.begin() + kRepetitions / 2, us.end());
  return us[kRepetitions / 2];
}

double time_sums(PeerGroup& group, int32_t rank, int32_t hidden, int32_t rows, PeerForm form, bool alone) {
  select_device(group.device(rank));
  const Stream stream;
  const DeviceMemory h(int64_t{2} * rows * hidden, "test"), out(int64_t{2} * rows * hidden, "test"),
      grid(int64_t{2} * rows * hidden, "test"), scales(int64_t{4} * rows * ((hidden + 127) / 128), "test"),
      norm(int64_t{4} * hidden, "test");
  const PeerView view = group.view(rank);
  auto* const partial = reinterpret_cast<float*>(view.memory[rank] + view.at.partials);
  ResidualTask task;
  task.h = h.as<uint16_t>();
  task.rows = rows;
  task.width = hidden;
  task.norm = norm.as<float>();
  task.eps = 1e-6f;
  task.out = out.as<uint16_t>();
  task.grid = grid.as<uint8_t>();
  task.scales = scales.as<float>();
  return time_launches(group, stream, [&] {
    residual_norm_over_ranks(task, partial, alone ? PeerView{} : view, form, stream.handle());
  });
}

double time_experts(PeerGroup& group, int32_t rank, int32_t hidden, int32_t rows, bool collects) {
  constexpr int32_t kExperts = 256, kSlots = 8;
  select_device(group.device(rank));
  const Stream stream;
  const int32_t ranks = group.ranks();
  const auto first_of = [&](int32_t r) { return static_cast<int32_t>(int64_t{rows} * r / ranks); };
  const WaveRows wave{rows, first_of(rank), first_of(rank + 1) - first_of(rank)};
  std::vector<int32_t> ids(static_cast<size_t>(rows) * kSlots);
  std::mt19937 random(1);  // the same on all ranks
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % kExperts);
  const int64_t own_bytes = int64_t{2} * (wave.own + 1) * hidden;
  const DeviceMemory h(own_bytes, "test"), x(own_bytes, "test"), norm(int64_t{4} * hidden, "test"),
      parts(int64_t{2} * rows * kSlots * hidden, "test"), weights(int64_t{4} * rows * kSlots, "test"),
      experts(int64_t{4} * rows * kSlots, "test");
  experts.upload(0, ids.data(), experts.bytes());
  const PeerView view = group.view(rank);
  ResidualTask task;
  task.h = h.as<uint16_t>();
  task.rows = wave.own;
  task.width = hidden;
  task.parts = parts.as<uint16_t>();
  task.slot_weights = weights.as<float>();
  task.slots = kSlots;
  task.slot_experts = experts.as<int32_t>();
  task.held = {rank * kExperts / ranks, kExperts / ranks};
  task.norm = norm.as<float>();
  task.eps = 1e-6f;
  task.out = x.as<uint16_t>();
  return time_launches(group, stream, [&] {
    spread_rows({.x = x.as<uint16_t>(), .width = hidden, .rows = wave, .replica_ranks = 1, .peers = view},
                stream.handle());
    if (collects) collect_parts(task, wave, view, stream.handle());
  });
}

// time(rank) on all ranks at once; the median.
template <typename Time>
double on_ranks(int32_t ranks, const Time& time) {
  std::vector<double> us(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int32_t r = 0; r < ranks; ++r) threads.emplace_back([&, r] { us[static_cast<size_t>(r)] = time(r); });
  for (std::thread& thread : threads) thread.join();
  std::sort(us.begin(), us.end());
  return us[us.size() / 2];
}

void run(const std::string& commit, const std::string& results, int32_t ranks, int32_t hidden) {
  std::vector<int32_t> devices;
  for (int32_t r = 0; r < ranks; ++r) devices.push_back(r);
  PeerGroup group(devices,
                  {.rows_max = kRowsMax, .hidden = hidden, .parts_max = kRowsMax, .gathered_rows = kRowsMax});
  const DeviceInfo info = select_device(0);
  std::ofstream file(results, std::ios::app);
  const auto record = [&](const char* kind, int32_t rows, const char* name, double us) {
    const std::string line =
        fmt::format(R"({{"kind":"{}","gpu":"{}","commit":"{}","ranks":{},"rows":{},"hidden":{},"form":"{}",)"
                    R"("bf16_bytes":{},"us":{:.2f}}})",
                    kind, info.name, commit, ranks, rows, hidden, name, int64_t{2} * rows * hidden, us);
    fmt::print("{}\n", line);
    file << line << '\n' << std::flush;
  };
  for (const int32_t rows : {1, 10, 32, 64, 128, 256, 512, 1024, 2048, 4096}) {
    for (const auto& [name, form] :
         {std::pair{"alone", PeerForm::kOwned}, std::pair{"words", PeerForm::kWords},
          std::pair{"push", PeerForm::kPush}, std::pair{"owned", PeerForm::kOwned}}) {
      if ((form == PeerForm::kPush && rows > kPushRows) || (form == PeerForm::kWords && rows > kWordRows))
        continue;
      const bool alone = std::string(name) == "alone";
      record("all_reduce", rows, name, on_ranks(ranks, [&, form = form](int32_t r) {
               return time_sums(group, r, hidden, rows, form, alone);
             }));
    }
    for (const bool collects : {false, true})
      record("expert_exchange", rows, collects ? "spread and collect" : "spread",
             on_ranks(ranks, [&](int32_t r) { return time_experts(group, r, hidden, rows, collects); }));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    fmt::print(stderr, "usage: gpu_all_reduce COMMIT RESULTS.jsonl RANKS [HIDDEN]\n");
    return 2;
  }
  try {
    run(argv[1], argv[2], std::stoi(argv[3]), argc == 5 ? std::stoi(argv[4]) : 3072);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu_all_reduce: {}\n", error.what());
    return 1;
  }
}
