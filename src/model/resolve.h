#pragma once
// The MODEL argument to a folder: a path, or a name ORG/NAME in the local cache of the Hugging Face hub.
// Nothing is downloaded. Layout of the cache: huggingface_hub documentation, "Understand caching".

#include <filesystem>
#include <string>

namespace minimax::model {

// Values of the environment as its reader found them; empty: not set.
struct HubEnvironment {
  std::string hf_hub_cache;    // HF_HUB_CACHE, or the older HUGGINGFACE_HUB_CACHE
  std::string hf_home;         // HF_HOME
  std::string xdg_cache_home;  // XDG_CACHE_HOME
  std::string home;            // HOME
};

// Where the hub's cache is: hf_hub_cache, hf_home/hub, xdg_cache_home/huggingface/hub or
// home/.cache/huggingface/hub. Empty if nothing is set.
std::filesystem::path hub_cache_dir(const HubEnvironment& environment);

// A folder that holds `file`. `revision` (a branch, tag or commit; empty: main) counts for hub names
// only. Throws Error that says what was looked for, and for hub names the command that downloads.
std::filesystem::path resolve_model(const std::string& model, const std::string& revision,
                                    const HubEnvironment& environment,
                                    const std::string& file = "config.json");

}  // namespace minimax::model
