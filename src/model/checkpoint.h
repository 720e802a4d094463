#pragma once
// The tensors of a checkpoint in Hugging Face layout: model.safetensors, or shards named by
// model.safetensors.index.json. Files are mapped, not read; a view stays valid as long as the Checkpoint
// lives, provided that nobody makes the files shorter meanwhile (the kernel then ends the process by SIGBUS).

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace minimax::model {

enum class DType : uint8_t { kF32, kF16, kBf16, kE4m3 };
size_t bytes_of(DType dtype);
std::string_view name_of(DType dtype);  // as safetensors spells it: "F32", "F16", "BF16", "F8_E4M3"

// One tensor, dense, row-major, little-endian. May be unaligned: elements of the map start where the file
// puts them.
struct TensorView {
  std::string_view name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;
  size_t bytes = 0;
  int32_t file_idx = 0;  // into Checkpoint::files(), with the tensor's place in it, for messages and loaders
  uint64_t file_offset = 0;
};

class Checkpoint {
 public:
  // Throws Error naming file and tensor for what is missing, truncated, overlapping or malformed.
  static Checkpoint open(const std::filesystem::path& model_dir);
  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;

  const TensorView* find(std::string_view name) const;  // nullptr if there is none
  const std::vector<TensorView>& tensors() const;       // ordered by file and offset
  const std::vector<std::filesystem::path>& files() const;
  uint64_t total_bytes() const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::model
