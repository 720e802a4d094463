#pragma once
// Model output to reasoning, content and tool calls: one push parser over pieces of text, for streams and
// whole answers alike (the whole answer is the sum of the deltas). Cases: parse_test.cc.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"

namespace minimax::chat {

enum class ReasoningFormat {
  kNone,         // no reasoning parser: thinking and its tags stay in the content as they came
  kMinimaxM2,    // text before </think> is reasoning
  kAppendThink,  // minimax_m2_append_think: content = "<think>" + everything, </think> kept
};

// What a piece of text is, told by its token id. kUnknown: there are no ids, tags in the text count as
// markers.
enum class Marker : uint8_t { kUnknown, kText, kThinkBegin, kThinkEnd, kToolBegin, kToolEnd };

// Shared by the samples of a request, each of which has a parser. May be nullptr: none.
using SharedTools = std::shared_ptr<const std::vector<Tool>>;

struct ParserOptions {
  ReasoningFormat reasoning = ReasoningFormat::kNone;
  bool tool_calls = false;          // a tool parser is set and the request has tools
  bool suppress_calls = false;      // tool_choice none: calls and their text vanish
  bool single_call = false;         // parallel_tool_calls false: only the first call counts
  bool starts_in_reasoning = true;  // the prompt ends inside <think>
  SharedTools tools;                // names that may be called and the types of their parameters
};

struct ToolCallDelta {
  int32_t index = 0;
  bool begins = false;  // first delta of this call: carries id and name
  std::string id;       // "call_" + 24 hex digits
  std::string name;
  std::string arguments;  // a piece of JSON text; all pieces of one call concatenate to a JSON object
  bool ends = false;
};

// What it says, it says in this order: the rest of calls that were open before it, reasoning, content, calls
// that begin.
struct ParsedDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> calls;  // at most one per index
  bool empty() const { return reasoning.empty() && content.empty() && calls.empty(); }
};

class Parser {
 public:
  explicit Parser(ParserOptions options);
  ~Parser();
  Parser(Parser&&) noexcept;
  Parser& operator=(Parser&&) noexcept;

  // Text of one token (or any piece, if marker is kUnknown). Complete UTF-8 characters only.
  ParsedDelta push(std::string_view text, Marker marker);
  // End of the stream: what was held back; an open call is closed so that its arguments are JSON.
  ParsedDelta finish();

  bool any_calls() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::chat
