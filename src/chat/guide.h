#pragma once
// The guide of a sample: a machine over the text of the answer, with what the machine does not know of:
// thinking and how long it may be, ends, and text that is free up to a tool call.

#include <memory>
#include <optional>
#include <vector>

#include "engine/guide.h"
#include "grammar/machine.h"
#include "tokenizer/tokenizer.h"

namespace minimax::chat {

struct GuideOptions {
  std::shared_ptr<grammar::Machine> machine;  // nullptr: the text is free, and only the thinking is limited
  std::vector<tokenizer::TokenId> end_ids;    // may come where the text may end; none with ignore_eos

  // The sample begins inside thinking, which is free, and the machine begins behind its end marker. An end or
  // a tool call inside thinking would evade the machine, so neither may come there unless the text is free.
  bool after_thinking = false;
  // Tokens of thinking that may come before its end marker must.
  std::optional<int64_t> thinking_tokens_max;
  // Text is free too, up to the token with which the machine begins (a tool call), and again after its end.
  bool free_text = false;
  std::optional<tokenizer::TokenId> think_end, tool_begin;
};

// The ids of the tokenizer as the machine's vocabulary: markers stand for no text.
std::vector<std::string> text_tokens(const tokenizer::Tokenizer& tokenizer);

std::shared_ptr<const engine::GuideSource> make_guide(GuideOptions options);

}  // namespace minimax::chat
