#pragma once
// What a tokenizer.json says, checked: everything in it that would change ids and is not supported is an
// Error that names the field. docs/tokenizer.md lists what is supported.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

namespace minimax::tokenizer {

// Ids must be below this: they index tables. (The family has 200 064.)
inline constexpr TokenId kIdLimit = 1 << 24;

struct Definition {
  struct Merge {
    TokenId left = 0, right = 0, merged = 0;
  };
  struct Entry {
    std::string bytes;  // empty: the id is not used
    bool base = false;  // of model.vocab, not of added_tokens
  };

  std::vector<Entry> entries;  // by id, up to the largest
  std::vector<Merge> merges;   // by rank
  bool ignore_merges = false;  // a piece that is a whole token is that token, whatever the merges say
  std::vector<SplitRule> splits;
  std::vector<AddedToken> added;
  // Added tokens with normalized = true: Hugging Face looks for them only after all the others.
  std::vector<AddedToken> added_normalized;
};

// Throws Error naming file, field, expected and found.
Definition parse_definition(std::string_view tokenizer_json, const std::string& file_name);

}  // namespace minimax::tokenizer
