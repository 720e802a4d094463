// JSON text: whatever is accepted must be written and read back to the same value.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  const Result<Json> value = parse_json({reinterpret_cast<const char*>(data), size});
  if (!value.ok()) return 0;
  const std::string text = to_string(*value);
  const Result<Json> again = parse_json(text);
  CHECK(again.ok());
  CHECK(*again == *value);
  return 0;
}
