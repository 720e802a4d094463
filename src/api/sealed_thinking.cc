#include "api/sealed_thinking.h"

#include <cstdint>

#include "base/utf8.h"

namespace minimax::api {
namespace {

constexpr std::string_view kMark = "minimax-1:";
constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

// RFC 4648, 4, with padding.
std::string sealed_thinking(std::string_view text) {
  std::string out(kMark);
  for (size_t i = 0; i < text.size(); i += 3) {
    const size_t count = std::min<size_t>(3, text.size() - i);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (j < count ? static_cast<unsigned char>(text[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= count ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::optional<std::string> opened_thinking(std::string_view sealed) {
  if (!sealed.starts_with(kMark)) return {};
  sealed.remove_prefix(kMark.size());
  if (sealed.size() % 4 != 0) return {};
  std::string out;
  for (size_t i = 0; i < sealed.size(); i += 4) {
    uint32_t bits = 0;
    size_t digits = 0;
    for (size_t j = 0; j < 4; ++j) {
      const size_t digit = kDigits.find(sealed[i + j]);
      const bool padding = sealed[i + j] == '=' && i + 4 == sealed.size() && j >= 2;
      if (padding ? false : digit == std::string_view::npos || digits < j) return {};
      bits = bits << 6 | static_cast<uint32_t>(padding ? 0 : digit);
      if (!padding) ++digits;
    }
    for (size_t j = 0; j + 1 < digits; ++j) out += static_cast<char>(bits >> (16 - 8 * j) & 255);
  }
  if (!utf8::valid(out)) return {};
  return out;
}

}  // namespace minimax::api
