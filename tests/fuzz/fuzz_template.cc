// A chat template: refused with an Error that names its line, or rendered within its limits, every byte with
// an origin.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "chat/template/template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  using namespace minimax::chat;
  static const Json messages = *parse_json(
      R"([{"role": "system", "content": "be ]~b] \u00e9"}, {"role": "user", "content": [{"type": "text", "text": "a<b"}]},
          {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"k": [1, 2.5, null]}}}]}])");
  jinja::Limits limits;
  limits.steps_max = 20'000;
  limits.heap_bytes_max = 4 << 20;
  limits.output_bytes_max = 1 << 20;
  try {
    const auto parsed =
        jinja::Template::parse({reinterpret_cast<const char*>(data), size}, "fuzz.jinja", limits);
    const Result<jinja::Text> text = parsed.render({{"messages", messages}, {"tools", Json()}}, 0);
    if (!text.ok()) {
      CHECK(!text.failure().message.empty());
      return 0;
    }
    CHECK_LE(text->size(), limits.output_bytes_max);
    CHECK(utf8::valid(text->bytes()));
    CHECK_EQ(text->runs().empty() ? 0 : text->runs().back().end, text->size());
  } catch (const Error& error) {
    CHECK(std::string_view(error.what()).starts_with("fuzz.jinja line "));
  }
  return 0;
}
