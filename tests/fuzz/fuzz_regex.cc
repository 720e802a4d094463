// Regular expressions and grammars: whatever compiles must be followed without a crash, and its masks must
// say what matching says. The first byte chooses the kind.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "grammar/test_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax::grammar;
  if (size == 0) return 0;
  Constraint constraint;
  constraint.kind = data[0] % 2 == 0 ? Constraint::Kind::kRegex : Constraint::Kind::kEbnf;
  constraint.text = std::string_view(reinterpret_cast<const char*>(data + 1), size - 1);
  test_walk(constraint, size);
  return 0;
}
