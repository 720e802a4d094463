#pragma once
// What a request says about the form of its answer: response_format, structured_outputs.

#include <optional>
#include <string>

#include "api/fields.h"
#include "api/sampling_params.h"
#include "chat/guide.h"
#include "grammar/compiler.h"

namespace minimax::api {

// Reads response_format and structured_outputs; failures go to `fields`. Nothing: any text. At most one
// constraint may be given.
std::optional<RequestedConstraint> read_constraint(Fields& fields);

// What tool_choice asks of the answer.
struct ToolChoice {
  enum class Kind : uint8_t { kNone, kAuto, kRequired, kNamed };
  Kind kind = Kind::kNone;
  std::string name;                                 // with kNamed
  std::optional<std::vector<std::string>> allowed;  // with kAuto and kRequired: no others may be called

  bool allows(const std::string& tool) const;
};
// Adds to the request's constraint what its tools demand: calls as tool_choice has it, arguments by the
// schemas of strict tools. Failures go to `fields`.
void add_tool_constraint(Fields& fields, const ToolChoice& choice, const std::vector<chat::Tool>& tools,
                         bool parallel, const RequestContext& context,
                         std::optional<RequestedConstraint>& constraint);

// Requests whose constraint waits to be compiled hold their thread: at most so many.
inline constexpr int kWaitingCompilationsMax = grammar::kDearCompilationsMax;

// Makes the guide of `generation` of what `params` limits: its constraint, compiled, and its budget for
// thinking; nothing to do if there is neither. after_thinking: the prompt ends inside thinking, which a
// parser will tell from the content.
Status add_guide(const GenerationParams& params, bool after_thinking, const RequestContext& context,
                 chat::GenerationRequest& generation);

}  // namespace minimax::api
