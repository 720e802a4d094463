#include "base/utf8.h"

namespace minimax::utf8 {
namespace {

// What may follow a lead byte: total length and the range of the second byte (RFC 3629, section 4).
struct Lead {
  int length;
  unsigned char second_min, second_max;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Length of the longest prefix of `text` that is a prefix of some character; 0 if the first byte is none.
// *complete tells whether that prefix is a whole character.
size_t prefix_length(std::string_view text, bool* complete) {
  *complete = false;
  const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
  if (lead.length == 0) return 0;
  size_t n = 1;
  while (n < static_cast<size_t>(lead.length) && n < text.size()) {
    const auto byte = static_cast<unsigned char>(text[n]);
    const unsigned char min = n == 1 ? lead.second_min : 0x80;
    const unsigned char max = n == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) return n;
    ++n;
  }
  *complete = n == static_cast<size_t>(lead.length);
  return n;
}

}  // namespace

Decoded decode(std::string_view text) {
  bool complete = false;
  const size_t n = prefix_length(text, &complete);
  if (!complete) return {};
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  switch (n) {
    case 1:
      return {byte(0), 1, true};
    case 2:
      return {(byte(0) & 0x1F) << 6 | (byte(1) & 0x3F), 2, true};
    case 3:
      return {(byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3, true};
    default:
      return {(byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4,
              true};
  }
}

void append(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool valid(std::string_view text) {
  while (!text.empty()) {
    const Decoded d = decode(text);
    if (!d.valid) return false;
    text.remove_prefix(static_cast<size_t>(d.bytes));
  }
  return true;
}

size_t first_invalid(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Decoded next = decode(text.substr(at));
    if (!next.valid) break;
    at += static_cast<size_t>(next.bytes);
  }
  return at;
}

size_t incomplete_tail(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    bool complete = false;
    const std::string_view tail = text.substr(text.size() - back);
    const size_t n = prefix_length(tail, &complete);
    if (n == back && !complete) return back;
    if (complete) return 0;
  }
  return 0;
}

std::string replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    bool complete = false;
    size_t n = prefix_length(text, &complete);
    if (complete) {
      out.append(text.substr(0, n));
    } else {
      append(out, 0xFFFD);
      if (n == 0) n = 1;
    }
    text.remove_prefix(n);
  }
  return out;
}

}  // namespace minimax::utf8
