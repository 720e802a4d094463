#pragma once
// What a load consists of: scripts, each one client's requests in order. Plain data, made by a dataset.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace minimax::bench {

// A request that follows the answer before it (agent sessions).
struct FollowUp {
  std::string text;           // the tool's result, or the user's next words if the model called no tool
  double think_s = 0;         // from the answer before it to sending
  int64_t output_tokens = 0;  // max_tokens
};

struct Script {
  std::string prompt;         // text of /v1/completions, or of the one user message of a chat
  Json messages;              // chat only: the conversation, in the place of prompt; null: none
  Json tools;                 // chat only; null: none
  int64_t input_tokens = 0;   // of the first request, by the dataset's tokenizer; 0: not known
  int64_t output_tokens = 0;  // max_tokens of the first request
  double arrival_s = 0;       // since the start; counts only where the dataset has times of its own
  std::vector<FollowUp> follow_ups;
};

// How one request ended, in times of the client's clock.
struct Outcome {
  bool success = false;
  bool interrupted = false;  // cut by Ctrl-C: neither a success nor a failure
  std::string error;
  double start_s = 0;          // since the start of the run
  double ttft_s = 0;           // first chunk with choices minus start
  double latency_s = 0;        // last chunk with choices minus start
  std::vector<double> itls_s;  // gaps between chunks with choices: one less than there are such chunks
  int64_t input_tokens = 0;    // the server's usage, else the dataset's
  int64_t output_tokens = -1;  // the server's usage; -1: it named none
  std::string text;            // content
  std::string reasoning;       // of chats, and under which name it came
  std::string reasoning_field;
  std::vector<Json> tool_calls;  // of chats, whole: {id, type, function {name, arguments}}
  size_t script = 0;
  size_t turn = 0;
};

}  // namespace minimax::bench
