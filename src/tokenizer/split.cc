#include "tokenizer/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <utility>

#include <pcre2.h>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/family_scanner.h"

namespace minimax::tokenizer {
namespace {

// PCRE2's \s takes U+180E for a space, which Unicode and Oniguruma (the engine these files are written for)
// do not; so \s and \S are spelt out. A \S inside a class stays as it is.
std::string spell_out_spaces(std::string_view regex) {
  constexpr std::string_view kSpaces = R"(\x{9}-\x{D}\x{85}\p{Z})";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\' && i + 1 < regex.size()) {
      const char escaped = regex[++i];
      if (escaped == 's') {
        out += in_class ? std::string(kSpaces) : fmt::format("[{}]", kSpaces);
      } else if (escaped == 'S' && !in_class) {
        out += fmt::format("[^{}]", kSpaces);
      } else {
        out += c;
        out += escaped;
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

class Pattern {
 public:
  Pattern(const SplitRule& rule, const std::string& file_name) : drop_gaps_(rule.drop_gaps) {
    const std::string regex = spell_out_spaces(rule.regex);
    int error = 0;
    PCRE2_SIZE place = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(), PCRE2_UTF | PCRE2_UCP,
                              &error, &place, nullptr));
    if (!code_) {
      char reason[256] = "";
      pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(reason), sizeof(reason));
      throw Error(
          "{}: {}: expected a regular expression that PCRE2 knows, found one with an error at byte {}: {}",
          file_name, rule.field, place, reason);
    }
    // Without JIT (a PCRE2 built without it, or a system that forbids it) matching is slower, not different.
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
  }

  // Appends the pieces of `text`. REQUIRES: text is UTF-8.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const {
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    CHECK(match != nullptr);
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    constexpr uint32_t kOptions = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    size_t at = 0;
    while (at < text.size()) {
      int found = pcre2_match(code_.get(), subject, text.size(), at, kOptions, match.get(), nullptr);
      if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
        found =
            pcre2_match(code_.get(), subject, text.size(), at, kOptions | PCRE2_NO_JIT, match.get(), nullptr);
      }
      // No match: the rest is a gap. So it is, too, if a pattern needs more than PCRE2's own limits on
      // backtracking: the text still encodes and decodes, in fewer pieces.
      if (found < 0) break;
      const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
      // \K in a look-ahead can set a start after the end or before the last one: treated as no match.
      if (bounds[0] < at || bounds[1] <= bounds[0]) break;
      if (bounds[0] > at && !drop_gaps_) pieces.push_back(text.substr(at, bounds[0] - at));
      pieces.push_back(text.substr(bounds[0], bounds[1] - bounds[0]));
      at = bounds[1];
    }
    if (at < text.size() && !drop_gaps_) pieces.push_back(text.substr(at));
  }

 private:
  std::unique_ptr<pcre2_code, FreeCode> code_;
  bool drop_gaps_;
};

}  // namespace

class Splitter::Stage {
 public:
  Stage(const SplitRule& rule, const std::string& file_name, Engine engine) {
    // The family's pattern covers every text, so whether gaps are dropped makes no difference.
    if (engine == Engine::kFastest && rule.regex == kFamilySplit) {
      scanner_ = std::make_unique<FamilyScanner>();
    } else {
      pattern_ = std::make_unique<Pattern>(rule, file_name);
    }
  }

  void split(std::string_view text, std::vector<std::string_view>& pieces) const {
    if (scanner_ != nullptr) {
      scanner_->split(text, pieces);
    } else {
      pattern_->split(text, pieces);
    }
  }

 private:
  std::unique_ptr<Pattern> pattern_;  // one of the two
  std::unique_ptr<FamilyScanner> scanner_;
};

Splitter::Splitter(const std::vector<SplitRule>& rules, const std::string& file_name, Engine engine) {
  for (const SplitRule& rule : rules) stages_.emplace_back(rule, file_name, engine);
}
Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;
Splitter& Splitter::operator=(Splitter&&) noexcept = default;

std::vector<std::string_view> Splitter::split(std::string_view text) const {
  // Runs of valid and of invalid bytes in turn.
  std::vector<std::pair<std::string_view, bool>> runs;
  size_t begin = 0;
  bool valid = true;
  for (size_t at = 0; at < text.size();) {
    if (valid && static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const utf8::Decoded d = utf8::decode(text.substr(at));
    if (d.valid != valid) {
      if (at > begin) runs.emplace_back(text.substr(begin, at - begin), valid);
      begin = at;
      valid = d.valid;
    }
    at += static_cast<size_t>(d.bytes);
  }
  if (begin < text.size()) runs.emplace_back(text.substr(begin), valid);

  std::vector<std::string_view> pieces;
  std::vector<std::string_view> split_again;
  for (const auto& [run, run_valid] : runs) {
    if (!run_valid || stages_.empty()) {
      pieces.push_back(run);
      continue;
    }
    if (stages_.size() == 1) {
      stages_[0].split(run, pieces);
      continue;
    }
    std::vector<std::string_view> so_far{run};
    for (const Stage& one : stages_) {
      split_again.clear();
      for (const std::string_view piece : so_far) one.split(piece, split_again);
      so_far.swap(split_again);
    }
    pieces.insert(pieces.end(), so_far.begin(), so_far.end());
  }
  return pieces;
}

}  // namespace minimax::tokenizer
