#pragma once
// What the tests of this room share: a small vocabulary, and the question whether a text matches.

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/compiler.h"

namespace minimax::grammar {

// The 256 bytes (id = byte), some longer tokens, and two markers that stand for no text.
inline std::vector<std::string> test_tokens() {
  std::vector<std::string> out;
  for (int byte = 0; byte < 256; ++byte) out.emplace_back(1, static_cast<char>(byte));
  for (const char* more : {"ab", "abc", "\":", "\": ", "\"}", "{\"", "\", \"", "true", "  ", "\n\n", "é",
                           "日本", "word", "a longer token of many words", "\xC3", "12", "-1", "ab"}) {
    out.emplace_back(more);
  }
  out.emplace_back("");
  out.emplace_back("");
  return out;
}

class Matching {
 public:
  explicit Matching(const Constraint& constraint) {
    static Compiler compiler{test_tokens()};
    Result<std::shared_ptr<Machine>> made = compiler.compile(constraint);
    if (made.ok()) {
      machine = *made;
    } else {
      error = made.failure().message;
    }
  }

  // The whole of `text`, byte by byte.
  bool operator()(std::string_view text) const {
    if (machine == nullptr) {
      ADD_FAILURE() << error;
      return false;
    }
    const ConfigId end = machine->after_bytes(machine->start(), text);
    return end != kDead && machine->accepting(end);
  }

  std::shared_ptr<Machine> machine;
  std::string error;  // why there is no machine
};

inline Constraint regex(std::string_view pattern) {
  Constraint out;
  out.kind = Constraint::Kind::kRegex;
  out.text = pattern;
  return out;
}

}  // namespace minimax::grammar
