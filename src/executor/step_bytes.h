#pragma once
// A step as bytes, for the processes of one server on other hosts (host_group.h). Both ends are the same
// program: no version, no byte order.

#include <cstddef>
#include <span>
#include <vector>

#include "executor/step.h"

namespace minimax::executor {

// drawn: the tokens of the step before. `out` is overwritten.
void to_bytes(const std::vector<TokenId>& drawn, const StepBatch& batch, std::vector<std::byte>& out);
// Both are overwritten. Throws Error if the bytes are not those of one step; whether it keeps the limits is
// for find_violation() to say.
void from_bytes(std::span<const std::byte> bytes, std::vector<TokenId>& drawn, StepBatch& batch);

}  // namespace minimax::executor
