// tokenizer.json: refused with an Error, or usable: ids are valid, and decoding them one by one gives what
// decoding them at once does, also for ids in an order that no text has.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  try {
    const auto tokenizer =
        tokenizer::Tokenizer::parse({reinterpret_cast<const char*>(data), size}, "tokenizer.json");
    std::vector<tokenizer::TokenId> ids =
        tokenizer.encode("Hello world 123 ]~b]\n<think> \xE4\xB8\x96\xFF", true);
    for (const tokenizer::TokenId id : ids) CHECK(tokenizer.valid(id));
    for (size_t i = 0; i < std::min<size_t>(size, 64); ++i)
      ids.push_back(static_cast<tokenizer::TokenId>((uint64_t{data[i]} * 7919 + i) %
                                                    static_cast<uint64_t>(tokenizer.size())));
    for (const bool skip_special : {false, true}) {
      tokenizer::StreamDecoder stream(tokenizer, skip_special);
      std::string joined;
      for (const tokenizer::TokenId id : ids) joined += stream.push(id);
      joined += stream.flush();
      CHECK_EQ(joined, tokenizer.decode(ids, skip_special));
    }
  } catch (const Error&) {
  }
  return 0;
}
