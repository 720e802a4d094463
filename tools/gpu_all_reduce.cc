// Times the sum over ranks of backend/cuda (peer.h) with the residual and norm fused into it: microseconds of
// one of many in a recorded graph, the median over ranks and repetitions.
//
//   gpu_all_reduce COMMIT RESULTS.jsonl RANKS [HIDDEN]
//
// A JSON line a form and number of rows: "push" and "owned" as in peer.cu; "alone" is the same kernel without
// ranks, so what the exchange costs is the difference.

#include <algorithm>
#include <fstream>
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
double time_rank(PeerGroup& group, int32_t rank, int32_t hidden, int32_t rows, PeerForm form, bool alone) {
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
  const auto launch = [&] {
    residual_norm_over_ranks(task, partial, alone ? PeerView{} : view, form, stream.handle());
  };
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

void run(const std::string& commit, const std::string& results, int32_t ranks, int32_t hidden) {
  std::vector<int32_t> devices;
  for (int32_t r = 0; r < ranks; ++r) devices.push_back(r);
  PeerGroup group(devices, {.rows_max = kRowsMax, .hidden = hidden, .parts_max = kRowsMax});
  const DeviceInfo info = select_device(0);
  std::ofstream file(results, std::ios::app);
  for (const int32_t rows : {1, 10, 32, 64, 128, 256, 512, 1024, 2048, 4096}) {
    for (const auto& [name, form] :
         {std::pair{"alone", PeerForm::kOwned}, std::pair{"words", PeerForm::kWords},
          std::pair{"push", PeerForm::kPush}, std::pair{"owned", PeerForm::kOwned}}) {
      if ((form == PeerForm::kPush && rows > kPushRows) || (form == PeerForm::kWords && rows > kWordRows))
        continue;
      std::vector<double> us(devices.size());
      std::vector<std::thread> threads;
      for (int32_t r = 0; r < ranks; ++r)
        threads.emplace_back([&, r, form = form, alone = std::string(name) == "alone"] {
          us[static_cast<size_t>(r)] = time_rank(group, r, hidden, rows, form, alone);
        });
      for (std::thread& thread : threads) thread.join();
      std::sort(us.begin(), us.end());
      const std::string line = fmt::format(
          R"({{"kind":"all_reduce","gpu":"{}","commit":"{}","ranks":{},"rows":{},"hidden":{},"form":"{}",)"
          R"("bf16_bytes":{},"us":{:.2f}}})",
          info.name, commit, ranks, rows, hidden, name, int64_t{2} * rows * hidden, us[us.size() / 2]);
      fmt::print("{}\n", line);
      file << line << '\n' << std::flush;
    }
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
