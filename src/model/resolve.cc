#include "model/resolve.h"

#include <algorithm>

#include "base/error.h"
#include "model/json_file.h"
#include "model/safetensors.h"

namespace minimax::model {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kRefBytesMax = 4096;
constexpr size_t kNameBytesMax = 96;  // the hub's own limit of a repository's name

bool name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.';
}

// ORG/NAME of the characters the hub allows; neither part may be a step in a path.
bool is_hub_name(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos || name.size() > kNameBytesMax) return false;
  for (const std::string_view part : {name.substr(0, slash), name.substr(slash + 1)}) {
    if (part.empty() || part.starts_with('.') || part.ends_with('.')) return false;
    if (!std::all_of(part.begin(), part.end(), name_char)) return false;
  }
  return true;
}

// A branch may have slashes ("refs/pr/1"), but must stay inside the folder.
bool is_revision(std::string_view revision) {
  if (revision.empty() || revision.starts_with('/') || revision.size() > kRefBytesMax) return false;
  for (const auto& part : fs::path(revision)) {
    if (part == ".." || part == ".") return false;
  }
  return true;
}

// The snapshot of the revision, or empty. refs/REVISION holds the commit; a commit names its own folder.
fs::path snapshot_of(const fs::path& repository, const std::string& revision, const std::string& file) {
  std::error_code code;
  const fs::path ref = repository / "refs" / revision;
  std::string commit = revision;
  if (fs::is_regular_file(ref, code)) {
    commit = read_text_file(ref, kRefBytesMax);
    commit.erase(commit.find_last_not_of(" \r\n\t") + 1);
    if (commit.empty() || !std::all_of(commit.begin(), commit.end(), name_char) || commit.starts_with('.'))
      throw Error("{}: expected a commit, found {}.", ref.string(), quote_name(commit));
  }
  const fs::path snapshot = repository / "snapshots" / commit;
  return fs::is_regular_file(snapshot / file, code) ? snapshot : fs::path();
}

}  // namespace

fs::path hub_cache_dir(const HubEnvironment& environment) {
  if (!environment.hf_hub_cache.empty()) return environment.hf_hub_cache;
  if (!environment.hf_home.empty()) return fs::path(environment.hf_home) / "hub";
  if (!environment.xdg_cache_home.empty())
    return fs::path(environment.xdg_cache_home) / "huggingface" / "hub";
  if (!environment.home.empty()) return fs::path(environment.home) / ".cache" / "huggingface" / "hub";
  return {};
}

fs::path resolve_model(const std::string& model, const std::string& revision,
                       const HubEnvironment& environment, const std::string& file) {
  if (model.empty()) throw Error("The model is an empty name: expected a folder or a hub name ORG/NAME.");
  std::error_code code;
  const fs::path path = model;
  if (fs::is_directory(path, code)) {
    if (!fs::is_regular_file(path / file, code))
      throw Error("{}: expected a folder with {}, found none in it.", model, file);
    return path;
  }
  if (fs::exists(path, code)) throw Error("{}: expected the folder of a model, found a file.", model);
  if (!is_hub_name(model))
    throw Error("{}: there is no such folder, and it is no hub name ORG/NAME.", quote_name(model));

  const std::string wanted = revision.empty() ? "main" : revision;
  if (!is_revision(wanted)) throw Error("Revision {} is no branch, tag or commit.", quote_name(wanted));
  const std::string arguments = model + (revision.empty() ? "" : " --revision " + revision);
  const std::string command =
      fmt::format("Download it with:\n  hf download {}\nor, with older tools:\n  huggingface-cli download {}",
                  arguments, arguments);
  const fs::path cache = hub_cache_dir(environment);
  if (cache.empty())
    throw Error(
        "{}: there is no such folder, and neither HF_HUB_CACHE, HF_HOME nor HOME says where the "
        "hub's cache is. {}",
        model, command);
  std::string folder = "models--" + model;
  folder.replace(folder.find('/'), 1, "--");
  fs::path snapshot = snapshot_of(cache / folder, wanted, file);
  if (snapshot.empty())
    throw Error("{}: there is no such folder, and revision {} is not in the hub's cache {}. {}", model,
                wanted, cache.string(), command);
  return snapshot;
}

}  // namespace minimax::model
