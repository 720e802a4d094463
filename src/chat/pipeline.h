#pragma once
// One sample's way from token ids to deltas: incremental decode, stop strings, parser. No engine is known
// here.
//
// Stop strings are looked for in the whole decoded text, thinking and tool calls included, as the peer does;
// the parser sees what is left. The text of a marker token counts as text for the scanner.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "chat/parse.h"
#include "chat/stops.h"
#include "tokenizer/tokenizer.h"

namespace minimax::chat {

struct PipelineOptions {
  std::vector<std::string> stop;
  bool include_stop_str = false;
  int32_t min_tokens = 0;  // a stop string that ends within the first min_tokens tokens does not count
  bool skip_special_tokens = true;
  std::optional<ParserOptions> parser;  // none: all text is content
};

// The tokens whose appearance, not whose text, switches the parser.
struct MarkerIds {
  std::optional<tokenizer::TokenId> think_begin, think_end, tool_begin, tool_end;
  static MarkerIds of(const tokenizer::Tokenizer& tokenizer);
  Marker kind(tokenizer::TokenId id) const;
};

class Pipeline {
 public:
  Pipeline(const tokenizer::Tokenizer& tokenizer, const MarkerIds& markers, const PipelineOptions& options);

  // Appends what became certain with this token: one delta, or several where one could not keep the order.
  // `hidden`: its text is not shown (EOS).
  void push(tokenizer::TokenId id, bool hidden, std::vector<ParsedDelta>& deltas);
  // The end of the sample. Nothing was pushed after a stop string matched.
  void finish(std::vector<ParsedDelta>& deltas);

  // The stop string that was found, once there is one.
  std::optional<std::string> stopped() const;
  bool any_calls() const { return parser_ && parser_->any_calls(); }
  // Tokens before the first </think> or tool-call marker, the marker and a hidden token excluded; 0 if the
  // prompt did not end inside the thinking.
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  // Text the scanner has not let through yet, with what it is.
  struct Piece {
    size_t bytes = 0;
    Marker marker = Marker::kText;
  };
  void feed(std::string text, Marker marker, std::vector<ParsedDelta>& deltas);
  void release(std::string_view text, std::vector<ParsedDelta>& deltas);
  void parse(std::string_view text, Marker marker, std::vector<ParsedDelta>& deltas);

  const MarkerIds& markers_;
  std::vector<std::string> stop_;
  const int32_t min_tokens_;
  int64_t tokens_ = 0;
  tokenizer::StreamDecoder decoder_;
  StopScanner scanner_;
  std::optional<Parser> parser_;
  std::deque<Piece> waiting_;
  bool counts_reasoning_ = false;
  int64_t reasoning_tokens_ = 0;
  std::string ready_;  // let through by the scanner, not yet a whole marker
};

// Whether one delta can say what `delta` says and then `more`, in that order.
bool can_append(const ParsedDelta& delta, const ParsedDelta& more);
// Adds what `more` says behind what `delta` says already.
void append(ParsedDelta& delta, ParsedDelta more);

}  // namespace minimax::chat
