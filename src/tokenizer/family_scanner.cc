#include "tokenizer/family_scanner.h"

namespace minimax::tokenizer {
namespace {

using Class = CharacterClass;

struct Character {
  Class character_class = Class::kOther;
  size_t end = 0;  // where the next one begins
};

// One text being scanned. Each function below is an alternative of the pattern and returns where its match
// from `at` ends, or kNoMatch.
class Scan {
 public:
  Scan(std::string_view text, const CharacterClasses& classes) : text_(text), classes_(classes) {}

  // REQUIRES: at < text.size(). Every character is matched by some alternative.
  size_t piece_end(size_t at) const {
    const Character first = character(at);
    switch (first.character_class) {
      case Class::kUpper:
      case Class::kLower:
      case Class::kBoth:
        return word_end(at);
      case Class::kNumber:
        return number_end(first.end);
      case Class::kNewline:
        return spaces_end(at);
      case Class::kMark:
      case Class::kSpace:
      case Class::kOther:
        break;
    }
    // [^\r\n\p{L}\p{N}]? takes the character if a word follows it.
    size_t end = lower_word_end(first.end);
    // A mark can begin a word itself, and that comes before a word in upper case.
    if (end == kNoMatch)
      end = first.character_class == Class::kMark ? lower_word_end(at) : upper_run_end(first.end);
    if (end != kNoMatch) return contraction_end(end);
    if (first.character_class == Class::kOther) return punctuation_end(first.end);
    if (text_[at] == ' ' && first.end < text_.size()) {
      const Character second = character(first.end);
      if (second.character_class == Class::kOther) return punctuation_end(second.end);
    }
    return spaces_end(at);
  }

 private:
  static constexpr size_t kNoMatch = SIZE_MAX;

  // REQUIRES: at < text_.size(), at a character's first byte, in valid UTF-8.
  Character character(size_t at) const {
    const auto byte = [&](size_t i) {
      return static_cast<char32_t>(static_cast<unsigned char>(text_[at + i]));
    };
    const char32_t lead = byte(0);
    if (lead < 0x80) return {classes_.of(lead), at + 1};
    if (lead < 0xE0) return {classes_.of((lead & 0x1F) << 6 | (byte(1) & 0x3F)), at + 2};
    if (lead < 0xF0) {
      return {classes_.of((lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F)), at + 3};
    }
    return {
        classes_.of((lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F)),
        at + 4};
  }

  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ : the upper run as long as it goes, then lower
  // case; without any, back to the last character of the run that counts as both.
  size_t lower_word_end(size_t at) const {
    size_t both_end = kNoMatch;
    while (at < text_.size()) {
      const Character c = character(at);
      if (c.character_class == Class::kLower) return lower_run_end(c.end);
      if (c.character_class == Class::kBoth || c.character_class == Class::kMark) {
        both_end = c.end;
      } else if (c.character_class != Class::kUpper) {
        break;
      }
      at = c.end;
    }
    return both_end;
  }

  // [\p{Ll}\p{Lm}\p{Lo}\p{M}]*
  size_t lower_run_end(size_t at) const {
    while (at < text_.size()) {
      const Character c = character(at);
      if (c.character_class != Class::kLower && c.character_class != Class::kBoth &&
          c.character_class != Class::kMark) {
        break;
      }
      at = c.end;
    }
    return at;
  }

  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]* where lower_word_end has found nothing: a run
  // of upper case alone.
  size_t upper_run_end(size_t at) const {
    const size_t begin = at;
    while (at < text_.size()) {
      const Character c = character(at);
      if (c.character_class != Class::kUpper) break;
      at = c.end;
    }
    return at > begin ? at : kNoMatch;
  }

  // REQUIRES: a letter stands at `at`.
  size_t word_end(size_t at) const {
    const size_t end = lower_word_end(at);
    return contraction_end(end != kNoMatch ? end : upper_run_end(at));
  }

  // (?i:'s|'t|'re|'ve|'m|'ll|'d)? ; the case folding of Unicode counts U+017F (bytes C5 BF) as an s.
  size_t contraction_end(size_t at) const {
    const auto lower = [&](size_t i) { return i < text_.size() ? text_[i] | 0x20 : 0; };
    if (at >= text_.size() || text_[at] != '\'') return at;
    const int first = lower(at + 1), second = lower(at + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
        (first == 'l' && second == 'l')) {
      return at + 3;
    }
    return text_.substr(at + 1, 2) == "\xC5\xBF" ? at + 3 : at;
  }

  // \p{N}{1,3} after its first character.
  size_t number_end(size_t at) const {
    for (int more = 0; more < 2 && at < text_.size(); ++more) {
      const Character c = character(at);
      if (c.character_class != Class::kNumber) break;
      at = c.end;
    }
    return at;
  }

  // [^\s\p{L}\p{N}]+[\r\n/]* after its first character.
  size_t punctuation_end(size_t at) const {
    while (at < text_.size()) {
      const Character c = character(at);
      if (c.character_class != Class::kOther && c.character_class != Class::kMark) break;
      at = c.end;
    }
    while (at < text_.size() && (text_[at] == '\r' || text_[at] == '\n' || text_[at] == '/')) ++at;
    return at;
  }

  // \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last newline of the run; without one all of it at the end of the
  // text, all but the last elsewhere, but at least one.
  size_t spaces_end(size_t at) const {
    const size_t begin = at;
    size_t newline_end = kNoMatch;
    size_t last = at;
    while (at < text_.size()) {
      const Character c = character(at);
      if (c.character_class == Class::kNewline) {
        newline_end = c.end;
      } else if (c.character_class != Class::kSpace) {
        break;
      }
      last = at;
      at = c.end;
    }
    if (newline_end != kNoMatch) return newline_end;
    return at == text_.size() || last == begin ? at : last;
  }

  std::string_view text_;
  const CharacterClasses& classes_;
};

}  // namespace

void FamilyScanner::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  const Scan scan(text, classes_);
  for (size_t at = 0; at < text.size();) {
    const size_t end = scan.piece_end(at);
    pieces.push_back(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace minimax::tokenizer
