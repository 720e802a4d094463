// tokenizer.json: refused with an Error, or usable: what it encodes it decodes again.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  try {
    const auto tokenizer =
        tokenizer::Tokenizer::parse({reinterpret_cast<const char*>(data), size}, "tokenizer.json");
    const std::vector<tokenizer::TokenId> ids = tokenizer.encode("Hello world 123 ]~b]\n<think>", true);
    for (const tokenizer::TokenId id : ids) CHECK(tokenizer.valid(id));
    tokenizer.decode(ids, false);
  } catch (const Error&) {
  }
  return 0;
}
