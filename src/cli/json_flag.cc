#include "cli/json_flag.h"

#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace minimax::cli {

std::string set_dotted(std::string_view flag, const std::optional<std::string>& before, std::string_view path,
                       std::string_view value) {
  std::vector<std::string_view> keys;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    keys.push_back(path.substr(begin, end - begin));
    if (keys.back().empty() || keys.size() > static_cast<size_t>(kDottedKeysMax)) {
      throw UsageError("{}.{}: expected 1 to {} keys with a dot between them", flag, path, kDottedKeysMax);
    }
    begin = end + 1;
  }
  const Result<Json> parsed_before = before ? parse_json(*before) : Result<Json>(Json());
  Json root = parsed_before.ok() && parsed_before->is_object() ? *parsed_before : Json::object();
  Json* place = &root;
  for (const std::string_view key : keys) {
    if (!place->is_object()) *place = Json::object();
    if (place->find(key) == nullptr) place->set(key, Json());
    place = place->find(key);
  }
  const Result<Json> parsed = parse_json(value);
  *place = parsed.ok() ? *parsed : Json(value);
  return to_string(root, kPythonStyle);
}

}  // namespace minimax::cli
