#include "api/fields.h"

#include <cmath>

#include <fmt/format.h>

namespace minimax::api {
namespace {

// A value as it may stand in a sentence: short, and no secret of the client's in a log.
std::string shown(const Json& value) {
  if (value.is_array() || value.is_object()) return std::string(value.type_name());
  std::string text = to_string(value);
  if (text.size() > 40) return std::string(value.type_name());
  return text;
}

}  // namespace

Fields::Fields(const Json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {}

const Json* Fields::any(std::string_view name) {
  read_.emplace(name);
  const Json* value = object_.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void Fields::fail(std::string_view name, std::string message) {
  if (failure_) return;
  failure_ = invalid(std::move(message), name.empty() ? std::string() : prefix_ + std::string(name));
}

void Fields::adopt(Failure failure) {
  if (!failure_) failure_ = std::move(failure);
}

template <typename T>
std::optional<T> Fields::wrong_type(std::string_view name, std::string_view expected, const Json& found) {
  fail(name, fmt::format("{}{} must be {}, not {}.", prefix_, name, expected, shown(found)));
  return {};
}

std::optional<int64_t> Fields::as_integer(const Json& value) const {
  if (value.is_int64()) return value.as_int64();
  if (!value.is_double()) return {};
  const double number = value.as_double();
  // 2^53: from there on a double no longer names one integer.
  if (number != std::floor(number) || std::abs(number) > 9007199254740992.0) return {};
  return static_cast<int64_t>(number);
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (!value->is_bool()) return wrong_type<bool>(name, "true or false", *value);
  return value->as_bool();
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t min, int64_t max) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  const std::optional<int64_t> number = as_integer(*value);
  if (!number && !value->is_big_integer()) return wrong_type<int64_t>(name, "an integer", *value);
  if (!number || *number < min || *number > max) {
    fail(name,
         fmt::format("{}{} must be between {} and {}, not {}.", prefix_, name, min, max, shown(*value)));
    return {};
  }
  return number;
}

std::optional<double> Fields::number(std::string_view name, double min, double max) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (!value->is_number()) return wrong_type<double>(name, "a number", *value);
  const double number = value->as_double();
  if (!(number >= min && number <= max)) {
    fail(name,
         fmt::format("{}{} must be between {} and {}, not {}.", prefix_, name, min, max, shown(*value)));
    return {};
  }
  return number;
}

std::optional<std::string> Fields::string(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return {};
  if (!value->is_string()) return wrong_type<std::string>(name, "a string", *value);
  return value->as_string();
}

std::optional<std::vector<int64_t>> Fields::integers(std::string_view name, int64_t min, int64_t max) {
  const Json* value = array(name);
  if (value == nullptr) return {};
  std::vector<int64_t> out;
  for (size_t i = 0; i < value->as_array().size(); ++i) {
    const Json& item = value->as_array()[i];
    const std::optional<int64_t> number = as_integer(item);
    const std::string place = fmt::format("{}[{}]", name, i);
    if (!number) return wrong_type<std::vector<int64_t>>(place, "an integer", item);
    if (*number < min || *number > max) {
      fail(place, fmt::format("{}{} must be between {} and {}, not {}.", prefix_, place, min, max, *number));
      return {};
    }
    out.push_back(*number);
  }
  return out;
}

std::optional<std::vector<std::string>> Fields::strings(std::string_view name) {
  const Json* value = array(name);
  if (value == nullptr) return {};
  std::vector<std::string> out;
  for (size_t i = 0; i < value->as_array().size(); ++i) {
    const Json& item = value->as_array()[i];
    if (!item.is_string()) {
      return wrong_type<std::vector<std::string>>(fmt::format("{}[{}]", name, i), "a string", item);
    }
    out.push_back(item.as_string());
  }
  return out;
}

const Json* Fields::object(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr || value->is_object()) return value;
  wrong_type<bool>(name, "an object", *value);
  return nullptr;
}

const Json* Fields::array(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr || value->is_array()) return value;
  wrong_type<bool>(name, "a list", *value);
  return nullptr;
}

void Fields::refuse(std::string_view name, std::string_view sentence) {
  if (any(name) == nullptr || failure_) return;
  failure_ = Failure{FailureKind::kUnimplemented, fmt::format("{}{}: {}", prefix_, name, sentence),
                     prefix_ + std::string(name)};
}

std::vector<std::string> Fields::unread() const {
  std::vector<std::string> names;
  if (!object_.is_object()) return names;
  for (const auto& [name, value] : object_.as_object()) {
    if (!read_.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace minimax::api
