#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/definition.h"
#include "tokenizer/split.h"

namespace minimax::tokenizer {
namespace {

std::array<TokenId, 256> byte_ids(const Definition& definition) {
  std::array<TokenId, 256> ids{};
  for (size_t id = 0; id < definition.entries.size(); ++id) {
    const Definition::Entry& entry = definition.entries[id];
    if (entry.base && entry.bytes.size() == 1) {
      ids[static_cast<uint8_t>(entry.bytes[0])] = static_cast<TokenId>(id);
    }
  }
  return ids;
}

MergeTable merge_table(const Definition& definition) {
  MergeTable table(definition.merges.size());
  for (size_t rank = 0; rank < definition.merges.size(); ++rank) {
    const Definition::Merge& merge = definition.merges[rank];
    table.add(merge.left, merge.right, {static_cast<uint32_t>(rank), merge.merged});
  }
  return table;
}

}  // namespace

struct Tokenizer::Impl {
  struct Token {
    std::string bytes;  // empty: not used
    bool added = false;
    bool special = false;
  };

  Impl(Definition definition, const std::string& file_name)
      : splitter(definition.splits, file_name),
        bpe(byte_ids(definition), merge_table(definition)),
        matcher(definition.added),
        matcher_normalized(definition.added_normalized),
        any_normalized(!definition.added_normalized.empty()) {
    added = std::move(definition.added);
    added.insert(added.end(), definition.added_normalized.begin(), definition.added_normalized.end());
    std::sort(added.begin(), added.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    tokens.reserve(definition.entries.size());
    for (Definition::Entry& entry : definition.entries) {
      tokens.push_back({std::move(entry.bytes), false, false});
    }
    for (const AddedToken& token : added) {
      Token& place = tokens[static_cast<size_t>(token.id)];
      place.added = true;
      place.special = token.special;
    }
    for (const Token& token : tokens)
      token_bytes_max = std::max<int64_t>(token_bytes_max, std::ssize(token.bytes));
    find_whole_pieces(definition.ignore_merges);
  }

  // The tokens that merging their own bytes yields: most words of a text are such, and one look replaces
  // their merges. With ignore_merges all tokens are.
  void find_whole_pieces(bool ignore_merges) {
    whole_pieces.reserve(tokens.size());
    Bpe::Scratch scratch;
    std::vector<TokenId> ids;
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (tokens[id].bytes.empty() || tokens[id].added) continue;
      ids.clear();
      if (!ignore_merges) bpe.encode(tokens[id].bytes, scratch, ids);
      if (ignore_merges || (ids.size() == 1 && ids[0] == static_cast<TokenId>(id))) {
        whole_pieces.emplace(tokens[id].bytes, static_cast<TokenId>(id));
      }
    }
  }

  const Token* find(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < tokens.size() ? &tokens[static_cast<size_t>(id)] : nullptr;
  }

  void encode_plain(std::string_view text, Bpe::Scratch& scratch, std::vector<TokenId>& out) const {
    for (const std::string_view piece : splitter.split(text)) {
      const auto whole = whole_pieces.find(piece);
      if (whole != whole_pieces.end()) {
        out.push_back(whole->second);
      } else {
        bpe.encode(piece, scratch, out);
      }
    }
  }

  void find_added(std::string_view text, size_t begin, size_t end,
                  std::vector<AddedTokenMatcher::Match>& matches) const {
    const size_t first = matches.size();
    matcher.find(text, begin, end, matches);
    if (!any_normalized) return;
    // The second look goes over what the first left.
    std::vector<AddedTokenMatcher::Match> both;
    size_t at = begin;
    for (size_t i = first; i < matches.size(); ++i) {
      matcher_normalized.find(text, at, matches[i].begin, both);
      both.push_back(matches[i]);
      at = matches[i].end;
    }
    matcher_normalized.find(text, at, end, both);
    matches.resize(first);
    matches.insert(matches.end(), both.begin(), both.end());
  }

  Splitter splitter;
  Bpe bpe;
  AddedTokenMatcher matcher, matcher_normalized;
  bool any_normalized = false;
  std::vector<AddedToken> added;  // by id
  std::vector<Token> tokens;      // by id; not moved after construction: whole_pieces looks into it
  int64_t token_bytes_max = 0;
  std::unordered_map<std::string_view, TokenId> whole_pieces;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "tokenizer.json";
  std::error_code ignored;
  std::ifstream file;
  if (std::filesystem::is_regular_file(path, ignored)) file.open(path, std::ios::binary);
  std::ostringstream text;
  if (!file.is_open() || !(text << file.rdbuf())) {
    throw Error("{}: expected a readable file, found none", path.string());
  }
  return parse(text.str(), path.string());
}

Tokenizer Tokenizer::parse(std::string_view tokenizer_json, const std::string& file_name) {
  return Tokenizer(std::make_unique<Impl>(parse_definition(tokenizer_json, file_name), file_name));
}

std::vector<TokenId> Tokenizer::encode(std::span<const TextSpan> spans) const {
  std::string joined;
  std::string_view text;
  if (spans.size() == 1) {
    text = spans[0].text;
  } else {
    for (const TextSpan& span : spans) joined += span.text;
    text = joined;
  }
  std::vector<AddedTokenMatcher::Match> matches;
  size_t begin = 0;
  for (const TextSpan& span : spans) {
    if (span.added_tokens) impl_->find_added(text, begin, begin + span.text.size(), matches);
    begin += span.text.size();
  }
  std::vector<TokenId> ids;
  Bpe::Scratch scratch;
  size_t at = 0;
  for (const AddedTokenMatcher::Match& match : matches) {
    impl_->encode_plain(text.substr(at, match.begin - at), scratch, ids);
    ids.push_back(match.id);
    at = match.end;
  }
  impl_->encode_plain(text.substr(at), scratch, ids);
  return ids;
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool added_tokens) const {
  const TextSpan span{text, added_tokens};
  return encode(std::span(&span, 1));
}

int32_t Tokenizer::size() const {
  return static_cast<int32_t>(impl_->tokens.size());
}

bool Tokenizer::valid(TokenId id) const {
  const Impl::Token* token = impl_->find(id);
  return token != nullptr && !token->bytes.empty();
}

std::string_view Tokenizer::bytes(TokenId id) const {
  const Impl::Token* token = impl_->find(id);
  return token == nullptr ? std::string_view() : token->bytes;
}

int64_t Tokenizer::token_bytes_max() const {
  return impl_->token_bytes_max;
}

bool Tokenizer::is_special(TokenId id) const {
  const Impl::Token* token = impl_->find(id);
  return token != nullptr && token->special;
}

bool Tokenizer::is_added(TokenId id) const {
  const Impl::Token* token = impl_->find(id);
  return token != nullptr && token->added;
}

std::optional<TokenId> Tokenizer::added_id(std::string_view text) const {
  for (const AddedToken& token : impl_->added) {
    if (token.text == text) return token.id;
  }
  return std::nullopt;
}

const std::vector<AddedToken>& Tokenizer::added_tokens() const {
  return impl_->added;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string joined;
  for (const TokenId id : ids) {
    if (!skip_special || !is_special(id)) joined += bytes(id);
  }
  return utf8::replace_invalid(joined);
}

}  // namespace minimax::tokenizer
