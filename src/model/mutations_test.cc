// A thousand damaged copies of tiny-m2: each loads, or is refused with a sentence that names the file, and
// the tensor where the damage is in what the file says of one.

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/tensors.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

namespace fs = std::filesystem;

constexpr int kMutations = 1000;
constexpr uint64_t kSeed = 20261127;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

size_t header_bytes(const std::string& shard) {
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(shard[i]);
  return static_cast<size_t>(length);
}

// Damages one file and undoes it: only what changed is written, since the files are of megabytes.
class Damage {
 public:
  Damage(const fs::path& path, const std::string& original) : path_(path), original_(original) {}

  void overwrite(size_t at, std::string_view bytes) { put(at, bytes, at, bytes.size()); }
  void truncate(size_t size) {
    EXPECT_EQ(::truncate(path_.c_str(), static_cast<off_t>(size)), 0);
    begin_ = size;
    end_ = original_.size();
  }
  void append(std::string_view bytes) { put(original_.size(), bytes, original_.size(), 0); }

  ~Damage() {
    put(begin_, std::string_view(original_).substr(begin_, end_ - begin_), 0, 0);
    EXPECT_EQ(::truncate(path_.c_str(), static_cast<off_t>(original_.size())), 0);
  }

 private:
  void put(size_t at, std::string_view bytes, size_t begin, size_t count) {
    const int file = ::open(path_.c_str(), O_WRONLY);
    ASSERT_GE(file, 0);
    EXPECT_EQ(::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
    ::close(file);
    if (count > 0) {
      begin_ = begin;
      end_ = begin + count;
    }
  }

  fs::path path_;
  const std::string& original_;
  size_t begin_ = 0, end_ = 0;
};

struct Outcome {
  bool loaded = false;
  std::string refusal;
};

// All that `minimax serve` does with the weights before a back-end reads them, and the last element of each
// tensor.
Outcome load(const fs::path& dir) {
  try {
    const ModelConfig config = load_config(dir);
    const Checkpoint checkpoint = Checkpoint::open(dir);
    const ModelView view = bind_tensors(checkpoint, config.shape);
    int last_bytes = 0;
    for (const TensorSpec& spec : tensor_table(config.shape)) {
      const TensorView* tensor = checkpoint.find(spec.name);
      if (tensor != nullptr && tensor->bytes > 0)
        last_bytes |= std::to_integer<int>(tensor->data[tensor->bytes - 1]);
    }
    EXPECT_LE(last_bytes, 255);  // read, or a sanitizer or the kernel would have said so
    return {view.layers.size() == static_cast<size_t>(config.shape.layers), ""};
  } catch (const Error& error) {
    return {false, error.what()};
  }
}

class Mutations : public testing::Test {
 protected:
  Mutations() {
    for (const auto& entry : fs::directory_iterator(fs::path(MINIMAX_SOURCE_DIR) / "models/tiny-m2")) {
      const std::string name = entry.path().filename().string();
      if (name != "config.json" && name.find("safetensors") == std::string::npos) continue;
      originals_[name] = read_file(entry.path());
      write_file(folder_.path() / name, originals_[name]);
    }
  }

  size_t below(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random_); }
  std::string random_bytes(size_t count) {
    std::string bytes;
    for (size_t i = 0; i < count; ++i) bytes.push_back(static_cast<char>(below(256)));
    return bytes;
  }
  // A place in [from, to) of a digit, or of anything if there is none near.
  size_t digit_in(const std::string& text, size_t from, size_t to) {
    const size_t start = from + below(to - from);
    for (size_t at = start; at < to; ++at)
      if (text[at] >= '0' && text[at] <= '9') return at;
    return start;
  }

  TestFolder folder_;
  std::map<std::string, std::string> originals_;
  std::mt19937_64 random_{kSeed};
};

