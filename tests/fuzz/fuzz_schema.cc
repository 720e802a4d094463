// JSON schemas: whatever compiles must be followed without a crash, and its masks must say what matching
// says.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "grammar/test_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  Result<Json> schema = parse_json({reinterpret_cast<const char*>(data), size});
  if (!schema.ok()) return 0;
  grammar::Constraint constraint;
  constraint.kind = grammar::Constraint::Kind::kJsonSchema;
  constraint.schema = std::move(*schema);
  grammar::test_walk(constraint, size);
  return 0;
}
