// A safetensors file: opened with every tensor inside the file, or refused with an Error. The header is as
// the fuzzer says, the file is as long as the input.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "model/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  static const std::filesystem::path folder = [] {
    const auto made =
        std::filesystem::temp_directory_path() / ("fuzz_checkpoint." + std::to_string(getpid()));
    std::filesystem::create_directories(made);
    return made;
  }();
  {
    std::ofstream out(folder / "model.safetensors", std::ios::binary);
    out.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  }
  try {
    const model::Checkpoint checkpoint = model::Checkpoint::open(folder);
    unsigned sum = 0;
    for (const model::TensorView& tensor : checkpoint.tensors()) {
      CHECK_LE(tensor.file_offset + tensor.bytes, size);
      for (size_t i = 0; i < tensor.bytes; i += 64) sum += static_cast<unsigned>(tensor.data[i]);
    }
    CHECK_NE(sum, 0xFFFFFFFFu);
  } catch (const Error&) {
  }
  return 0;
}
