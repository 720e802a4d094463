#pragma once
// The door of this room: a constraint as a request gives it, to a machine that follows it. Machines are kept
// and shared by requests of the same constraint. All methods may be called from any thread.

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "grammar/json_rules.h"
#include "grammar/machine.h"
#include "grammar/schema.h"
#include "grammar/tool_calls.h"

namespace minimax::grammar {

struct Constraint {
  enum class Kind : uint8_t {
    kRegex,       // text: matches as a whole
    kChoice,      // choices: one of these texts
    kJsonObject,  // any JSON object
    kJsonSchema,  // schema: valid values
    kEbnf,        // text: a grammar in GBNF (ebnf.h)
    kTags,        // schema: a structural tag (tags.h)
    kToolCalls,   // tools: calls in the family's XML (tool_calls.h)
  };
  Kind kind = Kind::kJsonObject;
  std::string text;
  std::vector<std::string> choices;
  Json schema;
  SchemaOptions schema_options;
  ToolCallRules tools;  // with JSON or tags: calls are another way to answer
  JsonSpacing spacing;  // of JSON
  std::string prefix;   // stands before whatever matches

  std::string key() const;  // equal for equal constraints
};

// Throws Refusal.
Grammar to_grammar(const Constraint& constraint, Budget& budget);

class Compiler {
 public:
  // token_bytes as Vocabulary takes them.
  explicit Compiler(const std::vector<std::string>& token_bytes) : vocabulary_(token_bytes) {}

  // Failures are of kind kInvalid; the sentence says what is wrong with the constraint or which limit it
  // exceeds. The machine borrows from the compiler.
  Result<std::shared_ptr<Machine>> compile(const Constraint& constraint);

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  static constexpr size_t kMachinesMax = 64;          // kept without being in use ...
  static constexpr size_t kBytesMax = 256 << 20;      // ... with so many bytes in all
  static constexpr size_t kRefusedMax = 64;           // whose work is not done again
  static constexpr size_t kRefusedKeyMax = 64 << 10;  // of longer ones it is

  struct Entry {
    std::string key;
    std::shared_ptr<Machine> machine;
  };
  const Vocabulary vocabulary_;
  std::mutex mutex_;
  std::list<Entry> entries_;                                // the one used last comes first
  std::list<std::pair<std::string, std::string>> refused_;  // (key, sentence), so too
};

}  // namespace minimax::grammar
