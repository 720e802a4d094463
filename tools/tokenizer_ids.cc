// Encodes and decodes lines of JSON for tools/compare_tokenizer.py and tools/bench_tokenizer.py.
//
//   tokenizer_ids MODEL_DIR < lines
//
// A line is a string (added tokens recognised), or an array of [string, added_tokens] spans, or {"decode":
// ids}. Each gives a line {"ids": [...], "text": decoded, "without_special": decoded}; {"split": string}
// gives the pieces before merging.
//
//   tokenizer_ids MODEL_DIR --time < lines
//
// A line is an array of strings, encoded one by one, without added tokens, then decoded. Each gives a line
// {"tokens": count, "hash": FNV-1a of the ids, "encode_s": CPU time, "decode_s": CPU time}.

#include <ctime>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/definition.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

namespace minimax {
namespace {

double thread_cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Json timed(const tokenizer::Tokenizer& tokenizer, const Json& texts) {
  std::vector<std::vector<tokenizer::TokenId>> ids;
  ids.reserve(texts.as_array().size());
  const double begin = thread_cpu_s();
  for (const Json& text : texts.as_array()) ids.push_back(tokenizer.encode(text.as_string(), false));
  const double encoded = thread_cpu_s();
  size_t decoded_bytes = 0, text_bytes = 0;
  for (const auto& one : ids) decoded_bytes += tokenizer.decode(one, false).size();
  const double decoded = thread_cpu_s();
  int64_t tokens = 0;
  uint64_t hash = 0xCBF29CE484222325;
  for (const auto& one : ids) {
    tokens += std::ssize(one);
    for (const tokenizer::TokenId id : one) hash = (hash ^ static_cast<uint32_t>(id)) * 0x100000001B3;
  }
  for (const Json& text : texts.as_array()) text_bytes += text.as_string().size();
  if (decoded_bytes != text_bytes) throw Error("expected {} bytes, decoded {}", text_bytes, decoded_bytes);
  return Json::object({{"tokens", tokens},
                       {"hash", fmt::format("{:016x}", hash)},
                       {"encode_s", encoded - begin},
                       {"decode_s", decoded - encoded}});
}

Json answer(const tokenizer::Tokenizer& tokenizer, const std::vector<tokenizer::TokenId>& ids) {
  return Json::object({{"ids", Json(Json::Array(ids.begin(), ids.end()))},
                       {"text", tokenizer.decode(ids, false)},
                       {"without_special", tokenizer.decode(ids, true)}});
}

Json encoded(const tokenizer::Tokenizer& tokenizer, const Json& line) {
  std::vector<tokenizer::TextSpan> spans;
  if (line.is_string()) {
    spans.push_back({line.as_string(), true});
  } else {
    for (const Json& span : line.as_array()) {
      spans.push_back({span.as_array()[0].as_string(), span.as_array()[1].as_bool()});
    }
  }
  return answer(tokenizer, tokenizer.encode(spans));
}

int run(const std::string& model_dir, bool time) {
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
    if (time) {
      std::cout << to_string(timed(tokenizer, *parsed)) << std::endl;  // the other side waits for the line
    } else if (const Json* ids = parsed->find("decode")) {
      std::vector<tokenizer::TokenId> list;
      for (const Json& id : ids->as_array()) list.push_back(static_cast<tokenizer::TokenId>(id.as_int64()));
      std::cout << to_string(answer(tokenizer, list)) << "\n";
    } else if (const Json* text = parsed->find("split")) {
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
  const bool time = argc == 3 && std::string_view(argv[2]) == "--time";
  if (argc != 2 && !time) {
    std::cerr << "usage: tokenizer_ids MODEL_DIR [--time] < lines of JSON\n";
    return 2;
  }
  try {
    return minimax::run(argv[1], time);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
