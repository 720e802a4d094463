// config.json and generation_config.json: accepted with a sane shape, or refused with an Error.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  const Result<Json> value = parse_json({reinterpret_cast<const char*>(data), size});
  if (!value.ok()) return 0;
  try {
    const model::ModelConfig config = model::parse_config(*value, "config.json");
    CHECK_GT(config.shape.hidden, 0);
    CHECK_GT(config.shape.kv_heads, 0);
    CHECK_EQ(config.shape.q_heads % config.shape.kv_heads, 0);
    CHECK_LE(config.shape.experts_per_token, config.shape.experts);
    CHECK_LE(config.shape.rotary_dim, config.shape.head_dim);
  } catch (const Error&) {
  }
  try {
    model::parse_generation_config(*value, "generation_config.json");
  } catch (const Error&) {
  }
  return 0;
}
