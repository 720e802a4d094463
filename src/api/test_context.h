#pragma once
// What the tests of this room share: a tokenizer of bytes and markers, and a context to read requests in.

#include <string>

#include <gtest/gtest.h>

#include "api/sampling_params.h"
#include "base/json.h"
#include "chat/guide.h"
#include "tokenizer/small_tokenizer.h"

namespace minimax::api {

inline tokenizer::Tokenizer test_tokenizer() {
  return tokenizer::Tokenizer::parse(
      to_string(tokenizer::small_tokenizer({{"t", "h"}, {"th", "e"}, {" ", "the"}})), "tokenizer.json");
}

// As `minimax serve` with the family's flags would set them.
inline ServiceOptions test_options() {
  ServiceOptions options;
  options.served_names = {"m2", "other-name"};
  options.model_root = "models/m2";
  options.version = "0.0-test";
  options.eos_ids = {1002};  // [e~[
  options.reasoning = chat::ReasoningFormat::kMinimaxM2;
  options.tool_parser = true;
  options.auto_tool_choice = true;
  options.defaults.temperature = 0.75;
  options.defaults.top_p = 0.5;
  options.defaults.top_k = 40;
  return options;
}

inline Json json(std::string_view text) {
  Result<Json> parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text << "\n" << (parsed.ok() ? "" : parsed.failure().message);
  return parsed.ok() ? std::move(*parsed) : Json();
}

struct TestContext {
  ServiceOptions options = test_options();
  tokenizer::Tokenizer tokenizer = test_tokenizer();
  int64_t context_tokens_max = 1000;
  uint64_t seeds = 0;
  std::string header_id;
  grammar::Compiler compiler{chat::text_tokens(tokenizer)};

  RequestContext get() {
    return {options, tokenizer, context_tokens_max, [this] { return ++seeds; }, header_id, &compiler};
  }
};

}  // namespace minimax::api
