#include "api/query.h"

#include <charconv>

#include <fmt/format.h>

#include "base/json.h"

namespace minimax::api {
namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

Query::Query(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    pairs_.emplace_back(decoded(pair.substr(0, equals)), decoded(value));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

const std::string* Query::find(std::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::vector<std::string> Query::strings(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : pairs_) {
    if (key == name || (key.starts_with(name) && key.substr(name.size()) == "[]")) out.push_back(value);
  }
  return out;
}

std::optional<bool> Query::boolean(std::string_view name) {
  const std::string* value = find(name);
  if (value == nullptr) return {};
  // Python's clients write True.
  if (*value == "true" || *value == "True" || *value == "1") return true;
  if (*value == "false" || *value == "False" || *value == "0") return false;
  if (!failure_) {
    failure_ = invalid(fmt::format("{} must be true or false, not {}.", name, to_string(Json(*value))),
                       std::string(name));
  }
  return {};
}

std::optional<int64_t> Query::integer(std::string_view name) {
  const std::string* value = find(name);
  if (value == nullptr) return {};
  int64_t number = 0;
  const char* end = value->data() + value->size();
  if (const auto [at, error] = std::from_chars(value->data(), end, number); error == std::errc() && at == end)
    return number;
  if (!failure_) {
    failure_ = invalid(fmt::format("{} must be an integer, not {}.", name, to_string(Json(*value))),
                       std::string(name));
  }
  return {};
}

}  // namespace minimax::api
