#include "chat/template/string_literal.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace minimax::chat::jinja {
namespace {

// Exactly `count` hexadecimal digits from *at on.
bool read_hex(std::string_view text, size_t* at, size_t count, std::string& out) {
  if (text.size() - *at < count) return false;
  uint32_t value = 0;
  for (const char c : text.substr(*at, count)) {
    const size_t digit = std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
    if (digit == std::string_view::npos) return false;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return false;
  *at += count;
  utf8::append(out, value);
  return true;
}

void read_octal(std::string_view text, size_t* at, std::string& out) {
  uint32_t value = 0;
  for (int i = 0; i < 3 && *at < text.size() && text[*at] >= '0' && text[*at] <= '7'; ++i) {
    value = value * 8 + static_cast<uint32_t>(text[(*at)++] - '0');
  }
  utf8::append(out, value);
}

}  // namespace

bool unescape(std::string_view literal, std::string& out) {
  constexpr std::string_view kNames = "ntrabfv\\'\"";
  constexpr std::string_view kValues = "\n\t\r\a\b\f\v\\'\"";
  for (size_t at = 0; at < literal.size();) {
    const char c = literal[at++];
    if (c != '\\') {
      out += c;
      continue;
    }
    if (at == literal.size()) return false;
    const char kind = literal[at++];
    if (const size_t known = kNames.find(kind); known != std::string_view::npos) {
      out += kValues[known];
    } else if (kind == '\n') {
      continue;  // a line that goes on
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      if (!read_hex(literal, &at, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, out)) return false;
    } else if (kind >= '0' && kind <= '7') {
      read_octal(literal, &(--at), out);
    } else if (kind == 'N') {
      return false;
    } else {
      out += '\\';
      out += kind;
    }
  }
  return true;
}

}  // namespace minimax::chat::jinja
