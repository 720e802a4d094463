#pragma once
// The inside of a tool-call block: text to calls and pieces of their JSON arguments, as they come. String
// parameters are streamed; others are held until their value is whole, then typed by the schema.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "chat/parse.h"

namespace minimax::chat {

struct ToolBlockOptions {
  bool mute_all = false;     // tool_choice none
  bool single_call = false;  // parallel_tool_calls false
  // nullptr or empty: any name is a call, all parameters are strings.
  SharedTools tools;
};

class ToolBlock {
 public:
  explicit ToolBlock(ToolBlockOptions options) : options_(std::move(options)) {}

  // Text of the block. With `bare` (an <invoke> without the wrapper) the block ends by itself after
  // </invoke>: returns true then, and *rest is the text behind it.
  bool push(std::string_view text, bool bare, ParsedDelta& delta, std::string* rest);
  // The block's end marker, or the end of the stream: closes what is open.
  void close(ParsedDelta& delta);

  bool any_calls() const { return next_index_ > 0; }

 private:
  enum class State { kBetween, kInCall, kInValue };

  // Each consumes the beginning of buffer_; false: more text is needed.
  bool read_between();
  bool read_call(ParsedDelta& delta);
  bool read_value(ParsedDelta& delta);

  void begin_call(std::string name, ParsedDelta& delta);
  void begin_value(std::string name, ParsedDelta& delta);
  void value_text(std::string_view text, ParsedDelta& delta);
  void append_value(std::string_view text, ParsedDelta& delta);
  void end_value(ParsedDelta& delta);
  void end_call(ParsedDelta& delta);
  ToolCallDelta& delta_of(ParsedDelta& delta) const;
  const Json& root() const;  // the schema that references point into

  ToolBlockOptions options_;
  State state_ = State::kBetween;
  std::string buffer_;
  bool call_ended_ = false;  // since push() began: how a bare block ends
  // The open call.
  bool muted_ = false;
  const Tool* tool_ = nullptr;
  int32_t index_ = 0, next_index_ = 0;
  std::unordered_set<std::string> named_;  // parameters so far
  // The open value.
  bool repeated_ = false;  // its parameter had one before, which may have been sent: this one says nothing
  bool streams_ = false;
  const Json* schema_ = nullptr;
  std::string value_;    // of a value that is not streamed
  std::string newline_;  // a line break at the end of what was read: dropped if the closing tag is missing
};

// "call_" and 24 random hexadecimal digits, as the peer's.
std::string make_call_id();

}  // namespace minimax::chat
