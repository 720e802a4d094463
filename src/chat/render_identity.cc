// The default identity of a checkpoint: a Jinja assignment of a string literal, found without a Jinja parser.

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "base/utf8.h"
#include "chat/render.h"

namespace minimax::chat {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

void skip_spaces(std::string_view text, size_t& at) {
  at = std::min(text.find_first_not_of(kSpaces, at), text.size());
}

bool take(std::string_view text, size_t& at, std::string_view word) {
  if (text.substr(at, word.size()) != word) return false;
  at += word.size();
  return true;
}

// Reads the escape whose backslash stands before `at`. Python keeps the backslash of escapes it does not
// know.
void append_escape(std::string_view text, size_t& at, std::string& out) {
  const char c = text[at++];
  switch (c) {
    case 'n':
      out += '\n';
      return;
    case 't':
      out += '\t';
      return;
    case 'r':
      out += '\r';
      return;
    case '\\':
    case '\'':
    case '"':
      out += c;
      return;
    case 'u': {
      char32_t code_point = 0;
      size_t digits = 0;
      for (; digits < 4 && at + digits < text.size(); ++digits) {
        const size_t digit =
            std::string_view("0123456789abcdef").find(static_cast<char>(text[at + digits] | 0x20));
        if (digit == std::string_view::npos) break;
        code_point = code_point << 4 | static_cast<char32_t>(digit);
      }
      if (digits == 4 && (code_point < 0xD800 || code_point > 0xDFFF)) {
        at += 4;
        utf8::append(out, code_point);
        return;
      }
      break;
    }
    default:
      break;
  }
  out += '\\';
  out += c;
}

// Where the literal of the identity stands, quotes included, and what it says.
struct Literal {
  size_t begin = 0, end = 0;
  std::string value;
};

// A string literal that is the whole rest of the statement.
std::optional<Literal> read_literal(std::string_view text, size_t at) {
  if (at >= text.size() || (text[at] != '"' && text[at] != '\'')) return std::nullopt;
  Literal literal{at, at, {}};
  const char quote = text[at++];
  while (at < text.size() && text[at] != quote) {
    const char c = text[at++];
    if (c != '\\') {
      literal.value += c;
    } else if (at < text.size()) {
      append_escape(text, at, literal.value);
    }
  }
  if (at >= text.size()) return std::nullopt;
  literal.end = ++at;
  skip_spaces(text, at);
  if (!take(text, at, "-")) take(text, at, "+");
  return take(text, at, "%}") ? std::optional(literal) : std::nullopt;
}

std::optional<Literal> find_literal(std::string_view chat_template) {
  constexpr std::string_view kBlock = "{%";
  for (size_t begin = chat_template.find(kBlock); begin != std::string_view::npos;
       begin = chat_template.find(kBlock, begin + 1)) {
    size_t at = begin + kBlock.size();
    if (!take(chat_template, at, "-")) take(chat_template, at, "+");
    skip_spaces(chat_template, at);
    if (!take(chat_template, at, "set")) continue;
    skip_spaces(chat_template, at);
    if (!take(chat_template, at, "model_identity")) continue;
    skip_spaces(chat_template, at);
    if (!take(chat_template, at, "=")) continue;
    skip_spaces(chat_template, at);
    if (std::optional<Literal> literal = read_literal(chat_template, at)) return literal;
  }
  return std::nullopt;
}

// FNV-1a, 64 bits.
uint64_t hash_of(std::string_view text, uint64_t hash = 0xcbf29ce484222325) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// Templates whose prompts render() writes: hashes of their text without the identity's literal and without
// line breaks at the end. tools/compare_template.py says which one a file is.
constexpr uint64_t kFamilyTemplates[] = {
    0x433fcfe327f6124c,  // the official chat_template.jinja of MiniMax-M2
    0xbb4fed041da007f4,  // models/tiny-m2
};

}  // namespace

std::optional<std::string> find_identity(std::string_view chat_template) {
  std::optional<Literal> literal = find_literal(chat_template);
  if (!literal) return std::nullopt;
  return std::move(literal->value);
}

bool is_family_template(std::string_view chat_template) {
  while (chat_template.ends_with('\n')) chat_template.remove_suffix(1);
  uint64_t hash = 0;
  if (const std::optional<Literal> literal = find_literal(chat_template)) {
    hash = hash_of(chat_template.substr(literal->end), hash_of(chat_template.substr(0, literal->begin)));
  } else {
    hash = hash_of(chat_template);
  }
  return std::ranges::find(kFamilyTemplates, hash) != std::end(kFamilyTemplates);
}

}  // namespace minimax::chat
