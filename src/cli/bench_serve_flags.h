#pragma once
// The flags of `minimax bench serve`: every flag of the peer's serving benchmark is done, accepted with a
// reason, or refused with one.

#include <span>

#include "cli/args.h"

namespace minimax::cli {

std::span<const Flag> bench_serve_flags();

}  // namespace minimax::cli
