#pragma once
// Small pieces of tag recognition shared by the stages of the parser. All of them look at a bounded stretch
// of text.

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace minimax::chat {

enum class Match {
  kNo,
  kPartial,  // the text ends before it is decided
  kYes,
};

// A tag with a name: <invoke name="x"> or <parameter name=x>; either quote or none, spaces anywhere between
// words.
struct NameTag {
  Match match = Match::kNo;
  std::string name;
  size_t bytes = 0;  // of the whole tag, with kYes
};
inline constexpr size_t kTagBytesMax = 1024;
// `keyword` is "<invoke" or "<parameter"; text begins with it or with a part of it.
NameTag match_name_tag(std::string_view text, std::string_view keyword);

// Does `text` begin with "<invoke name=" (spaces allowed)? What follows is not looked at.
Match match_invoke_head(std::string_view text);

// Length of the longest suffix of `text` that is a proper prefix of one of `words`.
size_t partial_suffix(std::string_view text, std::span<const std::string_view> words);

}  // namespace minimax::chat
