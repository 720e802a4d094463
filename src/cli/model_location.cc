#include "cli/model_location.h"

#include "base/error.h"
#include "model/resolve.h"

namespace minimax::cli {
namespace {

// Beside the binary as installed (bin/../share/minimax), or in a folder above it as built (build/cpu).
std::filesystem::path locate_tiny(const Environment& environment) {
  const std::filesystem::path relative = std::filesystem::path("models") / "tiny-m2";
  std::filesystem::path folder = environment.executable_folder;
  const std::filesystem::path installed = folder.parent_path() / "share" / "minimax" / relative;
  std::error_code code;
  if (std::filesystem::exists(installed / "config.json", code)) return installed;
  while (!folder.empty()) {
    if (std::filesystem::exists(folder / relative / "config.json", code)) return folder / relative;
    if (folder == folder.root_path()) break;
    folder = folder.parent_path();
  }
  throw Error("tiny: models/tiny-m2 is neither at {} nor in a folder above {}", installed.string(),
              environment.executable_folder);
}

}  // namespace

static std::filesystem::path locate(const std::string& model, const std::string& revision,
                                    const std::string& download_dir, const Environment& environment,
                                    const std::string& file) {
  std::error_code code;
  if (model == kTinyName && !std::filesystem::exists(kTinyName, code)) return locate_tiny(environment);
  const model::HubEnvironment hub{
      .hf_hub_cache = download_dir.empty() ? environment.hf_hub_cache : download_dir,
      .hf_home = environment.hf_home,
      .xdg_cache_home = environment.xdg_cache_home,
      .home = environment.home};
  return model::resolve_model(model, revision, hub, file);
}

std::filesystem::path locate_model(const std::string& model, const std::string& revision,
                                   const std::string& download_dir, const Environment& environment) {
  return locate(model, revision, download_dir, environment, "config.json");
}

std::filesystem::path locate_tokenizer(const std::string& name, const Environment& environment) {
  constexpr std::string_view kFile = "tokenizer.json";
  const std::filesystem::path path = name;
  std::error_code code;
  if (path.filename() == kFile && std::filesystem::is_regular_file(path, code))
    return path.has_parent_path() ? path.parent_path() : ".";
  return locate(name, "main", "", environment, std::string(kFile));
}

}  // namespace minimax::cli
