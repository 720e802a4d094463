#pragma once
// What a checkpoint's folder says about its prompts.

#include <filesystem>

#include "chat/render.h"

namespace minimax::cli {

// The identity sentence of the checkpoint's own chat template, where it has one; the family's otherwise.
chat::RenderOptions render_options(const std::filesystem::path& model_dir);

}  // namespace minimax::cli
