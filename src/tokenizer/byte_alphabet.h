#pragma once
// GPT-2's byte alphabet: tokenizer.json writes the bytes of a token as printable characters, one for each of
// the 256 byte values ("Ġ" is the space).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace minimax::tokenizer {

// The character that stands for a byte. Source: bytes_to_unicode of openai/gpt-2's encoder.py: printable
// Latin-1 stands for itself, the other 68 bytes are U+0100 and on in their order.
char32_t byte_to_character(uint8_t byte);

// The bytes a piece of the vocabulary stands for; nothing if it holds a character outside the alphabet.
std::optional<std::string> bytes_of_piece(std::string_view piece);

// The inverse, for messages and tests.
std::string piece_of_bytes(std::string_view bytes);

}  // namespace minimax::tokenizer
