// Model output: split anywhere, the sum of the deltas must be the same, and arguments must be JSON objects;
// where no call can be, no character may be lost. Markers come as text, or as the ids they are told by.

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

struct Piece {
  std::string_view text;
  chat::Marker marker = chat::Marker::kUnknown;
};

constexpr std::pair<std::string_view, chat::Marker> kMarkers[] = {
    {"<think>", chat::Marker::kThinkBegin},
    {"</think>", chat::Marker::kThinkEnd},
    {"<minimax:tool_call>", chat::Marker::kToolBegin},
    {"</minimax:tool_call>", chat::Marker::kToolEnd}};

// With ids a marker's text is one only where a bit of `which` says so, for text may look like a marker.
std::vector<Piece> pieces_of(std::string_view text, bool ids, uint8_t which) {
  if (!ids) return {{text}};
  std::vector<Piece> pieces;
  size_t begin = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    for (const auto& [words, marker] : kMarkers) {
      if (!text.substr(at).starts_with(words)) continue;
      which = static_cast<uint8_t>(which << 1 | which >> 7);
      if ((which & 1) == 0) continue;
      if (at > begin) pieces.push_back({text.substr(begin, at - begin), chat::Marker::kText});
      pieces.push_back({words, marker});
      begin = at + words.size();
      at = begin - 1;
      break;
    }
  }
  if (begin < text.size()) pieces.push_back({text.substr(begin), chat::Marker::kText});
  return pieces;
}

// `bytes_max`: of what is pushed at once; a marker's id is one push. `in_order` gets all text as it came.
Outcome parse(const chat::ParserOptions& options, const std::vector<Piece>& pieces, size_t bytes_max,
              std::string* in_order) {
  Outcome outcome;
  chat::Parser parser(options);
  const auto add = [&](const chat::ParsedDelta& delta) {
    outcome.add(delta);
    if (in_order != nullptr) *in_order += delta.reasoning + delta.content;
  };
  for (const auto& [text, marker] : pieces) {
    if (marker != chat::Marker::kUnknown && marker != chat::Marker::kText) {
      add(parser.push(text, marker));
      continue;
    }
    for (size_t begin = 0; begin < text.size();) {
      size_t end = begin + std::min(text.size() - begin, bytes_max);
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      add(parser.push(text.substr(begin, end - begin), marker));
      begin = end;
    }
  }
  add(parser.finish());
  return outcome;
}

std::string without_spaces(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') out += c;
  return out;
}

// What must come out where no call can be: all but the marks of thinking.
std::string text_of(const std::vector<Piece>& pieces) {
  std::string out;
  for (auto [text, marker] : pieces) {
    if (marker == chat::Marker::kThinkBegin || marker == chat::Marker::kThinkEnd) continue;
    while (marker == chat::Marker::kUnknown && !text.empty()) {
      const std::string_view mark = text.starts_with("<think>")    ? "<think>"
                                    : text.starts_with("</think>") ? "</think>"
                                                                   : "";
      if (mark.empty()) out += text.front();
      text.remove_prefix(std::max<size_t>(mark.size(), 1));
    }
    out += text;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const chat::ParserOptions options = options_of(data[0]);
  const std::string text = utf8::replace_invalid({reinterpret_cast<const char*>(data) + 3, size - 3});
  const std::vector<Piece> pieces = pieces_of(text, (data[0] & 64) != 0, data[2]);

  const Outcome whole = parse(options, pieces, text.size() + 1, nullptr);
  const Outcome split = parse(options, pieces, 1 + data[1] % 7, nullptr);
  std::string in_order;
  CHECK(parse(options, pieces, 1, &in_order) == whole);
  CHECK(whole == split);
  if (!options.tool_calls) {
    const bool keeps_marks = options.reasoning != chat::ReasoningFormat::kMinimaxM2;
    if (keeps_marks) {
      const bool prefix = options.reasoning == chat::ReasoningFormat::kAppendThink &&
                          options.starts_in_reasoning && !text.empty();
      CHECK_EQ(whole.content, (prefix ? "<think>" : "") + text);
    } else {
      CHECK_EQ(without_spaces(in_order), without_spaces(text_of(pieces)));
    }
  }
  for (const auto& [index, call] : whole.calls) {
    const Result<Json> arguments = parse_json(call.second, {.depth_max = 4096});
    CHECK(arguments.ok());
    CHECK(arguments->is_object());
  }
  return 0;
}
