#pragma once
// Conversation to prompt text: the MiniMax-M2 chat template, written by hand, or another one, interpreted.
// Inverse of parse.h for assistant turns.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/message.h"
#include "chat/own_template.h"
#include "chat/segment.h"
#include "tokenizer/tokenizer.h"

namespace minimax::chat {

struct RenderOptions {
  // What stands in the place of a missing system message; from the checkpoint's template (find_identity).
  std::string model_identity = "You are a helpful assistant.";
  // Renders in the family template's place, if there is one.
  std::optional<OwnTemplate> own = std::nullopt;
};

// Fails with a sentence and the field at fault, e.g. a tool message without a preceding assistant call.
Result<std::vector<Segment>> render(const Conversation& conversation, const RenderOptions& options);

std::string joined(const std::vector<Segment>& segments);
std::vector<tokenizer::TokenId> encode(const tokenizer::Tokenizer& tokenizer,
                                       const std::vector<Segment>& segments);

// The default identity sentence inside a checkpoint's chat_template (M2.1 and later name themselves), or
// nothing if the template does not assign `model_identity` a string literal.
std::optional<std::string> find_identity(std::string_view chat_template);

// Is this the template that render() writes by hand? True for the official one of MiniMax-M2, whatever its
// identity sentence, and for that of models/tiny-m2.
bool is_family_template(std::string_view chat_template);

}  // namespace minimax::chat
