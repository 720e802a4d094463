#include "chat/template/python_text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include "base/utf8.h"

namespace minimax::chat::jinja {
namespace {

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

bool contains(std::string_view chars, std::string_view one) {
  for (size_t at = chars.find(one); at != std::string_view::npos; at = chars.find(one, at + 1)) {
    if (!is_continuation(chars[at])) return true;
  }
  return false;
}

}  // namespace

size_t count_chars(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += is_continuation(c) ? 0 : 1;
  return count;
}

size_t byte_of_char(std::string_view text, size_t char_idx) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (is_continuation(text[at])) continue;
    if (char_idx-- == 0) return at;
  }
  return text.size();
}

std::vector<size_t> char_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t at = 0; at < text.size(); ++at) {
    if (!is_continuation(text[at])) offsets.push_back(at);
  }
  offsets.push_back(text.size());
  return offsets;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word(char32_t c) {
  if (c == '_') return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

bool is_alphabetic(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

// All but "Other" and "Separator", the space excepted.
bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool is_line_break(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool is_upper(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
}

bool is_lower(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_LL;
}

bool is_letter_cased(char32_t c) {
  return is_upper(c) || is_lower(c);
}

Range stripped(std::string_view text, bool left, bool right, std::string_view chars) {
  const auto goes = [&](std::string_view one) {
    return chars.empty() ? is_space(utf8::decode(one).code_point) : contains(chars, one);
  };
  Range range{0, text.size()};
  while (left && range.begin < range.end) {
    const auto bytes = static_cast<size_t>(utf8::decode(text.substr(range.begin)).bytes);
    if (!goes(text.substr(range.begin, bytes))) break;
    range.begin += bytes;
  }
  while (right && range.begin < range.end) {
    size_t last = range.end - 1;
    while (last > range.begin && is_continuation(text[last])) --last;
    if (!goes(text.substr(last, range.end - last))) break;
    range.end = last;
  }
  return range;
}

void append_upper(std::string& out, char32_t c) {
  if (c == 0xDF) {
    out += "SS";
    return;
  }
  utf8::append(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {
    out += "i\xCC\x87";
    return;
  }
  utf8::append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

std::string repr(std::string_view text) {
  std::string out;
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  out += quote;
  while (!text.empty()) {
    const utf8::Decoded d = utf8::decode(text);
    const char32_t c = d.code_point;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (is_printable(c)) {
      utf8::append(out, c);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
    text.remove_prefix(static_cast<size_t>(d.bytes));
  }
  out += quote;
  return out;
}

}  // namespace minimax::chat::jinja
