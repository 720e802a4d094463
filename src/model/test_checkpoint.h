#pragma once
// For tests of any room: a small random checkpoint in a folder of its own, opened and bound, gone with the
// object.
//
//   const TestCheckpoint checkpoint(small_test_shape(), seed);
//   const ModelView& model = checkpoint.view();

#include <atomic>
#include <filesystem>
#include <string>
#include <utility>

#include <unistd.h>

#include "model/synth.h"
#include "model/tensors.h"

namespace minimax::model {

// A new folder under the system's temporary one, removed with what it holds.
class TestFolder {
 public:
  TestFolder() {
    static std::atomic<int> count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("minimax_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class TestCheckpoint {
 public:
  explicit TestCheckpoint(const ModelShape& shape, uint64_t seed = 1)
      : TestCheckpoint(SynthOptions{.shape = shape, .seed = seed, .threads = 1}) {}
  explicit TestCheckpoint(const SynthOptions& options)
      : written_(synthesise(options, folder_.path())),
        config_(load_config(folder_.path())),
        checkpoint_(Checkpoint::open(folder_.path())),
        view_(bind_tensors(checkpoint_, config_.shape)) {}

  const std::filesystem::path& dir() const { return folder_.path(); }
  const ModelConfig& config() const { return config_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const ModelView& view() const { return view_; }

 private:
  TestFolder folder_;
  SynthReport written_;
  ModelConfig config_;
  Checkpoint checkpoint_;
  ModelView view_;
};

}  // namespace minimax::model
