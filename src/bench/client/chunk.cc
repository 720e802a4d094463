#include "bench/client/chunk.h"

#include <simdjson.h>

namespace minimax::bench {
namespace {

namespace dom = simdjson::dom;
constexpr size_t kErrorBytesMax = 300;
constexpr int64_t kTokensMax = int64_t{1} << 40;  // more is no count

// What a server said, fit for a terminal: its beginning, on one line.
std::string one_line(std::string_view text) {
  std::string out(text.substr(0, kErrorBytesMax));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7F') c = ' ';
  }
  return out;
}

// \uD800 to \uDFFF are replaced: servers that cut text anywhere send half a character in such an escape.
std::string without_surrogates(std::string_view json) {
  std::string out(json);
  for (size_t at = 0; (at = out.find('\\', at)) != std::string::npos; at += 2) {
    const bool surrogate = at + 5 < out.size() && out[at + 1] == 'u' && (out[at + 2] | 0x20) == 'd' &&
                           std::string_view("89abcdefABCDEF").find(out[at + 3]) != std::string_view::npos;
    if (surrogate) out.replace(at + 2, 4, "fffd");
  }
  return out;
}

std::string_view text_of(const dom::element& object, const char* key) {
  std::string_view value;
  if (object[key].get(value) != simdjson::SUCCESS) return {};
  return value;
}

void add_tool_calls(const dom::element& delta, std::vector<Json>& calls) {
  dom::array pieces;
  if (delta["tool_calls"].get(pieces) != simdjson::SUCCESS) return;
  for (const dom::element piece : pieces) {
    int64_t idx = static_cast<int64_t>(calls.size());
    if (piece["index"].get(idx) != simdjson::SUCCESS) idx = static_cast<int64_t>(calls.size());
    if (idx < 0 || idx > 1000) continue;
    while (std::ssize(calls) <= idx) {
      calls.push_back(Json::object(
          {{"id", ""}, {"type", "function"}, {"function", Json::object({{"name", ""}, {"arguments", ""}})}}));
    }
    Json& call = calls[static_cast<size_t>(idx)];
    if (const std::string_view id = text_of(piece, "id"); !id.empty()) call.set("id", id);
    dom::element function;
    if (piece["function"].get(function) != simdjson::SUCCESS) continue;
    Json& whole = *call.find("function");
    const auto extend = [&](const char* key) {
      whole.set(key, whole.find(key)->as_string() + std::string(text_of(function, key)));
    };
    extend("name");
    extend("arguments");
  }
}

}  // namespace

struct ChunkReader::Impl {
  dom::parser parser;
};

ChunkReader::ChunkReader() : impl_(std::make_unique<Impl>()) {}
ChunkReader::~ChunkReader() = default;

ChunkReader::Kind ChunkReader::read(std::string_view data, Outcome& outcome) {
  dom::element chunk;
  if (impl_->parser.parse(data.data(), data.size()).get(chunk) != simdjson::SUCCESS) {
    const std::string mended = without_surrogates(data);
    if (impl_->parser.parse(mended).get(chunk) != simdjson::SUCCESS) {
      outcome.error = "an event of the stream is no JSON: " + one_line(data);
      return Kind::kError;
    }
  }
  dom::element part;
  if (chunk["error"].get(part) == simdjson::SUCCESS && !part.is_null()) {
    outcome.error = error_sentence(data);
    return Kind::kError;
  }
  if (chunk["usage"].get(part) == simdjson::SUCCESS) {
    int64_t tokens = 0;
    const auto counted = [&](const char* key) {
      return part[key].get(tokens) == simdjson::SUCCESS && tokens > 0 && tokens < kTokensMax;
    };
    if (counted("completion_tokens")) outcome.output_tokens = tokens;
    if (counted("prompt_tokens")) outcome.input_tokens = tokens;
  }
  dom::array choices;
  if (chunk["choices"].get(choices) != simdjson::SUCCESS || choices.size() == 0) return Kind::kOther;
  const dom::element choice = choices.at(0);
  if (!choice.is_object()) {
    outcome.error = "a chunk of the stream has a choice that is no object: " + one_line(data);
    return Kind::kError;
  }
  outcome.text += text_of(choice, "text");
  if (choice["delta"].get(part) == simdjson::SUCCESS) {
    outcome.text += text_of(part, "content");
    for (const char* field : {"reasoning", "reasoning_content"}) {
      const std::string_view text = text_of(part, field);
      if (text.empty()) continue;
      outcome.reasoning += text;
      outcome.reasoning_field = field;
      break;
    }
    add_tool_calls(part, outcome.tool_calls);
  }
  return Kind::kChoices;
}

std::string error_sentence(std::string_view body) {
  dom::parser parser;
  dom::element root;
  if (parser.parse(body.data(), body.size()).get(root) == simdjson::SUCCESS) {
    dom::element error;
    std::string_view text;
    if (root["error"].get(error) == simdjson::SUCCESS) {
      if (error["message"].get(text) == simdjson::SUCCESS || error.get(text) == simdjson::SUCCESS) {
        return one_line(text);
      }
    }
    for (const char* key : {"message", "detail"}) {
      if (root[key].get(text) == simdjson::SUCCESS) return one_line(text);
    }
  }
  return one_line(body);
}

}  // namespace minimax::bench
