#pragma once
// Deltas of one answer to Anthropic's content blocks: as events of a stream, and as the list of a whole
// answer.

#include <string>
#include <vector>

#include "api/reply.h"
#include "base/json.h"
#include "chat/parse.h"

namespace minimax::api {

class MessageBlocks {
 public:
  explicit MessageBlocks(bool show_thinking) : show_thinking_(show_thinking) {}

  // Appends the events that say what the delta says: blocks begin and end where the kind of text changes.
  void add(const chat::ParsedDelta& delta, std::vector<Event>& events);
  // The end of the answer.
  void close(std::vector<Event>& events);

  // The blocks so far. REQUIRES: close() was called.
  Json take() { return std::move(blocks_); }

 private:
  enum class Kind { kNone, kThinking, kText, kToolUse };

  void begin(Kind kind, Json block, std::vector<Event>& events);
  void say(std::string_view type, std::string_view member, std::string_view text, std::vector<Event>& events);
  void add_call(const chat::ToolCallDelta& call, std::vector<Event>& events);

  bool show_thinking_;
  Kind open_ = Kind::kNone;
  int64_t index_ = -1;  // of the block that is open, or was last
  Json block_;          // the open block, its text in text_
  std::string text_;
  Json blocks_ = Json::array();
};

// Marks a thinking block as this server's. It proves nothing, and nothing is asked of it when it comes back:
// clients only expect that there is one.
std::string thinking_signature(std::string_view thinking);

}  // namespace minimax::api
