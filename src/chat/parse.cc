#include "chat/parse.h"

#include <algorithm>

#include "chat/marker_scan.h"
#include "chat/tag_scan.h"
#include "chat/tool_block.h"

namespace minimax::chat {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
// The template writes an empty line between </think> and the content.
constexpr int kNewlinesAfterThinking = 2;
// A long text is taken in pieces of this size: what the stages erase, copy and recurse over stays small, so
// that whole texts take linear time, too.
constexpr size_t kPieceBytesMax = 4096;

}  // namespace

struct Parser::Impl {
  enum class State {
    kReasoning,
    kContent,
    kBlock,      // between the tool-call markers
    kBareBlock,  // inside an <invoke> that has no wrapper
  };

  explicit Impl(ParserOptions given)
      : options(std::move(given)), block({options.suppress_calls, options.single_call, options.tools}) {
    if (options.starts_in_reasoning && options.reasoning != ReasoningFormat::kNone) state = State::kReasoning;
    think_prefix_due = options.starts_in_reasoning && appends();
  }

  bool appends() const { return options.reasoning == ReasoningFormat::kAppendThink; }
  bool in_block() const { return state == State::kBlock || state == State::kBareBlock; }

  void piece(std::string_view text, Marker marker, ParsedDelta& delta);
  void take_text(std::string_view text, ParsedDelta& delta);
  void take_reasoning(ParsedDelta& delta);
  void take_content(ParsedDelta& delta);
  void think_marker(std::string_view text, Marker marker, ParsedDelta& delta);
  void emit_content(std::string_view text, ParsedDelta& delta);
  void leave_content(ParsedDelta& delta);
  void begin_block(State next, ParsedDelta& delta);

  ParserOptions options;
  ToolBlock block;
  MarkerScan markers;
  State state = State::kContent;
  // Text whose meaning is open: trailing whitespace, or what may be the beginning of a bare <invoke.
  std::string held;
  bool held_is_space = false;  // all of `held` is known to be whitespace: it need not be looked through again
  int newlines_to_skip = 0;
  bool any_content = false;
  bool think_prefix_due = false;
};

void Parser::Impl::emit_content(std::string_view text, ParsedDelta& delta) {
  if (text.empty()) return;
  if (std::exchange(think_prefix_due, false)) delta.content += "<think>";
  any_content = true;
  delta.content += text;
}

void Parser::Impl::take_text(std::string_view text, ParsedDelta& delta) {
  if (in_block()) {
    std::string rest;
    if (!block.push(text, state == State::kBareBlock, delta, &rest)) return;
    state = State::kContent;
    held = std::move(rest);
    held_is_space = false;
  } else {
    held += text;
    if (held_is_space && newlines_to_skip == 0 && text.find_first_not_of(kSpace) == std::string_view::npos)
      return;
    held_is_space = false;
  }
  if (state == State::kReasoning) {
    take_reasoning(delta);
  } else {
    take_content(delta);
  }
}

// Whitespace at the end of thinking is not thinking: it waits for what follows.
void Parser::Impl::take_reasoning(ParsedDelta& delta) {
  if (appends()) return emit_content(std::exchange(held, {}), delta);
  const size_t last = held.find_last_not_of(kSpace);
  held_is_space = true;
  if (last == std::string::npos) return;
  delta.reasoning.append(held, 0, last + 1);
  held.erase(0, last + 1);
}

