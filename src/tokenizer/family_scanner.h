#pragma once
// The family's split without a regular-expression engine: one pass, a table look a character.

#include <string_view>
#include <vector>

#include "tokenizer/character_class.h"

namespace minimax::tokenizer {

// The pattern as the family's tokenizer.json has it: the published one of o200k.
inline constexpr std::string_view kFamilySplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Immutable, used from all threads.
class FamilyScanner {
 public:
  // Appends the pieces of `text`: those that kFamilySplit gives, which together are all of it.
  // REQUIRES: text is UTF-8.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  CharacterClasses classes_;
};

}  // namespace minimax::tokenizer
