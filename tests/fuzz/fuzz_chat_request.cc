// The messages and tools of a chat request: refused with a field and a sentence, or rendered.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/conversation.h"
#include "base/check.h"
#include "chat/render.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace minimax;
  const Result<Json> request = parse_json({reinterpret_cast<const char*>(data), size});
  if (!request.ok()) return 0;
  const Result<chat::Conversation> conversation = api::parse_conversation(*request);
  if (!conversation.ok()) {
    CHECK(!conversation.failure().message.empty());
    return 0;
  }
  const auto segments = chat::render(*conversation, {});
  if (!segments.ok()) CHECK(!segments.failure().message.empty());
  return 0;
}
