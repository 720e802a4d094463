#pragma once
// What Python's str knows of characters: places by character, whitespace, lines, letter case.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace minimax::chat::jinja {

size_t count_chars(std::string_view text);
// Byte offset of the character `char_idx`; text.size() if there are fewer.
size_t byte_of_char(std::string_view text, size_t char_idx);
// Byte offsets of all characters, and text.size() at the end.
std::vector<size_t> char_offsets(std::string_view text);

bool is_space(char32_t c);         // str.isspace
bool is_word(char32_t c);          // what \w matches
bool is_alphabetic(char32_t c);    // str.isalpha
bool is_printable(char32_t c);     // str.isprintable
bool is_line_break(char32_t c);    // what str.splitlines splits at
bool is_letter_cased(char32_t c);  // has case: a letter for str.title
bool is_upper(char32_t c);
bool is_lower(char32_t c);

// The bytes [begin, end) that are left after stripping; `chars` empty: whitespace.
struct Range {
  size_t begin = 0, end = 0;
};
Range stripped(std::string_view text, bool left, bool right, std::string_view chars = {});

// One character in other case. Of the characters whose other case is longer only U+00DF (to "SS") and U+0130
// are known.
void append_upper(std::string& out, char32_t c);
void append_lower(std::string& out, char32_t c);

// Appends Python's repr of the text, quotes included.
std::string repr(std::string_view text);

}  // namespace minimax::chat::jinja
