#pragma once
// The door of this room: a constraint as a request gives it, to a machine that follows it. Machines are kept
// and shared by requests of the same constraint. All methods may be called from any thread.

#include <condition_variable>
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
  // exceeds; or kOverloaded: too many others wait. A dear compilation (limits.h) waits for those before it,
  // on this thread. The machine borrows from the compiler.
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
  // The turn of a dear compilation, as long as it lives.
  class Turn {
   public:
    explicit Turn(Compiler& compiler) : compiler_(compiler) {}
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    void take();  // waits; throws Refusal if too many wait

   private:
    Compiler& compiler_;
    bool taken_ = false;
  };

  const Vocabulary vocabulary_;
  std::mutex mutex_;
  std::list<Entry> entries_;                                // the one used last comes first
  std::list<std::pair<std::string, std::string>> refused_;  // (key, sentence), so too
  int dear_ = 0;  // compilations that have their turn or wait for it
  bool turn_is_taken_ = false;
  std::condition_variable turn_ends_;
};

}  // namespace minimax::grammar
