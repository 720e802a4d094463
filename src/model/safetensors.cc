#include "model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <unordered_set>

#include <simdjson.h>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"

namespace minimax::model {

namespace dom = simdjson::dom;

size_t bytes_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kF16:
    case DType::kBf16:
      return 2;
    case DType::kE4m3:
      return 1;
  }
  CHECK(false);
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBf16:
      return "BF16";
    case DType::kE4m3:
      return "F8_E4M3";
  }
  CHECK(false);
}

std::string quote_name(std::string_view name) {
  constexpr size_t kShownMax = 120;
  std::string text;
  append_json_string(text, name.substr(0, kShownMax));
  if (name.size() > kShownMax) text += "...";
  return text;
}

namespace {

std::optional<DType> dtype_of(std::string_view name) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16, DType::kE4m3}) {
    if (name_of(dtype) == name) return dtype;
  }
  return std::nullopt;
}

// One tensor's object. `data_begin` is where offsets count from, `data_bytes` how far they may reach.
class EntryParser {
 public:
  EntryParser(const std::string& file_name, uint64_t data_begin, uint64_t data_bytes)
      : file_name_(file_name), data_begin_(data_begin), data_bytes_(data_bytes) {}

  HeaderEntry parse(std::string_view name, dom::element value) {
    entry_ = HeaderEntry{};
    entry_.name = name;
    seen_.clear();
    dom::object members;
    if (value.get(members) != simdjson::SUCCESS) refuse("expected an object");
    for (const auto [key, member] : members) {
      if (!seen_.insert(std::string(key)).second) refuse("field " + quote_name(key) + " comes twice");
      if (key == "dtype") {
        read_dtype(member);
      } else if (key == "shape") {
        read_shape(member);
      } else if (key == "data_offsets") {
        read_offsets(member);
      } else {
        refuse("unknown field " + quote_name(key));
      }
    }
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (!seen_.contains(field)) refuse(std::string("field \"") + field + "\" is missing");
    }
    check_size();
    return std::move(entry_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error("{}: tensor {}: {}.", file_name_, quote_name(entry_.name), what);
  }

  void read_dtype(dom::element value) {
    std::string_view name;
    if (value.get(name) != simdjson::SUCCESS) refuse("dtype: expected a string");
    const auto dtype = dtype_of(name);
    if (!dtype) refuse("dtype: expected F32, F16, BF16 or F8_E4M3, found " + quote_name(name));
    entry_.dtype = *dtype;
  }

  void read_shape(dom::element value) {
    dom::array dims;
    if (value.get(dims) != simdjson::SUCCESS) refuse("shape: expected a list");
    for (const dom::element dim : dims) {
      int64_t size = 0;
      if (dim.get(size) != simdjson::SUCCESS || size < 0) refuse("shape: expected integers from 0 on");
      if (entry_.shape.size() == kRankMax)
        refuse(fmt::format("shape: expected at most {} dimensions", kRankMax));
      entry_.shape.push_back(size);
    }
  }

  void read_offsets(dom::element value) {
    constexpr const char* kExpected = "data_offsets: expected [begin, end] inside the file";
    dom::array pair;
    if (value.get(pair) != simdjson::SUCCESS || pair.size() != 2) refuse(kExpected);
    uint64_t offsets[2] = {};
    size_t at = 0;
    for (const dom::element offset : pair) {
      if (offset.get(offsets[at++]) != simdjson::SUCCESS) refuse(kExpected);
    }
    if (offsets[0] > offsets[1] || offsets[1] > data_bytes_)
      refuse(fmt::format("{} (0 to {}), found [{}, {}]", kExpected, data_bytes_, offsets[0], offsets[1]));
    entry_.begin = data_begin_ + offsets[0];
    entry_.bytes = offsets[1] - offsets[0];
  }

