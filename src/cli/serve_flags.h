#pragma once
// The flags of `minimax serve`: those of `vllm serve` that start scripts for this family carry, and our own.

#include "cli/args.h"

namespace minimax::cli {

const Verb& serve_verb();

}  // namespace minimax::cli
