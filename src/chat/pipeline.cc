#include "chat/pipeline.h"

#include <algorithm>

namespace minimax::chat {

using tokenizer::TokenId;

MarkerIds MarkerIds::of(const tokenizer::Tokenizer& tokenizer) {
  return {tokenizer.added_id("<think>"), tokenizer.added_id("</think>"),
          tokenizer.added_id("<minimax:tool_call>"), tokenizer.added_id("</minimax:tool_call>")};
}

Marker MarkerIds::kind(TokenId id) const {
  if (id == think_begin) return Marker::kThinkBegin;
  if (id == think_end) return Marker::kThinkEnd;
  if (id == tool_begin) return Marker::kToolBegin;
  if (id == tool_end) return Marker::kToolEnd;
  return Marker::kText;
}

bool can_append(const ParsedDelta& delta, const ParsedDelta& more) {
  const bool begins = std::ranges::any_of(delta.calls, &ToolCallDelta::begins);
  if (begins && !(more.reasoning.empty() && more.content.empty())) return false;
  return delta.content.empty() || more.reasoning.empty();
}

void append(ParsedDelta& delta, ParsedDelta more) {
  delta.reasoning += more.reasoning;
  delta.content += more.content;
  for (ToolCallDelta& call : more.calls) {
    const auto known = std::ranges::find(delta.calls, call.index, &ToolCallDelta::index);
    if (known == delta.calls.end()) {
      delta.calls.push_back(std::move(call));
      continue;
    }
    known->begins = known->begins || call.begins;
    known->ends = known->ends || call.ends;
    known->id += call.id;
    known->name += call.name;
    known->arguments += call.arguments;
  }
}

Pipeline::Pipeline(const tokenizer::Tokenizer& tokenizer, const MarkerIds& markers,
                   const PipelineOptions& options)
    : markers_(markers),
      stop_(options.stop),
      min_tokens_(options.min_tokens),
      // A parser needs to see every marker, special or not.
      decoder_(tokenizer, options.skip_special_tokens && !options.parser),
      scanner_(options.stop, options.include_stop_str) {
  if (options.parser) {
    parser_.emplace(*options.parser);
    counts_reasoning_ = options.parser->starts_in_reasoning;
  }
}

void Pipeline::push(TokenId id, bool hidden, std::vector<ParsedDelta>& deltas) {
  if (scanner_.matched()) return;
  ++tokens_;
  if (hidden) return;
  const Marker marker = markers_.kind(id);
  if (marker == Marker::kThinkEnd || marker == Marker::kToolBegin) counts_reasoning_ = false;
  if (counts_reasoning_) ++reasoning_tokens_;
  if (marker != Marker::kText) {
    // Half a character before a marker can never be completed.
    feed(decoder_.flush(), Marker::kText, deltas);
  }
  feed(decoder_.push(id), marker, deltas);
}

void Pipeline::finish(std::vector<ParsedDelta>& deltas) {
  if (!scanner_.matched()) {
    feed(decoder_.flush(), Marker::kText, deltas);
    release(scanner_.flush(), deltas);
  }
  if (parser_) deltas.push_back(parser_->finish());
}

std::optional<std::string> Pipeline::stopped() const {
  if (!scanner_.matched()) return {};
  return stop_[*scanner_.matched()];
}

void Pipeline::feed(std::string text, Marker marker, std::vector<ParsedDelta>& deltas) {
  if (scanner_.matched()) return;
  if (text.empty()) return;
  waiting_.push_back({text.size(), marker});
  release(scanner_.push(text, tokens_ > min_tokens_), deltas);
}

// `text` is what the scanner let through: the beginning of what is waiting, cut where it pleases.
void Pipeline::release(std::string_view fresh, std::vector<ParsedDelta>& deltas) {
  ready_ += fresh;
  while (!waiting_.empty()) {
    Piece& piece = waiting_.front();
    if (piece.bytes > ready_.size()) {
      // Part of a plain token may go on; a marker goes whole, or as text if a stop string cut it.
      if (!ready_.empty() && (piece.marker == Marker::kText || scanner_.matched())) {
        parse(ready_, Marker::kText, deltas);
        piece.bytes -= ready_.size();
        ready_.clear();
      }
      return;
    }
    parse(std::string_view(ready_).substr(0, piece.bytes), piece.marker, deltas);
    ready_.erase(0, piece.bytes);
    waiting_.pop_front();
  }
}

void Pipeline::parse(std::string_view text, Marker marker, std::vector<ParsedDelta>& deltas) {
  ParsedDelta delta;
  if (parser_) {
    delta = parser_->push(text, marker);
  } else {
    delta.content = text;
  }
  if (delta.empty()) return;
  if (deltas.empty() || !can_append(deltas.back(), delta)) {
    deltas.push_back(std::move(delta));
  } else {
    append(deltas.back(), std::move(delta));
  }
}

}  // namespace minimax::chat
