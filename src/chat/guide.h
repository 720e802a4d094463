#pragma once
// The guide of a sample: a machine over the text of the answer, with what the machine does not know of:
// thinking, ends, and text that is free up to a tool call.

#include <memory>
#include <optional>
#include <vector>

#include "engine/guide.h"
#include "grammar/machine.h"
#include "tokenizer/tokenizer.h"

namespace minimax::chat {

struct GuideOptions {
  std::shared_ptr<grammar::Machine> machine;
  std::vector<tokenizer::TokenId> end_ids;  // may come where the text may end; none with ignore_eos

  // Thinking is free, and the machine begins behind its end marker. An end or a tool call inside thinking
  // would evade the constraint, so neither may come there.
  bool after_thinking = false;
  // Text is free too, up to the token with which the machine begins (a tool call), and again after its end.
  bool free_text = false;
  std::optional<tokenizer::TokenId> think_end, tool_begin;
};

// The ids of the tokenizer as the machine's vocabulary: markers stand for no text.
std::vector<std::string> text_tokens(const tokenizer::Tokenizer& tokenizer);

std::shared_ptr<const engine::GuideSource> make_guide(GuideOptions options);

}  // namespace minimax::chat
