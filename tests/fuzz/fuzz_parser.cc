// Model output: split anywhere, the sum of the deltas must be the same, and arguments must be JSON objects.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "chat/parse.h"

namespace {

using namespace minimax;

struct Outcome {
  std::string reasoning, content;
  std::map<int32_t, std::pair<std::string, std::string>> calls;
  bool operator==(const Outcome&) const = default;

  void add(const chat::ParsedDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    for (const chat::ToolCallDelta& call : delta.calls) {
      calls[call.index].first += call.name;
      calls[call.index].second += call.arguments;
    }
  }
};

chat::ParserOptions options_of(uint8_t bits) {
  chat::ParserOptions options;
  options.reasoning = static_cast<chat::ReasoningFormat>(bits % 3);
  options.tool_calls = (bits & 4) != 0;
  options.starts_in_reasoning = (bits & 8) != 0;
  options.single_call = (bits & 16) != 0;
  options.suppress_calls = (bits & 32) != 0;
  const Result<Json> schema = parse_json(
      R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"},"c":{"type":["array","null"]}}})");
  options.tools = std::make_shared<const std::vector<chat::Tool>>(
      std::vector<chat::Tool>{{"f", Json::object({{"name", "f"}, {"parameters", *schema}}), *schema}});
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const chat::ParserOptions options = options_of(data[0]);
  const size_t step = 1 + data[1] % 7;
  const std::string text = utf8::replace_invalid({reinterpret_cast<const char*>(data) + 2, size - 2});

  Outcome whole;
  chat::Parser parser(options);
  whole.add(parser.push(text, chat::Marker::kUnknown));
  whole.add(parser.finish());

  Outcome split;
  chat::Parser pieces(options);
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.size(), begin + step);
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    split.add(pieces.push(std::string_view(text).substr(begin, end - begin), chat::Marker::kUnknown));
    begin = end;
  }
  split.add(pieces.finish());
  CHECK(whole == split);
  for (const auto& [index, call] : whole.calls) {
    const Result<Json> arguments = parse_json(call.second, {.depth_max = 4096});
    CHECK(arguments.ok());
    CHECK(arguments->is_object());
  }
  return 0;
}
