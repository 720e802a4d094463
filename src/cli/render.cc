// `minimax render FILE`: the prompt of an OpenAI chat request, as text or ids.

#include "chat/render.h"

#include <cstdio>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "api/conversation.h"
#include "base/error.h"
#include "cli/model_location.h"
#include "cli/model_text.h"
#include "cli/verbs.h"
#include "tokenizer/tokenizer.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kOutput = "Output";
constexpr Flag kFlags[] = {
    {"--model", "", kOutput, FlagKind::kDone, "MODEL", "tiny", "whose tokenizer and default identity to use"},
    {"--revision", "", kOutput, FlagKind::kDone, "REV", "main", "of a hub model"},
    {"--chat-template", "", kOutput, FlagKind::kDone, "FILE", "the model's", "a Jinja template in its place"},
    {"--ids", "", kOutput, FlagKind::kDone, "", "off", "token ids as a JSON list instead of text"},
    {"--segments", "", kOutput, FlagKind::kDone, "", "off", "a JSON list of {text, from_template}"},
};
constexpr Verb kVerb{"render", "FILE|-",
                     "Renders an OpenAI chat request (messages, tools) to the prompt of the model.", kFlags,
                     1};

}  // namespace

const Verb& render_verb() {
  return kVerb;
}

int run_render(const Words& words, const Environment& environment) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  const std::string file = args.positionals().empty() ? "-" : args.positionals().front();
  const Result<Json> request = parse_json(read_input(file));
  if (!request.ok()) throw Error("{}: {}", file, request.failure().message);
  const Result<chat::Conversation> conversation = api::parse_conversation(*request);
  if (!conversation.ok()) {
    throw Error("{}: {}: {}", file, conversation.failure().param, conversation.failure().message);
  }
  const std::filesystem::path dir = locate_model(args.text("--model").value_or(std::string(kTinyName)),
                                                 args.text("--revision").value_or("main"), "", environment);
  const auto segments =
      chat::render(*conversation, render_options(dir, {args.text("--chat-template").value_or(""), "auto"}));
  if (!segments.ok()) throw Error("{}: {}: {}", file, segments.failure().param, segments.failure().message);
  std::string out;
  if (args.on("--ids")) {
    const auto tokenizer = tokenizer::Tokenizer::load(dir);
    Json ids = Json::array();
    for (const tokenizer::TokenId id : chat::encode(tokenizer, *segments)) ids.push_back(id);
    out = to_string(ids, kPythonStyle) + "\n";
  } else if (args.on("--segments")) {
    Json list = Json::array();
    for (const chat::Segment& segment : *segments) {
      list.push_back(Json::object({{"text", segment.text}, {"from_template", segment.from_template}}));
    }
    out = to_string(list, kPythonStyle) + "\n";
  } else {
    out = chat::joined(*segments);
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  return 0;
}

}  // namespace minimax::cli
