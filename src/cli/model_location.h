#pragma once
// MODEL to a folder: `tiny`, a directory, or a hub name in the local cache.

#include <filesystem>
#include <string>

#include "cli/environment.h"

namespace minimax::cli {

// The name of the model that ships with minimax, and its folder in the source tree and in an installation.
inline constexpr std::string_view kTinyName = "tiny";

// Throws Error that says where it looked.
std::filesystem::path locate_model(const std::string& model, const std::string& revision,
                                   const std::string& download_dir, const Environment& environment);

// The folder of a tokenizer.json: named itself, by its folder, or by a hub name. A model need not be there.
std::filesystem::path locate_tokenizer(const std::string& name, const Environment& environment);

}  // namespace minimax::cli
