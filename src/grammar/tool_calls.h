#pragma once
// Calls of tools as this family writes them, with arguments that are valid by the tools' schemas:
//
//   <minimax:tool_call>
//   <invoke name="f">
//   <parameter name="k">value</parameter>
//   </invoke>
//   </minimax:tool_call>
//
// The outer markers are tokens of their own. A string stands as it is, any other value as JSON. Parameters
// come in the order of the schema; those that it does not name only if it says what they are
// (additionalProperties).

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "grammar/json_rules.h"

namespace minimax::grammar {

struct ToolCallRules {
  struct Tool {
    std::string name;
    Json parameters;      // JSON schema of an object; null: any parameters, all strings
    bool checked = true;  // false: the parameters may be anything that can be read
  };
  std::vector<Tool> tools;  // that may be called
  int32_t begin_id = -1, end_id = -1;
  bool parallel = true;  // several calls in the block

  std::string key() const;
};

// One block of calls. Throws Refusal.
Expr tool_calls(const ToolCallRules& calls, Grammar& grammar, JsonRules& rules, Budget& budget);

}  // namespace minimax::grammar
