// The body of a request to each of the APIs, read as the server reads it, down to the ids of the prompt and
// the grammar of the answer: refused with a sentence, or a request that the engine can take. The first byte
// chooses the API.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/anthropic_request.h"
#include "api/chat_request.h"
#include "api/openai_completions.h"
#include "api/responses_request.h"
#include "api/tokenize.h"
#include "base/check.h"
#include "chat/guide.h"
#include "tokenizer/small_tokenizer.h"

namespace {

using namespace minimax;

struct Context {
  Context() {
    options.served_names = {"m2"};
    options.eos_ids = {1002};
    options.reasoning = chat::ReasoningFormat::kMinimaxM2;
    options.tool_parser = true;
    options.auto_tool_choice = true;
  }

  api::ServiceOptions options;
  tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::parse(
      to_string(tokenizer::small_tokenizer({{"t", "h"}, {"th", "e"}, {" ", "the"}})), "tokenizer.json");
  std::string header_id;
  grammar::Compiler compiler{chat::text_tokens(tokenizer)};

  api::RequestContext get() {
    return {options, tokenizer, 1000, [] { return uint64_t{7}; }, header_id, &compiler};
  }
};

void check(const Failure& failure) {
  CHECK(!failure.message.empty());
  CHECK(failure.kind != FailureKind::kInternal);
}

void check(const chat::GenerationRequest& generation, const Context& context) {
  CHECK(!generation.request.prompt.empty());
  CHECK_LE(std::ssize(generation.request.prompt), 1000);
  // Ids that no token has may be given where they are below its size: rows of the embedding.
  for (const tokenizer::TokenId id : generation.request.prompt)
    CHECK(id >= 0 && id < context.tokenizer.size());
}

void read_chat(const Json& body, Context& context) {
  const Result<api::ChatRequest> request = api::read_chat_request(body, context.get());
  if (!request.ok()) return check(request.failure());
  check(request->generation, context);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const context = new Context;
  if (size == 0) return 0;
  const Result<Json> body = api::parse_body(std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  if (!body.ok()) {
    check(body.failure());
    return 0;
  }
  switch (data[0] % 6) {
    case 0:
      read_chat(*body, *context);
      break;
    case 1: {
      const Result<api::CompletionRequest> request = api::read_completion_request(*body, context->get());
      if (!request.ok()) {
        check(request.failure());
        break;
      }
      for (const api::CompletionPrompt& prompt : request->prompts) check(prompt.generation, *context);
      break;
    }
    case 2: {
      const Result<api::ResponsesRequest> request = api::read_responses_request(*body);
      if (!request.ok()) {
        check(request.failure());
        break;
      }
      read_chat(api::chat_of_response(*request, {}), *context);
      break;
    }
    case 3:
    case 4: {
      const Result<Json> chat = api::chat_of_messages(*body, data[0] % 6 == 4);
      if (!chat.ok()) {
        check(chat.failure());
        break;
      }
      read_chat(*chat, *context);
      break;
    }
    default: {
      const Result<Json> answer = body->find("tokens") != nullptr ? api::detokenize(*body, context->get())
                                                                  : api::tokenize(*body, context->get());
      if (!answer.ok()) check(answer.failure());
    }
  }
  return 0;
}
