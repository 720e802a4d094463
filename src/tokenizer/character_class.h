#pragma once
// What the family's split asks about a character, for every code point.

#include <cstdint>
#include <memory>

namespace minimax::tokenizer {

enum class CharacterClass : uint8_t {
  kOther,    // none of those below: punctuation, symbols, controls, unassigned
  kUpper,    // \p{Lu} \p{Lt}
  kLower,    // \p{Ll}
  kBoth,     // \p{Lm} \p{Lo}: letters that count as upper and as lower
  kMark,     // \p{M}: counts as upper and as lower, but is no letter
  kNumber,   // \p{N}
  kNewline,  // \r \n
  kSpace,    // the rest of \s (White_Space)
};

// The classes of Unicode 16, which is what Hugging Face's tokenizers know (0.23.3, by comparison of all code
// points): those of utf8proc, and of the code points it does not assign a list of our own.
class CharacterClasses {
 public:
  CharacterClasses();
  // REQUIRES: code_point <= 0x10FFFF.
  CharacterClass of(char32_t code_point) const { return pages_[index_[code_point >> 8]][code_point & 0xFF]; }

 private:
  static constexpr uint32_t kPages = 0x1100;  // of 256 code points
  std::unique_ptr<uint16_t[]> index_;
  std::unique_ptr<CharacterClass[][256]> pages_;  // the first: all kOther
};

}  // namespace minimax::tokenizer
