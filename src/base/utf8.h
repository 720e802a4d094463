#pragma once
// UTF-8 by the rules of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace minimax::utf8 {

struct Decoded {
  char32_t code_point = 0xFFFD;
  int bytes = 1;       // consumed; 1 for an invalid byte
  bool valid = false;  // false: the bytes at this place are no character
};

// Decodes the character at the start of `text`. REQUIRES: !text.empty().
Decoded decode(std::string_view text);

void append(std::string& out, char32_t code_point);

bool valid(std::string_view text);

// The offset of the first byte that belongs to no character; text.size() where there is none.
size_t first_invalid(std::string_view text);

// Number of trailing bytes of `text` that may be the beginning of a character whose rest has not come yet
// (0 to 3). Bytes that can no longer become a character are not counted.
size_t incomplete_tail(std::string_view text);

// `text` with each maximal invalid part replaced by U+FFFD (the practice of the Unicode Standard, 3.9, and of
// Python's errors="replace").
std::string replace_invalid(std::string_view text);

}  // namespace minimax::utf8
