#pragma once
// Values as text: Python's str and repr, and JSON as json.dumps writes it. What values of the conversation
// print as is the conversation's.

#include <optional>
#include <string>

#include "chat/template/value.h"

namespace minimax::chat::jinja {

// Fails for values whose text Python makes of an address: functions, generators, the loop.
Text str_of(const Value& value, Heap& heap);

struct JsonFormat {
  bool ensure_ascii = false;
  std::optional<Text> indent;  // the text of one level
  std::optional<Text> item_separator, key_separator;
  bool sort_keys = false;
};
Text json_of(const Value& value, const JsonFormat& format, Heap& heap);

// Python's repr of a float.
std::string repr_of_real(double value);

}  // namespace minimax::chat::jinja