TEST_F(Mutations, EachDamagedCheckpointLoadsOrIsRefusedByName) {
  ASSERT_EQ(originals_.size(), 4u);
  ASSERT_EQ(load(folder_.path()).refusal, "");
  std::vector<std::string> names;
  for (const auto& [name, bytes] : originals_) names.push_back(name);
  int loaded = 0, refused = 0, digits_named = 0;
  for (int i = 0; i < kMutations; ++i) {
    const std::string& name = names[below(names.size())];
    const std::string& original = originals_[name];
    const bool is_shard = name.ends_with(".safetensors");
    const size_t text_begin = is_shard ? 8 : 0;
    const size_t text_end = is_shard ? 8 + header_bytes(original) : original.size();
    std::string what = name + ": ";
    Outcome outcome;
    size_t cut = 0;
    {
      Damage damage(folder_.path() / name, original);
      switch (below(is_shard ? 7 : 4)) {
        case 0: {
          const size_t at = digit_in(original, text_begin, text_end);
          const auto digit = static_cast<char>('0' + below(10));
          what += fmt::format("digit {} at {}", digit, at);
          damage.overwrite(at, std::string(1, digit));
          break;
        }
        case 1: {
          const size_t at = text_begin + below(text_end - text_begin);
          const std::string bytes = random_bytes(std::min<size_t>(1 + below(4), text_end - at));
          what += fmt::format("{} random bytes of text at {}", bytes.size(), at);
          damage.overwrite(at, bytes);
          break;
        }
        case 2: {
          cut = below(original.size());
          what += fmt::format("cut to {}", cut);
          damage.truncate(cut);
          break;
        }
        case 3: {  // a piece of the text over another: names and shapes that exist, in the wrong place
          const size_t length = 1 + below(std::min<size_t>(200, (text_end - text_begin) / 2));
          const size_t from = text_begin + below(text_end - text_begin - length);
          const size_t to = text_begin + below(text_end - text_begin - length);
          what += fmt::format("{} bytes of {} at {}", length, from, to);
          damage.overwrite(to, original.substr(from, length));
          break;
        }
        case 4: {
          const size_t at = below(8);
          what += fmt::format("byte {} of the header's length", at);
          damage.overwrite(at, random_bytes(1));
          break;
        }
        case 5: {
          const size_t at = text_end + below(original.size() - text_end);
          what += fmt::format("a weight at {}", at);
          damage.overwrite(at, random_bytes(1));
          break;
        }
        default:
          what += "bytes after the end";
          damage.append(random_bytes(1 + below(100)));
      }
      outcome = load(folder_.path());
    }
    if (outcome.loaded) {
      ++loaded;
      continue;
    }
    ++refused;
    EXPECT_NE(outcome.refusal.find(name), std::string::npos) << what << "\n  -> " << outcome.refusal;
    // Cut within the weights: the first tensor that is not whole.
    if (is_shard && cut > text_end) {
      EXPECT_NE(outcome.refusal.find(": tensor \""), std::string::npos)
          << what << "\n  -> " << outcome.refusal;
    }
    // A number that is another: that of one tensor, unless a zero before others makes it no number at all.
    if (is_shard && what.find(": digit ") != std::string::npos) {
      const bool names_tensor = outcome.refusal.find(": tensor \"") != std::string::npos;
      EXPECT_TRUE(names_tensor || outcome.refusal.find("no JSON") != std::string::npos)
          << what << "\n  -> " << outcome.refusal;
      digits_named += names_tensor ? 1 : 0;
    }
    EXPECT_GT(outcome.refusal.size(), 20u) << what;
  }
  EXPECT_GT(loaded, 50);
  EXPECT_GT(refused, 500);
  EXPECT_GT(digits_named, 50);
  // All damage was undone.
  EXPECT_EQ(load(folder_.path()).refusal, "");
  for (const auto& [name, bytes] : originals_) EXPECT_TRUE(read_file(folder_.path() / name) == bytes) << name;
}

TEST_F(Mutations, AMissingFileIsNamed) {
  for (const auto& [name, bytes] : originals_) {
    fs::remove(folder_.path() / name);
    EXPECT_NE(load(folder_.path())
                  .refusal.find(name == "model.safetensors.index.json" ? "model.safetensors" : name),
              std::string::npos)
        << name << ": " << load(folder_.path()).refusal;
    write_file(folder_.path() / name, bytes);
  }
}

}  // namespace
}  // namespace minimax::model
