#pragma once
// The door of this folder: a chat template of Jinja's language, as Hugging Face renders it, to text that
// knows its origin. What is known of the language: docs/chat_template.md.

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/template/ast.h"
#include "chat/template/limits.h"
#include "chat/template/text.h"

namespace minimax::chat::jinja {

// A variable of a render.
struct Input {
  std::string_view name;
  Json value;
  bool from_template = false;  // its texts may become added tokens, e.g. bos_token
  // Of a list of objects: this member of each is one of a few words the server itself chose, so it counts as
  // the template's. Templates build markers of it: '<|' ~ message.role ~ '|>'.
  std::string_view own_member = {};
};

// Immutable once parsed; used from all threads.
class Template {
 public:
  // Throws Error "NAME line N: WHAT" for whatever the subset does not know.
  static Template parse(std::string_view source, const std::string& source_name, const Limits& limits = {});

  // A failure says the line and what went wrong: kTooLarge for a limit, kInvalid otherwise (what the template
  // raised, an undefined value, ...).
  Result<Text> render(const std::vector<Input>& inputs, std::time_t now) const;

  // Does it loop over the content of a message? Then it reads lists of parts itself.
  bool reads_parts() const { return reads_parts_; }

 private:
  Node root_;
  Limits limits_;
  bool reads_parts_ = false;
};

}  // namespace minimax::chat::jinja