void Parser::Impl::take_content(ParsedDelta& delta) {
  while (newlines_to_skip > 0 && !held.empty()) {
    if (held.front() != '\n') {
      newlines_to_skip = 0;
      break;
    }
    held.erase(0, 1);
    --newlines_to_skip;
  }
  if (!options.tool_calls) return emit_content(std::exchange(held, {}), delta);
  size_t certain = held.size();
  for (size_t at = held.find('<'); at != std::string::npos; at = held.find('<', at + 1)) {
    const Match match = match_invoke_head(std::string_view(held).substr(at));
    if (match == Match::kYes) {
      const std::string call = held.substr(at);
      held.resize(at);
      begin_block(State::kBareBlock, delta);
      return take_text(call, delta);
    }
    if (match == Match::kPartial) {
      certain = at;
      break;
    }
  }
  // Whitespace before a call is dropped, so it waits until something else follows.
  held_is_space = certain == held.size();
  const size_t last = certain == 0 ? std::string::npos : held.find_last_not_of(kSpace, certain - 1);
  if (last == std::string::npos) return;
  emit_content(std::string_view(held).substr(0, last + 1), delta);
  held.erase(0, last + 1);
}

// Before a call: content of whitespace alone vanishes; otherwise the line break that the template puts before
// the block does.
void Parser::Impl::leave_content(ParsedDelta& delta) {
  if (any_content || held.find_first_not_of(kSpace) != std::string::npos) {
    if (held.ends_with('\n')) held.pop_back();
    emit_content(held, delta);
  }
  held.clear();
}

void Parser::Impl::begin_block(State next, ParsedDelta& delta) {
  if (state == State::kReasoning) held.clear();
  held_is_space = false;
  if (state == State::kContent) leave_content(delta);
  newlines_to_skip = 0;
  state = next;
}

void Parser::Impl::think_marker(std::string_view text, Marker marker, ParsedDelta& delta) {
  if (appends()) {
    if (state == State::kContent) emit_content(std::exchange(held, {}), delta);
    emit_content(text, delta);
    state = marker == Marker::kThinkEnd ? State::kContent : State::kReasoning;
    return;
  }
  if (marker == Marker::kThinkEnd && state == State::kReasoning) {
    held.clear();
    held_is_space = false;
    state = State::kContent;
    newlines_to_skip = kNewlinesAfterThinking;
  } else if (marker == Marker::kThinkBegin && state == State::kContent) {
    leave_content(delta);
    state = State::kReasoning;
  }
  // <think> inside thinking and a stray </think> in content say nothing.
}

void Parser::Impl::piece(std::string_view text, Marker marker, ParsedDelta& delta) {
  switch (marker) {
    case Marker::kThinkBegin:
    case Marker::kThinkEnd:
      if (options.reasoning == ReasoningFormat::kNone || in_block()) break;
      return think_marker(text, marker, delta);
    case Marker::kToolBegin:
      if (!options.tool_calls || in_block()) break;
      return begin_block(State::kBlock, delta);
    case Marker::kToolEnd:
      if (!options.tool_calls) break;
      if (in_block()) {
        block.close(delta);
        state = State::kContent;
      }
      return;
    case Marker::kUnknown:
    case Marker::kText:
      break;
  }
  while (!text.empty()) {
    size_t bytes = std::min(text.size(), kPieceBytesMax);
    while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) ++bytes;
    take_text(text.substr(0, bytes), delta);
    text.remove_prefix(bytes);
  }
}

Parser::Parser(ParserOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Parser::~Parser() = default;
Parser::Parser(Parser&&) noexcept = default;
Parser& Parser::operator=(Parser&&) noexcept = default;

ParsedDelta Parser::push(std::string_view text, Marker marker) {
  ParsedDelta delta;
  if (marker != Marker::kUnknown) {
    impl_->piece(text, marker, delta);
    return delta;
  }
  for (const auto& [piece, kind] : impl_->markers.push(text)) impl_->piece(piece, kind, delta);
  return delta;
}

ParsedDelta Parser::finish() {
  ParsedDelta delta;
  Impl& self = *impl_;
  const std::string rest = self.markers.flush();
  if (!rest.empty()) self.piece(rest, Marker::kText, delta);
  if (self.in_block()) self.block.close(delta);
  if (self.state == Impl::State::kContent) self.emit_content(self.held, delta);
  self.held.clear();
  return delta;
}

bool Parser::any_calls() const {
  return impl_->block.any_calls();
}

}  // namespace minimax::chat
