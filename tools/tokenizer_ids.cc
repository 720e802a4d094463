// Encodes and decodes lines of JSON for tools/compare_tokenizer.py.
//
//   tokenizer_ids MODEL_DIR < lines
//
// A line is a string (added tokens recognised), or an array of [string, added_tokens] spans. Each gives a
// line
// {"ids": [...], "text": decoded, "without_special": decoded}.

#include <exception>
#include <iostream>

#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace minimax {
namespace {

int run(const char* model_dir) {
  const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(model_dir);
  std::string line;
  while (std::getline(std::cin, line)) {
    const Result<Json> parsed = parse_json(line);
    if (!parsed) {
      std::cerr << parsed.failure().message << "\n";
      return 1;
    }
    std::vector<tokenizer::TextSpan> spans;
    if (parsed->is_string()) {
      spans.push_back({parsed->as_string(), true});
    } else {
      for (const Json& span : parsed->as_array()) {
        spans.push_back({span.as_array()[0].as_string(), span.as_array()[1].as_bool()});
      }
    }
    const std::vector<tokenizer::TokenId> ids = tokenizer.encode(spans);
    Json answer = Json::object();
    Json::Array numbers(ids.begin(), ids.end());
    answer.set("ids", std::move(numbers));
    answer.set("text", tokenizer.decode(ids, false));
    answer.set("without_special", tokenizer.decode(ids, true));
    std::cout << to_string(answer) << "\n";
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
