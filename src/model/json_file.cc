#include "model/json_file.h"

#include <cmath>
#include <fstream>
#include <limits>

#include "base/error.h"

namespace minimax::model {

std::string read_text_file(const std::filesystem::path& path, uint64_t bytes_max) {
  std::error_code code;
  const auto status = std::filesystem::status(path, code);
  if (!std::filesystem::exists(status)) throw Error("{}: expected a file, found none.", path.string());
  if (!std::filesystem::is_regular_file(status))
    throw Error("{}: expected a regular file, found something else.", path.string());
  const uint64_t bytes = std::filesystem::file_size(path, code);
  if (code) throw Error("{}: cannot be read: {}.", path.string(), code.message());
  if (bytes > bytes_max)
    throw Error("{}: expected at most {} bytes, found {}.", path.string(), bytes_max, bytes);
  std::ifstream stream(path, std::ios::binary);
  std::string text(bytes, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(bytes));
  if (!stream || static_cast<uint64_t>(stream.gcount()) != bytes)
    throw Error("{}: cannot be read.", path.string());
  return text;
}

Json read_json_object(const std::filesystem::path& path) {
  Result<Json> parsed = parse_json(read_text_file(path));
  if (!parsed.ok()) throw Error("{}: expected JSON, but {}", path.string(), parsed.failure().message);
  if (!parsed->is_object())
    throw Error("{}: expected a JSON object, found {}.", path.string(), parsed->type_name());
  return std::move(parsed).value();
}

std::string shown(const Json& value) {
  constexpr size_t kShownMax = 80;
  std::string text = to_string(value, kPythonStyle);
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "...";
  return text;
}

Fields::Fields(const Json& object, std::string file_name, std::string prefix)
    : object_(object), file_name_(std::move(file_name)), prefix_(std::move(prefix)) {}

const Json* Fields::find(std::string_view field) const {
  const Json* value = object_.find(field);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

void Fields::refuse(std::string_view field, std::string_view expected) const {
  const Json* value = object_.find(field);
  throw Error("{}: field \"{}{}\": expected {}, found {}.", file_name_, prefix_, field, expected,
              value != nullptr ? shown(*value) : "nothing");
}

int32_t Fields::count(std::string_view field, int32_t min, int32_t max) const {
  const auto value = integer(field, min, max);
  if (!value) refuse(field, fmt::format("an integer from {} to {}", min, max));
  return static_cast<int32_t>(*value);
}

double Fields::positive(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_number() || !(value->as_double() > 0)) refuse(field, "a number above 0");
  return value->as_double();
}

bool Fields::boolean(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_bool()) refuse(field, "true or false");
  return value->as_bool();
}

std::optional<double> Fields::number(std::string_view field, double min, double max) const {
  const Json* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !(value->as_double() >= min && value->as_double() <= max))
    refuse(field, fmt::format("a number from {} to {}", min, max));
  return value->as_double();
}

std::optional<int64_t> Fields::integer(std::string_view field, int64_t min, int64_t max) const {
  const Json* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_int64() || value->as_int64() < min || value->as_int64() > max)
    refuse(field, fmt::format("an integer from {} to {}", min, max));
  return value->as_int64();
}

std::vector<int32_t> Fields::ids(std::string_view field) const {
  constexpr int64_t kIdMax = std::numeric_limits<int32_t>::max();
  const auto valid = [](const Json& id) {
    return id.is_int64() && id.as_int64() >= 0 && id.as_int64() <= kIdMax;
  };
  std::vector<int32_t> ids;
  const Json* value = find(field);
  if (value == nullptr) return ids;
  if (value->is_array()) {
    for (const Json& id : value->as_array()) {
      if (!valid(id)) refuse(field, "token ids");
      ids.push_back(static_cast<int32_t>(id.as_int64()));
    }
  } else {
    if (!valid(*value)) refuse(field, "a token id or a list of them");
    ids.push_back(static_cast<int32_t>(value->as_int64()));
  }
  return ids;
}

void Fields::must_be(std::string_view field, const Json& expected) const {
  const Json* value = find(field);
  if (value == nullptr) return;
  const bool same = value->is_number() && expected.is_number() ? value->as_double() == expected.as_double()
                                                               : *value == expected;
  if (!same) refuse(field, shown(expected));
}

}  // namespace minimax::model