  void check_size() const {
    uint64_t bytes = bytes_of(entry_.dtype);
    for (const int64_t dim : entry_.shape) {
      const auto size = static_cast<uint64_t>(dim);
      if (size != 0 && bytes > std::numeric_limits<uint64_t>::max() / size)
        refuse("shape: the size in bytes does not fit in 64 bits");
      bytes *= size;
    }
    if (bytes != entry_.bytes)
      refuse(fmt::format("{} [{}] takes {} bytes, but data_offsets give {}", name_of(entry_.dtype),
                         fmt::join(entry_.shape, ", "), bytes, entry_.bytes));
  }

  const std::string& file_name_;
  uint64_t data_begin_;
  uint64_t data_bytes_;
  HeaderEntry entry_;
  std::unordered_set<std::string> seen_;
};

void check_metadata(dom::element value, const std::string& file_name) {
  dom::object members;
  bool valid = value.get(members) == simdjson::SUCCESS;
  if (valid) {
    for (const auto [key, member] : members) valid = valid && member.is_string();
  }
  if (!valid) throw Error("{}: \"__metadata__\": expected an object of strings.", file_name);
}

void check_coverage(const std::vector<HeaderEntry>& entries, uint64_t data_begin, uint64_t file_bytes,
                    const std::string& file_name) {
  uint64_t at = data_begin;
  for (const HeaderEntry& entry : entries) {
    if (entry.begin != at)
      throw Error("{}: tensor {} starts at byte {}, but the one before it ends at {}: {}.", file_name,
                  quote_name(entry.name), entry.begin, at,
                  entry.begin < at ? "they overlap" : "a hole lies between them");
    at += entry.bytes;
  }
  if (at != file_bytes)
    throw Error("{}: the last tensor ends at byte {}, but the file has {} bytes.", file_name, at, file_bytes);
}

}  // namespace

std::vector<HeaderEntry> parse_safetensors_header(std::span<const std::byte> file,
                                                  const std::string& file_name) {
  if (file.size() < 8)
    throw Error("{}: expected a safetensors file, found one of {} bytes.", file_name, file.size());
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < 8; ++i) header_bytes |= static_cast<uint64_t>(file[i]) << (8 * i);
  if (header_bytes > file.size() - 8)
    throw Error(
        "{}: the header should have {} bytes, but the file ends after {}: cut short, or no "
        "safetensors file.",
        file_name, header_bytes, file.size() - 8);
  if (header_bytes > kHeaderBytesMax)
    throw Error("{}: the header has {} bytes, more than the limit of {}.", file_name, header_bytes,
                kHeaderBytesMax);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, header_bytes);
  if (!text.starts_with('{')) throw Error("{}: the header is no JSON object.", file_name);

  dom::parser parser;
  const simdjson::padded_string padded(text);  // a copy with the padding that the parser reads over
  dom::object members;
  if (const auto code = parser.parse(padded).get(members); code != simdjson::SUCCESS)
    throw Error("{}: the header is no JSON object: {}", file_name, simdjson::error_message(code));

  const uint64_t data_begin = 8 + header_bytes;
  EntryParser entry_parser(file_name, data_begin, file.size() - data_begin);
  std::vector<HeaderEntry> entries;
  std::unordered_set<std::string> names;
  for (const auto [name, value] : members) {
    if (!names.insert(std::string(name)).second)
      throw Error("{}: tensor {} comes twice in the header.", file_name, quote_name(name));
    if (name == "__metadata__") {
      check_metadata(value, file_name);
    } else {
      entries.push_back(entry_parser.parse(name, value));
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.bytes < b.bytes;
  });
  check_coverage(entries, data_begin, file.size(), file_name);
  return entries;
}

std::string safetensors_header(std::span<const HeaderEntry> entries) {
  std::string text = R"({"__metadata__":{"format":"pt"})";
  uint64_t at = 0;
  for (const HeaderEntry& entry : entries) {
    text += ',';
    append_json_string(text, entry.name);
    text += fmt::format(R"(:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", name_of(entry.dtype),
                        fmt::join(entry.shape, ","), at, at + entry.bytes);
    at += entry.bytes;
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string out;
  for (size_t i = 0; i < 8; ++i) out += static_cast<char>(text.size() >> (8 * i) & 0xFF);
  return out + text;
}

}  // namespace minimax::model
