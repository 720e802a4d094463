#pragma once
// Where scripts come from. All draws come from `seed`; the same seed gives the same scripts, but not the
// peer's, whose generator is another.

#include <functional>
#include <string>
#include <vector>

#include "bench/client/token_text.h"
#include "bench/client/workload.h"

namespace minimax::bench {

struct DatasetOptions {
  std::string name = "random";
  std::string path;
  int64_t num_prompts = 1000;
  uint64_t seed = 0;
  bool oversample = true;  // repeat requests of a file that has too few
  bool shuffle = true;
  // Renders a user's text as the model's chat prompt (custom files); empty: text is sent as it is.
  std::function<std::string(const std::string&)> apply_template;

  // random
  int64_t input_len = 1024, output_len = 128, prefix_len = 0;
  double input_range = 0, output_range = 0;  // lengths are drawn from [len (1 - r), len (1 + r)]

  int64_t sharegpt_output_len = 0;  // 0: that of the file
  int64_t custom_output_len = 256;  // -1: the file's output_tokens

  // prefix_repetition
  int64_t repeated_prefix_len = 256, repeated_suffix_len = 256, repeated_prefixes = 10,
          repeated_output_len = 128;

  // timed_trace: JSON lines
  int64_t trace_block_tokens = 16;  // tokens one hash stands for
  double trace_seconds = 1;         // a unit of the file's time
  std::string trace_time = "timestamp", trace_input = "input_length", trace_output = "output_length",
              trace_hashes = "hash_ids";

  // agent
  int64_t agent_turns = 8;          // requests of a session
  int64_t agent_system_len = 1024;  // tokens of the system message, the same in all sessions
  int64_t agent_task_len = 128;     // of the user's task
  int64_t agent_result_len = 256;   // mean of a tool's result, drawn from [len / 2, len * 3 / 2]
  int64_t agent_output_len = 256;   // max_tokens of an answer
  double agent_think_s = 0.5;       // mean time a tool takes, exponential
};

// `text` may be nullptr for datasets that count no tokens (custom, sharegpt with an output length). Throws
// Error naming the file and line, or UsageError for options that do not go together.
std::vector<Script> make_scripts(const DatasetOptions& options, const TokenText* text);

// Of each dataset, for make_scripts.
std::vector<Script> random_scripts(const DatasetOptions& options, const TokenText& text);
std::vector<Script> prefix_repetition_scripts(const DatasetOptions& options, const TokenText& text);
std::vector<Script> sharegpt_scripts(const DatasetOptions& options, const TokenText* text);
std::vector<Script> custom_scripts(const DatasetOptions& options, const TokenText* text);
std::vector<Script> burstgpt_scripts(const DatasetOptions& options, const TokenText& text);
std::vector<Script> timed_trace_scripts(const DatasetOptions& options, const TokenText& text);
std::vector<Script> agent_scripts(const DatasetOptions& options, const TokenText& text);

// `count` ids from `first` on, one after another, around the list of allowed ids.
std::vector<TokenId> sequential_ids(const TokenText& text, uint64_t first, int64_t count);

}  // namespace minimax::bench
