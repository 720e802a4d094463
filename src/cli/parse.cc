// `minimax parse FILE`: raw model output, or ids, to the OpenAI message or the stream of deltas.

#include "chat/parse.h"

#include <array>
#include <cstdio>

#include <fmt/format.h>

#include "api/conversation.h"
#include "base/error.h"
#include "base/utf8.h"
#include "cli/model_location.h"
#include "cli/verbs.h"
#include "tokenizer/tokenizer.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kInput = "Input";
constexpr std::string_view kOutput = "Output";
constexpr Flag kFlags[] = {
    {"--tools", "", kInput, FlagKind::kDone, "FILE", "",
     "JSON list of OpenAI tools: names and types of parameters"},
    {"--reasoning-parser", "", kInput, FlagKind::kDone, "NAME", "", "minimax_m2 or minimax_m2_append_think"},
    {"--tool-call-parser", "", kInput, FlagKind::kDone, "NAME", "", "minimax_m2"},
    {"--ids", "", kInput, FlagKind::kDone, "", "off", "the input is a JSON list of token ids"},
    {"--model", "", kInput, FlagKind::kDone, "MODEL", "tiny", "whose tokenizer reads the ids"},
    {"--no-thinking", "", kInput, FlagKind::kDone, "", "off", "the prompt did not end inside <think>"},
    {"--chunk", "", kInput, FlagKind::kDone, "BYTES", "all at once", "feed text in pieces of this size"},
    {"--stream", "", kOutput, FlagKind::kDone, "", "off", "print each delta, one JSON object a line"},
};
constexpr Verb kVerb{"parse", "FILE|-", "Parses raw model output into reasoning, content and tool calls.",
                     kFlags, 1};

// The sum of all deltas, and each of them if wanted.
class Collector {
 public:
  explicit Collector(bool stream) : stream_(stream) {}

  void add(const chat::ParsedDelta& delta) {
    if (stream_ && !delta.empty()) fmt::print("{}\n", to_string(to_json(delta)));
    reasoning_ += delta.reasoning;
    content_ += delta.content;
    for (const chat::ToolCallDelta& call : delta.calls) {
      if (call.begins) calls_.push_back(call);
      if (!call.begins) calls_.back().arguments += call.arguments;
    }
  }

  Json message() const {
    Json message = Json::object({{"role", "assistant"}});
    message.set("content", content_.empty() ? Json() : Json(content_));
    if (!reasoning_.empty()) message.set("reasoning", reasoning_);
    if (calls_.empty()) return message;
    Json list = Json::array();
    for (const chat::ToolCallDelta& call : calls_) {
      list.push_back(
          Json::object({{"id", call.id},
                        {"type", "function"},
                        {"function", Json::object({{"name", call.name}, {"arguments", call.arguments}})}}));
    }
    message.set("tool_calls", std::move(list));
    return message;
  }

 private:
  static Json to_json(const chat::ParsedDelta& delta) {
    Json out = Json::object();
    if (!delta.reasoning.empty()) out.set("reasoning", delta.reasoning);
    if (!delta.content.empty()) out.set("content", delta.content);
    for (const chat::ToolCallDelta& call : delta.calls) {
      Json function = Json::object();
      if (call.begins) function.set("name", call.name);
      function.set("arguments", call.arguments);
      Json item = Json::object({{"index", call.index}});
      if (call.begins) item.set("id", call.id).set("type", "function");
      item.set("function", std::move(function));
      if (out.find("tool_calls") == nullptr) out.set("tool_calls", Json::array());
      out.find("tool_calls")->push_back(std::move(item));
    }
    return out;
  }

  bool stream_;
  std::string reasoning_, content_;
  std::vector<chat::ToolCallDelta> calls_;
};

chat::ParserOptions options_of(const Args& args) {
  constexpr std::array<std::string_view, 2> kReasoning{"minimax_m2", "minimax_m2_append_think"};
  constexpr std::array<std::string_view, 1> kTools{"minimax_m2"};
  chat::ParserOptions options;
  const std::string reasoning = args.choice("--reasoning-parser", kReasoning).value_or("");
  if (reasoning == "minimax_m2") options.reasoning = chat::ReasoningFormat::kMinimaxM2;
  if (reasoning == "minimax_m2_append_think") options.reasoning = chat::ReasoningFormat::kAppendThink;
  options.tool_calls = args.choice("--tool-call-parser", kTools).has_value();
  options.starts_in_reasoning = !args.on("--no-thinking");
  if (const auto file = args.text("--tools")) {
    const Result<Json> json = parse_json(read_input(*file));
    if (!json.ok()) throw Error("{}: {}", *file, json.failure().message);
    auto tools = api::parse_tools(*json);
    if (!tools.ok()) throw Error("{}: {}: {}", *file, tools.failure().param, tools.failure().message);
    options.tools = std::make_shared<const std::vector<chat::Tool>>(std::move(*tools));
  }
  return options;
}

void parse_ids(const std::string& text, const std::string& file, const tokenizer::Tokenizer& tokenizer,
               chat::Parser& parser, Collector& out) {
  const Result<Json> ids = parse_json(text);
  if (!ids.ok() || !ids->is_array()) throw Error("{}: expected a JSON list of token ids", file);
  const auto marker_of = [&](tokenizer::TokenId id) {
    if (id == tokenizer.added_id("<think>")) return chat::Marker::kThinkBegin;
    if (id == tokenizer.added_id("</think>")) return chat::Marker::kThinkEnd;
    if (id == tokenizer.added_id("<minimax:tool_call>")) return chat::Marker::kToolBegin;
    if (id == tokenizer.added_id("</minimax:tool_call>")) return chat::Marker::kToolEnd;
    return chat::Marker::kText;
  };
  tokenizer::StreamDecoder decoder(tokenizer, /*skip_special=*/true);
  for (const Json& item : ids->as_array()) {
    if (!item.is_int64() || item.as_int64() < 0 || item.as_int64() >= tokenizer.size()) {
      throw Error("{}: {} is no token id of this tokenizer", file, to_string(item));
    }
    const auto id = static_cast<tokenizer::TokenId>(item.as_int64());
    const chat::Marker marker = marker_of(id);
    // Half a character before a marker can never be completed.
    if (marker != chat::Marker::kText) out.add(parser.push(decoder.flush(), chat::Marker::kText));
    out.add(parser.push(decoder.push(id), marker));
  }
  out.add(parser.push(decoder.flush(), chat::Marker::kText));
}

}  // namespace

const Verb& parse_verb() {
  return kVerb;
}

int run_parse(const Words& words, const Environment& environment) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  const std::string file = args.positionals().empty() ? "-" : args.positionals().front();
  chat::Parser parser(options_of(args));
  Collector out(args.on("--stream"));
  const std::string input = read_input(file);
  if (args.on("--ids")) {
    const auto dir =
        locate_model(args.text("--model").value_or(std::string(kTinyName)), "main", "", environment);
    parse_ids(input, file, tokenizer::Tokenizer::load(dir), parser, out);
  } else {
    const std::string text = utf8::replace_invalid(input);
    const auto chunk = static_cast<size_t>(args.integer("--chunk", 1, 1 << 30).value_or(1 << 30));
    for (size_t begin = 0; begin < text.size();) {
      size_t end = std::min(text.size(), begin + chunk);
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      out.add(parser.push(std::string_view(text).substr(begin, end - begin), chat::Marker::kUnknown));
      begin = end;
    }
  }
  out.add(parser.finish());
  if (!args.on("--stream")) fmt::print("{}\n", to_string(out.message(), kPythonStyle));
  return 0;
}

}  // namespace minimax::cli
