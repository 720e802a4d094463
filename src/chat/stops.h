#pragma once
// Stop strings over a stream of text: cuts before (or after) the first that appears, also when it spans
// pieces, and holds back only the longest suffix that may still become one. Linear time (Aho-Corasick).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace minimax::chat {

class StopScanner {
 public:
  // Empty strings are ignored. Of strings that end at the same place the one that begins first counts.
  StopScanner(const std::vector<std::string>& stops, bool include);

  // The text that is now certain not to be part of a stop string. After matched() has a value, nothing more
  // comes. may_end false: a string that ends in this text does not count (one that ends later does).
  std::string push(std::string_view text, bool may_end = true);
  // End of the stream: what was held back.
  std::string flush();
  // Index into the strings given, once one was found.
  std::optional<size_t> matched() const { return matched_; }

 private:
  struct Node {
    std::vector<std::pair<char, int32_t>> children;
    int32_t fail = 0;
    int32_t depth = 0;
    int32_t stop = -1;  // the longest string that ends here, directly or by a suffix
  };
  int32_t child(int32_t node, char c) const;

  std::vector<Node> nodes_;
  std::vector<size_t> lengths_;
  bool include_;
  int32_t state_ = 0;
  std::string held_;
  std::optional<size_t> matched_;
};

}  // namespace minimax::chat
