#include "tokenizer/byte_alphabet.h"

#include <array>

#include "base/utf8.h"

namespace minimax::tokenizer {
namespace {

constexpr char32_t kCharacterCount = 256 + 68;

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, kCharacterCount> byte{};
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte.fill(-1);
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
    alphabet.character[byte] = printable ? byte : next++;
    alphabet.byte[alphabet.character[byte]] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

char32_t byte_to_character(uint8_t byte) {
  return kAlphabet.character[byte];
}

std::optional<std::string> bytes_of_piece(std::string_view piece) {
  std::string bytes;
  while (!piece.empty()) {
    const utf8::Decoded d = utf8::decode(piece);
    if (!d.valid || d.code_point >= kCharacterCount || kAlphabet.byte[d.code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.byte[d.code_point]));
    piece.remove_prefix(static_cast<size_t>(d.bytes));
  }
  return bytes;
}

std::string piece_of_bytes(std::string_view bytes) {
  std::string piece;
  for (const char c : bytes) utf8::append(piece, byte_to_character(static_cast<uint8_t>(c)));
  return piece;
}

}  // namespace minimax::tokenizer
