// --config FILE.yaml: words for the command line, or a UsageError.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "cli/config_file.h"
#include "cli/serve_flags.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax::cli;
  try {
    const auto words =
        parse_config_file(serve_verb(), {reinterpret_cast<const char*>(data), size}, "config.yaml");
    parse_args(serve_verb(), words);
  } catch (const minimax::UsageError&) {
  }
  return 0;
}
