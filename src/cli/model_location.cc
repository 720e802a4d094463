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

std::filesystem::path locate_model(const std::string& model, const std::string& revision,
                                   const std::string& download_dir, const Environment& environment) {
  std::error_code code;
  if (model == kTinyName && !std::filesystem::exists(kTinyName, code)) return locate_tiny(environment);
  const model::HubEnvironment hub{
      .hf_hub_cache = download_dir.empty() ? environment.hf_hub_cache : download_dir,
      .hf_home = environment.hf_home,
      .xdg_cache_home = environment.xdg_cache_home,
      .home = environment.home};
  return model::resolve_model(model, revision, hub);
}

}  // namespace minimax::cli
