#include "cli/chat_client.h"

#include <array>
#include <cstdio>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/utf8.h"
#include "net/sse_reader.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kPlain = "\033[0m";
constexpr std::string_view kDim = "\033[2m";
constexpr std::string_view kCyan = "\033[36m";
constexpr size_t kToolOutputBytesMax = 1 << 20;

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

Headers headers_of(const ChatOptions& options) {
  Headers headers;
  if (!options.api_key.empty()) headers.emplace_back("Authorization", "Bearer " + options.api_key);
  return headers;
}

std::string text_of(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

std::string error_of(std::string_view body) {
  const Result<Json> parsed = parse_json(body);
  if (parsed.ok()) {
    if (const Json* error = parsed->find("error")) {
      if (const std::string message = text_of(*error, "message"); !message.empty()) return message;
    }
  }
  return std::string(body.substr(0, 500));
}

// Runs `command` in a shell with `input` on its standard input; its output, cut at a limit.
std::string run_command(const std::string& command, const std::string& input) {
  std::array<int, 2> in{}, out{};
  if (pipe(in.data()) != 0 || pipe(out.data()) != 0) throw Error("cannot make a pipe for a tool command");
  const pid_t child = fork();
  if (child < 0) throw Error("cannot start a tool command");
  if (child == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
    execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  // Arguments are small beside a pipe's buffer (64 KiB) in all but odd cases; a tool that does not read them
  // must not stop us, so a broken pipe is ignored.
  size_t written = 0;
  while (written < input.size()) {
    const ssize_t n = write(in[1], input.data() + written, input.size() - written);
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
  close(in[1]);
  std::string output;
  std::array<char, 4096> buffer{};
  ssize_t n = 0;
  while ((n = read(out[0], buffer.data(), buffer.size())) > 0) {
    if (output.size() < kToolOutputBytesMax) output.append(buffer.data(), static_cast<size_t>(n));
  }
  close(out[0]);
  int status = 0;
  waitpid(child, &status, 0);
  while (output.ends_with('\n')) output.pop_back();
  if (status != 0) output += "\n(the command ended with status " + std::to_string(WEXITSTATUS(status)) + ")";
  return utf8::replace_invalid(output);
}

}  // namespace

ChatClient::ChatClient(ChatOptions options) : options_(std::move(options)) {
  if (options_.model.empty()) {
    std::string body;
    const HttpReply reply = http_request(options_.url, "/v1/models", "", headers_of(options_),
                                         [&](int, std::string_view piece) { body += piece; });
    const Result<Json> parsed = parse_json(body);
    const Json* data = parsed.ok() ? parsed->find("data") : nullptr;
    if (reply.status != 200 || data == nullptr || !data->is_array() || data->as_array().empty()) {
      throw Error("GET /v1/models answered {}: {}", reply.status, error_of(body));
    }
    options_.model = text_of(data->as_array().front(), "id");
  }
  if (!options_.system.empty()) {
    messages_.push_back(Json::object({{"role", "system"}, {"content", options_.system}}));
  }
}

void ChatClient::show_style(std::string_view style) {
  if (!options_.colour || style == style_) return;
  style_ = style;
  print(std::string(kPlain) + std::string(style == kPlain ? "" : style));
}

void ChatClient::show_chunk(const Json& chunk, Answer& answer) {
  if (const Json* error = chunk.find("error")) {
    answer.error = text_of(*error, "message");
    return;
  }
  const Json* choices = chunk.find("choices");
  if (choices == nullptr || !choices->is_array() || choices->as_array().empty()) return;
  const Json& choice = choices->as_array().front();
  if (const std::string reason = text_of(choice, "finish_reason"); !reason.empty())
    answer.finish_reason = reason;
  const Json* delta = choice.find("delta");
  if (delta == nullptr) return;
  if (const std::string text = text_of(*delta, "reasoning"); !text.empty()) {
    show_style(kDim);
    print(text);
    answer.reasoning += text;
  }
  if (const std::string text = text_of(*delta, "content"); !text.empty()) {
    if (answer.content.empty() && !answer.reasoning.empty()) print("\n\n");
    show_style(kPlain);
    print(text);
    answer.content += text;
  }
  const Json* calls = delta->find("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (const Json& call : calls->as_array()) {
    const Json* function = call.find("function");
    if (function == nullptr) continue;
    show_style(kCyan);
    if (const std::string name = text_of(*function, "name"); !name.empty()) {
      print("\n" + name + " ");
      answer.tool_calls.push_back(
          Json::object({{"id", text_of(call, "id")},
                        {"type", "function"},
                        {"function", Json::object({{"name", name}, {"arguments", ""}})}}));
    }
    const std::string piece = text_of(*function, "arguments");
    print(piece);
    if (!answer.tool_calls.empty()) {
      Json* arguments = answer.tool_calls.back().find("function")->find("arguments");
      *arguments = Json(arguments->as_string() + piece);
    }
  }
}

ChatClient::Answer ChatClient::ask() {
  Json request = Json::object({{"model", options_.model}, {"messages", Json(messages_)}, {"stream", true}});
  if (options_.tools.is_array()) request.set("tools", options_.tools);
  if (options_.request_fields.is_object()) {
    for (const auto& [key, value] : options_.request_fields.as_object()) request.set(key, value);
  }
  Answer answer;
  std::string error_body;
  net::SseReader reader;
  const auto on_event = [&](std::string_view data) {
    if (data == "[DONE]") return;
    const Result<Json> chunk = parse_json(data);
    if (chunk.ok()) show_chunk(*chunk, answer);
  };
  const HttpReply reply = http_request(options_.url, "/v1/chat/completions", to_string(request),
                                       headers_of(options_), [&](int status, std::string_view piece) {
                                         if (status == 200) {
                                           reader.push(piece, on_event);
                                         } else {
                                           error_body += piece;
                                         }
                                       });
  show_style(kPlain);
  if (reply.interrupted) {
    answer.error = "interrupted";
  } else if (reply.status != 200) {
    answer.error = "the server answered " + std::to_string(reply.status) + ": " + error_of(error_body);
  }
  answer.ok = answer.error.empty();
  return answer;
}

Json ChatClient::run_tool(const Json& call) {
  const Json* function = call.find("function");
  const std::string name = text_of(*function, "name");
  const auto command = options_.tool_commands.find(name);
  const std::string result = command == options_.tool_commands.end()
                                 ? "{\"error\": \"no such tool here\"}"
                                 : run_command(command->second, text_of(*function, "arguments"));
  show_style(kDim);
  print("\n-> " + result + "\n");
  show_style(kPlain);
  return Json::object({{"role", "tool"}, {"tool_call_id", text_of(call, "id")}, {"content", result}});
}

bool ChatClient::say(std::string_view text) {
  const size_t before = messages_.size();
  messages_.push_back(Json::object({{"role", "user"}, {"content", text}}));
  for (int round = 0; round <= options_.tool_rounds_max; ++round) {
    const Answer answer = ask();
    print("\n");
    if (!answer.ok) {
      print("[" + answer.error + "]\n");
      messages_.resize(before);
      return false;
    }
    Json message = Json::object({{"role", "assistant"}, {"content", answer.content}});
    if (!answer.reasoning.empty()) message.set("reasoning", answer.reasoning);
    if (!answer.tool_calls.empty()) message.set("tool_calls", Json(answer.tool_calls));
    messages_.push_back(std::move(message));
    if (answer.tool_calls.empty() || options_.tool_commands.empty()) return true;
    for (const Json& call : answer.tool_calls) messages_.push_back(run_tool(call));
    print("\n");
  }
  print("[gave up after " + std::to_string(options_.tool_rounds_max) + " rounds of tool calls]\n");
  return false;
}

}  // namespace minimax::cli
