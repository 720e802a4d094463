// `minimax chat`: talks to a server, or to a local model through a server of its own on a free port of the
// loopback.

#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>

#include <unistd.h>

#include "base/error.h"
#include "cli/chat_client.h"
#include "cli/serve_flags.h"
#include "cli/verbs.h"
#include "cli/wire.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kWhat = "Conversation";
constexpr std::string_view kSampling = "Sampling";
constexpr Flag kFlags[] = {
    {"--message", "-m", kWhat, FlagKind::kDone, "TEXT", "", "say this and end; several are said in turn",
     false, true},
    {"--system", "", kWhat, FlagKind::kDone, "TEXT", "", "system message"},
    {"--tools", "", kWhat, FlagKind::kDone, "FILE", "", "JSON list of OpenAI tools to offer"},
    {"--tool-command", "", kWhat, FlagKind::kDone, "NAME=COMMAND", "",
     "shell command that runs the tool: arguments as JSON on its standard input, the result on its output",
     false, true},
    {"--model", "", kWhat, FlagKind::kDone, "NAME", "the server's first", "model name to send"},
    {"--api-key", "", kWhat, FlagKind::kDone, "KEY", "VLLM_API_KEY", "key to send"},
    {"--max-tokens", "", kSampling, FlagKind::kDone, "N", "", "longest answer"},
    {"--temperature", "", kSampling, FlagKind::kDone, "X", "the model's", "0: always the likeliest token"},
    {"--seed", "", kSampling, FlagKind::kDone, "N", "", "the same seed gives the same answer"},
};
constexpr Verb kVerb{
    "chat", "URL|MODEL",
    "Chats in the terminal with a server (http://HOST:PORT) or a local model. Thinking is dimmed, tool "
    "calls are shown; Ctrl-C stops one answer.",
    kFlags, 1};

ChatOptions options_of(const Args& args, const Environment& environment) {
  ChatOptions options;
  options.system = args.text("--system").value_or("");
  options.model = args.text("--model").value_or("");
  options.api_key = args.text("--api-key").value_or(environment.api_key);
  options.colour = isatty(STDOUT_FILENO) != 0 && !environment.no_color;
  if (const auto file = args.text("--tools")) {
    const Result<Json> tools = parse_json(read_input(*file));
    if (!tools.ok()) throw Error("{}: {}", *file, tools.failure().message);
    if (!tools->is_array()) throw Error("{}: expected a list of tools, found {}", *file, tools->type_name());
    options.tools = *tools;
  }
  for (const std::string& word : args.texts("--tool-command")) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos)
      throw UsageError("--tool-command takes NAME=COMMAND, but got \"{}\"", word);
    options.tool_commands[word.substr(0, equals)] = word.substr(equals + 1);
  }
  options.request_fields = Json::object();
  if (const auto n = args.integer("--max-tokens", 1, 1 << 30)) options.request_fields.set("max_tokens", *n);
  if (const auto x = args.number("--temperature", 0, 2)) options.request_fields.set("temperature", *x);
  if (const auto n = args.integer("--seed", 0, INT64_MAX)) options.request_fields.set("seed", *n);
  return options;
}

int converse(ChatClient& client, const std::vector<std::string>& messages) {
  if (!messages.empty()) {
    for (const std::string& message : messages) {
      if (messages.size() > 1) std::cout << "> " << message << "\n";
      if (!client.say(message)) return 1;
    }
    return 0;
  }
  const bool terminal = isatty(STDIN_FILENO) != 0;
  std::string line;
  while (true) {
    if (terminal) std::cout << "> " << std::flush;
    if (!std::getline(std::cin, line)) break;
    if (!line.empty()) client.say(line);
  }
  if (terminal) std::cout << "\n";
  return 0;
}

}  // namespace

const Verb& chat_verb() {
  return kVerb;
}

int run_chat(const Words& words, const Environment& environment) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  if (args.positionals().empty()) throw UsageError("chat needs the URL of a server, or a model");
  std::signal(SIGPIPE, SIG_IGN);  // a tool command that reads nothing must not end the chat
  ChatOptions options = options_of(args, environment);
  std::string target = args.positionals().front();
  std::unique_ptr<LocalServer> local;
  if (!target.starts_with("http://")) {
    local = LocalServer::start(target, environment);
    target = local->url();
  }
  options.url = parse_url(target);
  ChatClient client(std::move(options));
  return converse(client, args.texts("--message"));
}

}  // namespace minimax::cli
