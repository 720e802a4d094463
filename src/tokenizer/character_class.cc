#include "tokenizer/character_class.h"

#include <algorithm>
#include <array>
#include <vector>

#include <utf8proc.h>

namespace minimax::tokenizer {
namespace {

struct Range {
  char32_t first, last;
  CharacterClass character_class;
};

// Assigned in Unicode 15.1 and 16.0, after utf8proc 2.8; ascending. A newer utf8proc needs none of them.
constexpr Range kLater[] = {
    {0x897, 0x897, CharacterClass::kMark},       {0x1C89, 0x1C89, CharacterClass::kUpper},
    {0x1C8A, 0x1C8A, CharacterClass::kLower},    {0xA7CB, 0xA7CC, CharacterClass::kUpper},
    {0xA7CD, 0xA7CD, CharacterClass::kLower},    {0xA7DA, 0xA7DA, CharacterClass::kUpper},
    {0xA7DB, 0xA7DB, CharacterClass::kLower},    {0xA7DC, 0xA7DC, CharacterClass::kUpper},
    {0x105C0, 0x105F3, CharacterClass::kBoth},   {0x10D40, 0x10D49, CharacterClass::kNumber},
    {0x10D4A, 0x10D4F, CharacterClass::kBoth},   {0x10D50, 0x10D65, CharacterClass::kUpper},
    {0x10D69, 0x10D6D, CharacterClass::kMark},   {0x10D6F, 0x10D6F, CharacterClass::kBoth},
    {0x10D70, 0x10D85, CharacterClass::kLower},  {0x10EC2, 0x10EC4, CharacterClass::kBoth},
    {0x10EFC, 0x10EFC, CharacterClass::kMark},   {0x11380, 0x11389, CharacterClass::kBoth},
    {0x1138B, 0x1138B, CharacterClass::kBoth},   {0x1138E, 0x1138E, CharacterClass::kBoth},
    {0x11390, 0x113B5, CharacterClass::kBoth},   {0x113B7, 0x113B7, CharacterClass::kBoth},
    {0x113B8, 0x113C0, CharacterClass::kMark},   {0x113C2, 0x113C2, CharacterClass::kMark},
    {0x113C5, 0x113C5, CharacterClass::kMark},   {0x113C7, 0x113CA, CharacterClass::kMark},
    {0x113CC, 0x113D0, CharacterClass::kMark},   {0x113D1, 0x113D1, CharacterClass::kBoth},
    {0x113D2, 0x113D2, CharacterClass::kMark},   {0x113D3, 0x113D3, CharacterClass::kBoth},
    {0x113E1, 0x113E2, CharacterClass::kMark},   {0x116D0, 0x116E3, CharacterClass::kNumber},
    {0x11BC0, 0x11BE0, CharacterClass::kBoth},   {0x11BF0, 0x11BF9, CharacterClass::kNumber},
    {0x11F5A, 0x11F5A, CharacterClass::kMark},   {0x13460, 0x143FA, CharacterClass::kBoth},
    {0x16100, 0x1611D, CharacterClass::kBoth},   {0x1611E, 0x1612F, CharacterClass::kMark},
    {0x16130, 0x16139, CharacterClass::kNumber}, {0x16D40, 0x16D6C, CharacterClass::kBoth},
    {0x16D70, 0x16D79, CharacterClass::kNumber}, {0x18CFF, 0x18CFF, CharacterClass::kBoth},
    {0x1CCF0, 0x1CCF9, CharacterClass::kNumber}, {0x1E5D0, 0x1E5ED, CharacterClass::kBoth},
    {0x1E5EE, 0x1E5EF, CharacterClass::kMark},   {0x1E5F0, 0x1E5F0, CharacterClass::kBoth},
    {0x1E5F1, 0x1E5FA, CharacterClass::kNumber}, {0x2EBF0, 0x2EE5D, CharacterClass::kBoth},
};

CharacterClass of_category(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return CharacterClass::kUpper;
    case UTF8PROC_CATEGORY_LL:
      return CharacterClass::kLower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::kBoth;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return CharacterClass::kMark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterClass::kSpace;
    default:
      return CharacterClass::kOther;
  }
}

CharacterClass class_of(char32_t c) {
  if (c == '\r' || c == '\n') return CharacterClass::kNewline;
  if (c == '\t' || c == 0x0B || c == 0x0C || c == 0x85) return CharacterClass::kSpace;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category != UTF8PROC_CATEGORY_CN) return of_category(category);
  const Range* range = std::lower_bound(std::begin(kLater), std::end(kLater), c,
                                        [](const Range& one, char32_t at) { return one.last < at; });
  return range != std::end(kLater) && c >= range->first ? range->character_class : CharacterClass::kOther;
}

}  // namespace

CharacterClasses::CharacterClasses() : index_(std::make_unique<uint16_t[]>(kPages)) {
  // Planes 4 to 13 are empty, 15 and 16 private: all kOther, as is most of the others.
  using Page = std::array<CharacterClass, 256>;
  std::vector<Page> pages{Page{}};
  for (uint32_t page = 0; page < kPages; ++page) {
    const uint32_t plane = page >> 8;
    if (plane > 3 && plane != 14) continue;
    Page classes;
    for (uint32_t i = 0; i < 256; ++i) classes[i] = class_of(page << 8 | i);
    auto same = std::find(pages.begin(), pages.end(), classes);
    index_[page] = static_cast<uint16_t>(same - pages.begin());
    if (same == pages.end()) pages.push_back(classes);
  }
  pages_ = std::make_unique<CharacterClass[][256]>(pages.size());
  for (size_t i = 0; i < pages.size(); ++i) std::copy(pages[i].begin(), pages[i].end(), pages_[i]);
}

}  // namespace minimax::tokenizer
