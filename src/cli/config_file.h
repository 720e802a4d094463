#pragma once
// --config FILE.yaml, as the peer reads it: keys are flags without the dashes; lists, switches and nested
// JSON values are allowed. The words it becomes stand before those of the command line, so that the latter
// win.

#include <string>
#include <string_view>
#include <vector>

#include "cli/args.h"

namespace minimax::cli {

inline constexpr size_t kConfigFileBytesMax = 1 << 20;

// Throws UsageError naming file, line and key.
std::vector<std::string> parse_config_file(const Verb& verb, std::string_view yaml,
                                           const std::string& file_name);

// `words` with the contents of its --config file (if any) put in front.
std::vector<std::string> expand_config(const Verb& verb, const std::vector<std::string>& words);

}  // namespace minimax::cli
