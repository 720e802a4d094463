#pragma once
// Prompts by a template that is not the family's: a checkpoint's own chat_template, or --chat-template.

#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/message.h"
#include "chat/segment.h"
#include "chat/template/template.h"

namespace minimax::chat {

struct OwnTemplate {
  jinja::Template program;
  // bos_token, eos_token and the like: an object of strings, which may become added tokens.
  Json special_tokens;
  // Contents go to the template as the list of parts the client sent; otherwise their texts are joined by
  // line breaks, for templates that know strings alone.
  bool reads_parts = true;
};

Result<std::vector<Segment>> render_own(const Conversation& conversation, const OwnTemplate& own);

}  // namespace minimax::chat
