#pragma once
// Deltas of one answer to the output items of the Responses API: as events of a stream, and as the list of a
// whole response.

#include <string>
#include <string_view>
#include <vector>

#include "api/reply.h"
#include "base/json.h"
#include "chat/parse.h"

namespace minimax::api {

// The events of one response, numbered from 0 as they come.
class ResponseEvents {
 public:
  void emit(std::string_view type, Json members);
  std::vector<Event> take() { return std::exchange(events_, {}); }
  int64_t count() const { return next_; }

 private:
  int64_t next_ = 0;
  std::vector<Event> events_;
};

// The id of the response that an item with this id belongs to, if it is one of ours.
std::string response_of_item(std::string_view item_id);

struct ResponseOutputOptions {
  bool logprobs = false;           // text parts carry them
  bool encrypted_content = false;  // items of thinking carry it sealed too
};

class ResponseOutput {
 public:
  // `id`: what the items' ids are made of.
  ResponseOutput(std::string id, ResponseOutputOptions options) : id_(std::move(id)), options_(options) {}

  // Says what the delta says. `logprobs`: a list, of the tokens of its content.
  void add(const chat::ParsedDelta& delta, Json logprobs, ResponseEvents& events);
  // The end: the item that is open is complete, or was cut off.
  void close(bool complete, ResponseEvents& events);

  // The items so far, the open one as far as it is known.
  Json items() const;

 private:
  enum class Kind { kNone, kReasoning, kMessage, kCall };

  void begin(Kind kind, Json item, ResponseEvents& events);
  void say(std::string_view type, std::string_view text, Json logprobs, ResponseEvents& events);
  void add_call(const chat::ToolCallDelta& call, ResponseEvents& events);
  Json part() const;
  Json item(std::string_view status) const;
  Json place(bool of_part) const;

  std::string id_;
  ResponseOutputOptions options_;
  Kind open_ = Kind::kNone;
  Json head_;         // members of the open item that do not change
  std::string text_;  // of the open item: thinking, text or arguments
  Json logprobs_ = Json::array();
  Json done_ = Json::array();
};

}  // namespace minimax::api
