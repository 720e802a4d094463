#pragma once
// Where added tokens stand in a text: leftmost first, of those at one place the longest.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace minimax::tokenizer {

class AddedTokenMatcher {
 public:
  struct Match {
    size_t begin = 0, end = 0;
    TokenId id = 0;
  };

  // Texts are not empty.
  explicit AddedTokenMatcher(const std::vector<AddedToken>& tokens);

  // Appends the matches that lie wholly inside text[begin, end).
  void find(std::string_view text, size_t begin, size_t end, std::vector<Match>& matches) const;

 private:
  std::array<std::vector<AddedToken>, 256> by_first_byte_;  // longest first
};

}  // namespace minimax::tokenizer
