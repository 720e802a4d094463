#pragma once
// Byte-level BPE of a Hugging Face tokenizer.json: text to ids and back. Immutable after load, used from all
// threads.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace minimax::tokenizer {

using TokenId = int32_t;

// A stretch of text with its origin. Added tokens ("]~b]", "<think>", ...) are recognised only in stretches
// that may hold them, and only where they stand wholly inside one such stretch; a user's text never becomes a
// marker. Ordinary merges do cross the borders: the ids of plain text do not depend on how it was cut.
struct TextSpan {
  std::string_view text;
  bool added_tokens = false;
};

struct AddedToken {
  std::string text;
  TokenId id = 0;
  bool special = false;  // special tokens are dropped on decode unless asked for
};

class Tokenizer {
 public:
  // Throws Error naming file, field, expected and found.
  static Tokenizer load(const std::filesystem::path& model_dir);  // reads tokenizer.json
  static Tokenizer parse(std::string_view tokenizer_json, const std::string& file_name);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  std::vector<TokenId> encode(std::span<const TextSpan> spans) const;
  std::vector<TokenId> encode(std::string_view text, bool added_tokens) const;

  // 1 + the largest id; ids from here on are padding rows of the model's head.
  int32_t size() const;
  bool valid(TokenId id) const;  // some id below size() may be unused
  // The bytes of one token (not always whole characters). Empty for an id that is not valid.
  std::string_view bytes(TokenId id) const;
  int64_t token_bytes_max() const;  // of the longest token
  bool is_special(TokenId id) const;
  bool is_added(TokenId id) const;
  std::optional<TokenId> added_id(std::string_view text) const;
  const std::vector<AddedToken>& added_tokens() const;

  // Whole text at once, bytes that are no UTF-8 replaced by U+FFFD.
  std::string decode(std::span<const TokenId> ids, bool skip_special) const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Ids to text as they come: never emits half a character. One per sequence.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  // The text that became complete with this id (may be empty).
  std::string push(TokenId id);
  // What was held back, invalid bytes replaced by U+FFFD.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  // the beginning of a character, at most 3 bytes
};

}  // namespace minimax::tokenizer
