#include "cli/config_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/json.h"

namespace minimax::cli {
namespace {

constexpr int kDepthMax = 16;
// Of one file, aliases expanded: a few lines of aliases of aliases stand for more than fits into memory.
constexpr int kNodesMax = 10000;

// A nested value becomes the JSON text that the flag would take on the command line.
Json to_json(const YAML::Node& node, const std::string& where, int depth, int& nodes) {
  if (depth > kDepthMax) throw UsageError("{}: nested deeper than {} levels", where, kDepthMax);
  if (++nodes > kNodesMax) throw UsageError("{}: more than {} values in the file", where, kNodesMax);
  if (node.IsNull()) return {};
  if (node.IsSequence()) {
    Json out = Json::array();
    for (const YAML::Node& child : node) out.push_back(to_json(child, where, depth + 1, nodes));
    return out;
  }
  if (node.IsMap()) {
    Json out = Json::object();
    for (const auto& entry : node)
      out.set(entry.first.as<std::string>(), to_json(entry.second, where, depth + 1, nodes));
    return out;
  }
  // A quoted scalar is a string; a plain one is what JSON would make of it.
  const std::string text = node.Scalar();
  if (node.Tag() != "!") {
    if (text == "true" || text == "True") return true;
    if (text == "false" || text == "False") return false;
    const Result<Json> value = parse_json(text);
    if (value.ok() && value->is_number()) return *value;
  }
  return text;
}

const Flag* find_flag(const Verb& verb, const std::string& key) {
  std::string name = "--" + key;
  for (char& c : name) {
    if (c == '_') c = '-';
  }
  for (const Flag& flag : verb.flags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> parse_config_file(const Verb& verb, std::string_view yaml,
                                           const std::string& file_name) {
  std::vector<std::string> words;
  int nodes = 0;
  try {
    const YAML::Node root = YAML::Load(std::string(yaml));
    if (root.IsNull()) return words;
    if (!root.IsMap()) throw UsageError("{}: expected a map of flags", file_name);
    for (const auto& entry : root) {
      const std::string key = entry.first.as<std::string>();
      const YAML::Node& value = entry.second;
      const std::string where = fmt::format("{}, line {}, {}", file_name, entry.first.Mark().line + 1, key);
      const Flag* flag = find_flag(verb, key);
      if (flag == nullptr) {
        std::vector<std::string> names;
        for (const Flag& known : verb.flags) names.emplace_back(known.name.substr(2));
        const std::string near = nearest(key, names);
        throw UsageError("{}: unknown flag{}", where, near.empty() ? "" : "; did you mean " + near + "?");
      }
      if (flag->name == "--config") throw UsageError("{}: a config file names no other", where);
      if (flag->metavar.empty()) {
        const Json on = to_json(value, where, 0, nodes);
        if (!on.is_bool()) throw UsageError("{}: expected true or false", where);
        if (on.as_bool()) {
          words.emplace_back(flag->name);
        } else if (flag->negatable) {
          words.push_back("--no-" + std::string(flag->name.substr(2)));
        }
        continue;
      }
      if (value.IsSequence() && flag->list) {
        words.emplace_back(flag->name);
        for (const YAML::Node& item : value) {
          words.push_back(item.as<std::string>());
          if (words.back().starts_with('-'))
            throw UsageError("{}: an item may not begin with '-': {}", where, words.back());
        }
        continue;
      }
      const Json json = to_json(value, where, 0, nodes);
      if (json.is_null()) throw UsageError("{}: expected a value, found none", where);
      words.push_back(std::string(flag->name) + "=" +
                      (json.is_string() ? json.as_string() : to_string(json)));
    }
  } catch (const YAML::Exception& error) {
    throw UsageError("{}: {}", file_name, error.what());
  }
  return words;
}

std::vector<std::string> expand_config(const Verb& verb, const std::vector<std::string>& words) {
  const Args args = parse_args(verb, words);
  const std::optional<std::string> file = args.text("--config");
  if (!file) return words;
  std::error_code code;
  const uintmax_t size = std::filesystem::file_size(*file, code);
  if (code) throw UsageError("--config {}: {}", *file, code.message());
  if (size > kConfigFileBytesMax) {
    throw UsageError("--config {}: {} bytes, more than {}", *file, size, kConfigFileBytesMax);
  }
  std::ifstream in(*file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::vector<std::string> all = parse_config_file(verb, text, *file);
  // MODEL on the command line wins over "model" in the file, as every flag does.
  if (!args.positionals().empty()) {
    std::erase_if(all, [](const std::string& word) { return word.starts_with("--model="); });
  }
  // Between MODEL and the first flag: a list at the end of the file must not take MODEL for one of its items,
  // and what the command line says comes last, so that it wins.
  const auto first_flag =
      std::find_if(words.begin(), words.end(), [](const std::string& word) { return word.starts_with('-'); });
  all.insert(all.begin(), words.begin(), first_flag);
  all.insert(all.end(), first_flag, words.end());
  return all;
}

}  // namespace minimax::cli
