#pragma once
// Template source to tokens, with Hugging Face's settings: the line break behind a block is dropped
// (trim_blocks), so is the space before it (lstrip_blocks), and one line break at the end of the source.

#include <string>
#include <string_view>
#include <vector>

namespace minimax::chat::jinja {

enum class TokenKind {
  kData,           // text outside tags
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,  // text: the value, escapes resolved
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;
};

// The last token is kEnd. Throws Error naming source and line.
std::vector<Token> tokenize(std::string_view source, const std::string& source_name);

// Throws Error "NAME line N: WHAT".
[[noreturn]] void refuse(const std::string& source_name, int line, const std::string& what);

}  // namespace minimax::chat::jinja
