#pragma once
// What a checkpoint's folder says about its prompts.

#include <filesystem>
#include <string>

#include "chat/render.h"

namespace minimax::cli {

// Which template renders, and how contents reach it.
struct TemplateChoice {
  std::string file;  // --chat-template: a file or the text of a template; empty: the checkpoint's own
  std::string format = "auto";  // --chat-template-content-format: auto, string or openai
};

// The family's template by hand, with the identity sentence of the checkpoint's own; any other template, the
// checkpoint's or the one chosen, is interpreted. Throws Error where one is not understood.
chat::RenderOptions render_options(const std::filesystem::path& model_dir, const TemplateChoice& choice = {});

}  // namespace minimax::cli
