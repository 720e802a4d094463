#pragma once
// Pre-tokenization: text to pieces that are merged each on its own, by the regular expressions of
// tokenizer.json, run by PCRE2; the family's own by a scanner that gives the same pieces (family_scanner.h).

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace minimax::tokenizer {

// One Split of tokenizer.json's pre_tokenizer.
struct SplitRule {
  std::string regex;  // in the syntax Oniguruma and PCRE2 share
  std::string field;  // where the file has it, for messages
  // What no match covers: a piece of its own ("Isolated"), or dropped ("Removed" and inverted).
  bool drop_gaps = false;
};

// The split of a ByteLevel pre-tokenizer with use_regex. Source: openai/gpt-2's encoder.py.
inline constexpr std::string_view kGpt2Split =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Immutable after construction, used from all threads.
class Splitter {
 public:
  enum class Engine { kFastest, kRegexOnly };

  // Each rule splits the pieces of the one before. Throws Error naming file and field if PCRE2 refuses one.
  Splitter(const std::vector<SplitRule>& rules, const std::string& file_name,
           Engine engine = Engine::kFastest);
  ~Splitter();
  Splitter(Splitter&&) noexcept;
  Splitter& operator=(Splitter&&) noexcept;

  // The pieces of `text`, in order, views into it. A run of bytes that are no UTF-8 is a piece of its own,
  // and what stands before and after it is split as if it were the whole text.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  class Stage;
  std::vector<Stage> stages_;
};

}  // namespace minimax::tokenizer
