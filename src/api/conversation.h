#pragma once
// The `messages` and `tools` of a chat request, as the chat room knows them. Also for `minimax render` and
// `minimax parse`, which read the same JSON from files.

#include <string>
#include <vector>

#include "api/fields.h"
#include "base/json.h"
#include "base/result.h"
#include "chat/message.h"

namespace minimax::api {

struct ConversationLimits {
  int64_t messages_max = 65536;
  int64_t tools_max = 1024;
  int64_t template_kwargs_max = 64;
};

// Reads messages, tools, add_generation_prompt, continue_final_message, chat_template_kwargs and
// reasoning_effort; failures go to `fields`. What the model cannot read (images, audio) is refused by name.
chat::Conversation read_conversation(Fields& fields, const ConversationLimits& limits,
                                     const Json& default_template_kwargs);

// The same for a whole request that is at hand as JSON.
Result<chat::Conversation> parse_conversation(const Json& request, const ConversationLimits& limits = {});

// A list of {"type": "function", "function": {...}}.
Result<std::vector<chat::Tool>> parse_tools(const Json& tools, const ConversationLimits& limits = {});

}  // namespace minimax::api
