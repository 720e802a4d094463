#include "chat/marker_scan.h"

#include <array>

namespace minimax::chat {
namespace {

constexpr std::array<std::pair<std::string_view, Marker>, 4> kMarkers{{
    {"<think>", Marker::kThinkBegin},
    {"</think>", Marker::kThinkEnd},
    {"<minimax:tool_call>", Marker::kToolBegin},
    {"</minimax:tool_call>", Marker::kToolEnd},
}};

}  // namespace

std::vector<MarkerScan::Piece> MarkerScan::push(std::string_view text) {
  held_ += text;
  std::vector<Piece> pieces;
  size_t begin = 0;  // of the text not given out yet
  size_t at = 0;
  const auto give_text = [&](size_t end) {
    if (end > begin) pieces.emplace_back(held_.substr(begin, end - begin), Marker::kText);
    begin = end;
  };
  while ((at = held_.find('<', at)) != std::string::npos) {
    const std::string_view tail = std::string_view(held_).substr(at);
    bool partial = false;
    size_t whole = 0;
    for (const auto& [word, marker] : kMarkers) {
      if (tail.starts_with(word)) {
        give_text(at);
        pieces.emplace_back(std::string(word), marker);
        whole = word.size();
      }
      partial = partial || (tail.size() < word.size() && word.starts_with(tail));
    }
    if (partial) {
      give_text(at);
      held_.erase(0, begin);
      return pieces;
    }
    at += whole == 0 ? 1 : whole;
    if (whole != 0) begin = at;
  }
  give_text(held_.size());
  held_.clear();
  return pieces;
}

}  // namespace minimax::chat
