// Encodes and decodes lines of JSON for tools/compare_tokenizer.py.
//
//   tokenizer_ids MODEL_DIR < lines
//
// A line is a string (added tokens recognised), or an array of [string, added_tokens] spans. Each gives a
// line
// {"ids": [...], "text": decoded, "without_special": decoded}.

#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/json.h"
#include "tokenizer/definition.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

namespace minimax {
namespace {

Json encoded(const tokenizer::Tokenizer& tokenizer, const Json& line) {
  std::vector<tokenizer::TextSpan> spans;
  if (line.is_string()) {
    spans.push_back({line.as_string(), true});
  } else {
    for (const Json& span : line.as_array()) {
      spans.push_back({span.as_array()[0].as_string(), span.as_array()[1].as_bool()});
    }
  }
  const std::vector<tokenizer::TokenId> ids = tokenizer.encode(spans);
  return Json::object({{"ids", Json(Json::Array(ids.begin(), ids.end()))},
                       {"text", tokenizer.decode(ids, false)},
                       {"without_special", tokenizer.decode(ids, true)}});
}

int run(const std::string& model_dir) {
  const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(model_dir);
  const std::string file_name = model_dir + "/tokenizer.json";
  std::stringstream file;
  file << std::ifstream(file_name).rdbuf();
  const tokenizer::Splitter splitter(tokenizer::parse_definition(file.str(), file_name).splits, file_name);
  std::string line;
  while (std::getline(std::cin, line)) {
    const Result<Json> parsed = parse_json(line);
    if (!parsed) {
      std::cerr << parsed.failure().message << "\n";
      return 1;
    }
    if (const Json* text = parsed->find("split")) {
      const std::vector<std::string_view> pieces = splitter.split(text->as_string());
      std::cout << to_string(Json(Json::Array(pieces.begin(), pieces.end()))) << "\n";
    } else {
      std::cout << to_string(encoded(tokenizer, *parsed)) << "\n";
    }
  }
  return 0;
}

}  // namespace
}  // namespace minimax

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenizer_ids MODEL_DIR < lines of JSON\n";
    return 2;
  }
  try {
    return minimax::run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
