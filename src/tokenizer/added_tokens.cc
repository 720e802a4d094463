#include "tokenizer/added_tokens.h"

#include <algorithm>

namespace minimax::tokenizer {

AddedTokenMatcher::AddedTokenMatcher(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) by_first_byte_[static_cast<uint8_t>(token.text[0])].push_back(token);
  for (std::vector<AddedToken>& candidates : by_first_byte_) {
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.text.size() > b.text.size(); });
  }
}

void AddedTokenMatcher::find(std::string_view text, size_t begin, size_t end,
                             std::vector<Match>& matches) const {
  const std::string_view inside = text.substr(0, end);
  for (size_t at = begin; at < end;) {
    const AddedToken* found = nullptr;
    for (const AddedToken& token : by_first_byte_[static_cast<uint8_t>(text[at])]) {
      if (inside.compare(at, token.text.size(), token.text) == 0) {
        found = &token;
        break;
      }
    }
    if (found == nullptr) {
      ++at;
      continue;
    }
    matches.push_back({at, at + found->text.size(), found->id});
    at += found->text.size();
  }
}

}  // namespace minimax::tokenizer
