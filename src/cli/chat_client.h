#pragma once
// A conversation with a server over the OpenAI API: sends a turn, shows the answer as it streams, runs the
// tools the user allowed, and goes on until the model has answered.

#include <map>
#include <string>
#include <string_view>

#include "base/json.h"
#include "cli/http_client.h"

namespace minimax::cli {

struct ChatOptions {
  Url url;
  std::string model;    // empty: asked from the server
  std::string api_key;  // empty: none
  std::string system;
  Json tools;  // array of OpenAI tools, or null
  // Tool name -> shell command that reads the arguments (JSON) on standard input and prints the result.
  std::map<std::string, std::string> tool_commands;
  Json request_fields;  // temperature, max_tokens, seed ...: an object, or null
  bool colour = false;
  int tool_rounds_max = 16;  // calls in a row before the client gives up
};

class ChatClient {
 public:
  explicit ChatClient(ChatOptions options);

  // One user message and all that follows from it. Prints to standard output. Returns false if it was
  // interrupted or refused (the reason is printed); the conversation then stands as before the message.
  bool say(std::string_view text);

 private:
  // What one streamed answer amounted to.
  struct Answer {
    bool ok = false;
    std::string reasoning, content, finish_reason, error;
    Json::Array tool_calls;
  };

  Answer ask();
  void show_chunk(const Json& chunk, Answer& answer);
  void show_style(std::string_view style);
  Json run_tool(const Json& call);

  ChatOptions options_;
  Json::Array messages_;
  std::string style_;  // of the text printed last
};

}  // namespace minimax::cli
