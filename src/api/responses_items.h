#pragma once
// Items of the Responses API to messages of a chat request: what a client sends as input, and what an answer
// leaves behind for the next turn.

#include <string>

#include "base/json.h"
#include "base/result.h"

namespace minimax::api {

// A string, or a list of items: message, reasoning, function_call, function_call_output. Neighbouring items
// of the assistant become one message, as one generation put them out. Other items are refused by name, and
// so are outputs of calls that the last turn of the assistant does not have; `before`: the messages of an
// earlier one. `place` is "input" or "output".
Result<Json> messages_of_items(const Json& items, const std::string& place, const Json::Array& before = {});

// The family's template knows one system message, the first: those at the beginning become one, their texts
// apart by an empty line.
void join_leading_system(Json& messages);

}  // namespace minimax::api
