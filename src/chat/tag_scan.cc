#include "chat/tag_scan.h"

#include <algorithm>

namespace minimax::chat {
namespace {

constexpr size_t kSpacesMax = 16;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// keyword, spaces, name, spaces, "="; *at is behind it with kYes.
Match match_head(std::string_view text, std::string_view keyword, size_t* at) {
  const size_t shared = std::min(text.size(), keyword.size());
  if (text.substr(0, shared) != keyword.substr(0, shared)) return Match::kNo;
  if (text.size() <= keyword.size()) return Match::kPartial;
  size_t i = keyword.size();
  const size_t first = i;
  while (i < text.size() && is_space(text[i])) ++i;
  if (i == first || i - first > kSpacesMax) return Match::kNo;
  constexpr std::string_view kName = "name";
  const std::string_view rest = text.substr(i, kName.size());
  if (rest != kName.substr(0, rest.size())) return Match::kNo;
  if (rest.size() < kName.size()) return Match::kPartial;
  i += kName.size();
  const size_t second = i;
  while (i < text.size() && is_space(text[i])) ++i;
  if (i - second > kSpacesMax) return Match::kNo;
  if (i == text.size()) return Match::kPartial;
  if (text[i] != '=') return Match::kNo;
  *at = i + 1;
  return Match::kYes;
}

}  // namespace

Match match_invoke_head(std::string_view text) {
  size_t at = 0;
  return match_head(text, "<invoke", &at);
}

NameTag match_name_tag(std::string_view text, std::string_view keyword) {
  size_t i = 0;
  NameTag tag;
  tag.match = match_head(text, keyword, &i);
  if (tag.match != Match::kYes) return tag;
  tag.match = text.size() > kTagBytesMax ? Match::kNo : Match::kPartial;
  while (i < text.size() && is_space(text[i])) ++i;
  if (i == text.size()) return tag;
  size_t end = 0;
  if (text[i] == '"' || text[i] == '\'') {
    const size_t quote = text.find(text[i], i + 1);
    if (quote == std::string_view::npos) return tag;
    tag.name = text.substr(i + 1, quote - i - 1);
    end = quote + 1;
  } else {
    end = std::min(text.find('>', i), text.size());
    if (end == text.size()) return tag;
    std::string_view name = text.substr(i, end - i);
    while (!name.empty() && is_space(name.back())) name.remove_suffix(1);
    tag.name = name;
  }
  while (end < text.size() && is_space(text[end])) ++end;
  if (end == text.size()) return tag;
  if (text[end] != '>' || tag.name.empty() || end + 1 > kTagBytesMax) {
    tag.match = Match::kNo;
    return tag;
  }
  tag.match = Match::kYes;
  tag.bytes = end + 1;
  return tag;
}

size_t partial_suffix(std::string_view text, std::span<const std::string_view> words) {
  size_t longest = 0;
  for (const std::string_view word : words) {
    for (size_t n = std::min(text.size(), word.size() - 1); n > longest; --n) {
      if (text.substr(text.size() - n) == word.substr(0, n)) {
        longest = n;
        break;
      }
    }
  }
  return longest;
}

}  // namespace minimax::chat
