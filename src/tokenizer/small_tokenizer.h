#pragma once
// A tokenizer.json small enough to read, for tests of this room and of others: the 256 bytes (id = byte
// value), a few merges, and the family's markers with its split.

#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/family_scanner.h"

namespace minimax::tokenizer {

// Merges are pairs of texts (not in the byte alphabet); each makes the next id from 256 on. Added tokens
// follow from id 1000 on: special first, then those that stay visible.
inline Json small_tokenizer(const std::vector<std::pair<std::string, std::string>>& merges) {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocab.set(piece_of_bytes(std::string(1, static_cast<char>(byte))), byte);
  }
  Json merge_list = Json::array();
  int id = 256;
  for (const auto& [left, right] : merges) {
    vocab.set(piece_of_bytes(left + right), id++);
    merge_list.push_back(Json(Json::Array{piece_of_bytes(left), piece_of_bytes(right)}));
  }
  Json added = Json::array();
  const std::vector<std::pair<const char*, bool>> markers = {{"]!p~[", true},
                                                             {"]~b]", true},
                                                             {"[e~[", true},
                                                             {"]!d~[", true},
                                                             {"]~!b[", true},
                                                             {"<think>", false},
                                                             {"</think>", false},
                                                             {"<minimax:tool_call>", false},
                                                             {"</minimax:tool_call>", false}};
  int added_id = 1000;
  for (const auto& [text, special] : markers) {
    added.push_back(Json::object({{"id", added_id++},
                                  {"content", text},
                                  {"special", special},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false}}));
  }
  const Json split = Json::object({{"type", "Split"},
                                   {"pattern", Json::object({{"Regex", kFamilySplit}})},
                                   {"behavior", "Isolated"},
                                   {"invert", false}});
  const Json byte_level =
      Json::object({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  return Json::object(
      {{"version", "1.0"},
       {"added_tokens", added},
       {"normalizer", nullptr},
       {"pre_tokenizer",
        Json::object({{"type", "Sequence"}, {"pretokenizers", Json(Json::Array{split, byte_level})}})},
       {"decoder", Json::object({{"type", "ByteLevel"}})},
       {"model", Json::object({{"type", "BPE"}, {"vocab", vocab}, {"merges", merge_list}})}});
}

}  // namespace minimax::tokenizer
