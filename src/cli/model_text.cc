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

struct Source {
  std::string text, name;
};

// A file, or a field of tokenizer_config.json.
Source own_template(const std::filesystem::path& dir, const Json& tokenizer_config) {
  const std::filesystem::path file = dir / "chat_template.jinja";
  Source source{read_small_file(file), file.string()};
  if (!source.text.empty()) return source;
  source.name = (dir / "tokenizer_config.json").string() + ": chat_template";
  const Json* field = tokenizer_config.find("chat_template");
  if (field == nullptr || field->is_null()) return source;
  if (!field->is_string()) {
    throw Error("{}: expected a string, found a value of type {}; name one with --chat-template", source.name,
                field->type_name());
  }
  source.text = field->as_string();
  return source;
}

// A file's text, or the words themselves if they look like a template, as in the peer.
Source chosen_template(const std::string& choice) {
  std::error_code code;
  if (std::filesystem::is_regular_file(choice, code)) return {read_small_file(choice), choice};
  if (choice.find_first_of("{}\n") == std::string::npos) {
    throw Error("--chat-template: expected a file or the text of a template, found no file {}", choice);
  }
  return {choice, "--chat-template"};
}

// bos_token and the like: a string, or an object that holds it.
Json special_tokens(const Json& tokenizer_config) {
  Json out = Json::object();
  for (const char* name :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    const Json* token = tokenizer_config.find(name);
    if (token != nullptr && token->is_object()) token = token->find("content");
    if (token != nullptr && token->is_string()) out.set(name, *token);
  }
  return out;
}

}  // namespace

chat::RenderOptions render_options(const std::filesystem::path& model_dir, const TemplateChoice& choice) {
  const Result<Json> parsed = parse_json(read_small_file(model_dir / "tokenizer_config.json"));
  const Json config = parsed.ok() ? *parsed : Json();
  const Source source = choice.file.empty() ? own_template(model_dir, config) : chosen_template(choice.file);
  chat::RenderOptions options;
  if (source.text.empty() && choice.file.empty()) return options;
  if (chat::is_family_template(source.text)) {
    if (auto identity = chat::find_identity(source.text)) options.model_identity = std::move(*identity);
    return options;
  }
  chat::OwnTemplate own{chat::jinja::Template::parse(source.text, source.name), special_tokens(config), true};
  own.reads_parts = choice.format == "openai" || (choice.format == "auto" && own.program.reads_parts());
  options.own = std::move(own);
  return options;
}

}  // namespace minimax::cli
