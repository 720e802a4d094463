#pragma once
// Text without token ids, cut at the family's four markers; holds back what may be the beginning of one.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/parse.h"

namespace minimax::chat {

class MarkerScan {
 public:
  using Piece = std::pair<std::string, Marker>;
  std::vector<Piece> push(std::string_view text);
  // End of the stream: what was held back is text.
  std::string flush() { return std::exchange(held_, {}); }

 private:
  std::string held_;
};

}  // namespace minimax::chat
