#include "cli/model_text.h"

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/json.h"

namespace minimax::cli {
namespace {

constexpr size_t kTemplateBytesMax = 4 << 20;

std::string read_small_file(const std::filesystem::path& path) {
  std::error_code code;
  const uintmax_t size = std::filesystem::file_size(path, code);
  if (code) return {};
  if (size > kTemplateBytesMax)
    throw Error("{}: {} bytes, more than {}", path.string(), size, kTemplateBytesMax);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A file, or a field of tokenizer_config.json.
std::string read_chat_template(const std::filesystem::path& dir) {
  std::string text = read_small_file(dir / "chat_template.jinja");
  if (!text.empty()) return text;
  const Result<Json> config = parse_json(read_small_file(dir / "tokenizer_config.json"));
  const Json* field = config.ok() ? config->find("chat_template") : nullptr;
  return field != nullptr && field->is_string() ? field->as_string() : "";
}

}  // namespace

chat::RenderOptions render_options(const std::filesystem::path& model_dir) {
  chat::RenderOptions options;
  if (auto identity = chat::find_identity(read_chat_template(model_dir)))
    options.model_identity = std::move(*identity);
  return options;
}

}  // namespace minimax::cli
