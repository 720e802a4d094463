#pragma once
// Small JSON files of a checkpoint, and their fields read strictly.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace minimax::model {

inline constexpr uint64_t kJsonFileBytesMax = 256u << 20;  // limit of any JSON file read whole

// The bytes of a regular file. Throws Error naming the file if it cannot be read or is larger than the limit.
std::string read_text_file(const std::filesystem::path& path, uint64_t bytes_max = kJsonFileBytesMax);
// Throws Error naming the file if it is no JSON object.
Json read_json_object(const std::filesystem::path& path);

// A value as it may stand in an error message: one line, cut if long.
std::string shown(const Json& value);

// The members of one JSON object; every getter throws Error naming file, field, what was expected and found.
class Fields {
 public:
  // `object` must outlive this. `prefix` precedes field names in messages ("rope_parameters.").
  Fields(const Json& object, std::string file_name, std::string prefix = "");

  const Json* find(std::string_view field) const;  // nullptr if absent or null
  [[noreturn]] void refuse(std::string_view field, std::string_view expected) const;

  int32_t count(std::string_view field, int32_t min, int32_t max) const;
  double positive(std::string_view field) const;
  bool boolean(std::string_view field) const;
  std::optional<double> number(std::string_view field, double min, double max) const;
  std::optional<int64_t> integer(std::string_view field, int64_t min, int64_t max) const;
  // One id or a list of ids; absent or null gives an empty list.
  std::vector<int32_t> ids(std::string_view field) const;

  // What the maths takes for granted: the field is absent (or null), or has this value.
  void must_be(std::string_view field, const Json& expected) const;

 private:
  const Json& object_;
  std::string file_name_;
  std::string prefix_;
};

}  // namespace minimax::model
