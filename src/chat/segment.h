#pragma once
// A stretch of a prompt with its origin.

#include <string>

namespace minimax::chat {

// Only the template's own text may become special tokens.
struct Segment {
  std::string text;
  bool from_template = false;
  bool operator==(const Segment&) const = default;
};

}  // namespace minimax::chat
