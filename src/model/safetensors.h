#pragma once
// The header of one .safetensors file: 8 bytes little-endian length N, N bytes of JSON
// {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ..., "__metadata__": {string: string}}, then the
// data that the offsets point into. Format: huggingface/safetensors, README.md, section "Format".

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoint.h"

namespace minimax::model {

inline constexpr uint64_t kHeaderBytesMax = 100'000'000;  // as the format's own library
inline constexpr size_t kRankMax = 8;                     // dimensions of one tensor

struct HeaderEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes from the start of the file
  uint64_t bytes = 0;
};

// All entries ordered by place. Reads nothing outside `file`, whatever it holds. Throws Error naming file and
// tensor unless: the header is inside the file and well-formed, no name comes twice, every dtype is one of
// ours, shape x size is the range's length, and the ranges cover the data without overlap, hole or rest.
std::vector<HeaderEntry> parse_safetensors_header(std::span<const std::byte> file,
                                                  const std::string& file_name);

// The same in the other direction: the 8 bytes of length and the header, padded with spaces to a multiple of
// 8, for tensors laid out one after the other in the order given (begin is ignored).
std::string safetensors_header(std::span<const HeaderEntry> entries);

// A name from a file as it may stand in a message: quoted and escaped, cut if long.
std::string quote_name(std::string_view name);

}  // namespace minimax::model
