#include "api/sampling_params.h"

#include <gtest/gtest.h>

#include "api/test_context.h"

namespace minimax::api {
namespace {

GenerationParams read(TestContext& context, std::string_view text) {
  const Json body = json(text);
  Fields fields(body);
  GenerationParams params = read_generation_params(fields, context.get());
  EXPECT_TRUE(fields.ok()) << text << "\n" << (fields.ok() ? "" : fields.failure().message);
  return params;
}

// The field at fault, or "".
std::string fault(TestContext& context, std::string_view text) {
  const Json body = json(text);
  Fields fields(body);
  read_generation_params(fields, context.get());
  return fields.ok() ? "" : fields.failure().param;
}

TEST(SamplingParamsTest, DefaultsAreThoseOfTheCheckpoint) {
  TestContext context;
  const GenerationParams params = read(context, "{}");
  EXPECT_EQ(params.spec.temperature, 0.75f);
  EXPECT_EQ(params.spec.top_p, 0.5f);
  EXPECT_EQ(params.spec.top_k, 40);
  EXPECT_EQ(params.spec.min_p, 0.0f);
  EXPECT_EQ(params.spec.repetition_penalty, 1.0f);
  EXPECT_EQ(params.n, 1);
  EXPECT_EQ(params.spec.logprobs, -1);
  EXPECT_EQ(params.prompt_logprobs, -1);
  EXPECT_EQ(params.spec.stop_ids, (std::vector<engine::TokenId>{1002}));
  EXPECT_TRUE(params.skip_special_tokens);
}

TEST(SamplingParamsTest, TheRequestHasTheLastWord) {
  TestContext context;
  const GenerationParams params = read(context, R"({"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0.1,
    "repetition_penalty": 1.5, "frequency_penalty": -2, "presence_penalty": 2, "seed": -7, "n": 3,
    "stop": "END", "stop_token_ids": [5], "min_tokens": 2, "include_stop_str_in_output": true})");
  EXPECT_EQ(params.spec.temperature, 0.0f);
  EXPECT_EQ(params.spec.top_p, 1.0f);
  EXPECT_EQ(params.spec.top_k, 0);
  EXPECT_EQ(params.spec.min_p, 0.1f);
  EXPECT_EQ(params.spec.repetition_penalty, 1.5f);
  EXPECT_EQ(params.spec.frequency_penalty, -2.0f);
  EXPECT_EQ(params.spec.presence_penalty, 2.0f);
  EXPECT_EQ(params.spec.seed, static_cast<uint64_t>(int64_t{-7}));
  EXPECT_EQ(params.n, 3);
  EXPECT_EQ(params.stop, (std::vector<std::string>{"END"}));
  EXPECT_TRUE(params.include_stop_str);
  EXPECT_EQ(params.spec.stop_ids, (std::vector<engine::TokenId>{5, 1002}));
  EXPECT_EQ(params.spec.min_tokens, 2);
}

TEST(SamplingParamsTest, IgnoreEosLeavesTheRequestsOwnStops) {
  TestContext context;
  EXPECT_TRUE(read(context, R"({"ignore_eos": true})").spec.stop_ids.empty());
  EXPECT_EQ(read(context, R"({"ignore_eos": true, "stop_token_ids": [9]})").spec.stop_ids,
            (std::vector<engine::TokenId>{9}));
}

TEST(SamplingParamsTest, RequestsWithoutASeedGetOneEach) {
  TestContext context;
  EXPECT_NE(read(context, "{}").spec.seed, read(context, "{}").spec.seed);
}

TEST(SamplingParamsTest, EveryFieldOutOfBoundsIsNamed) {
  TestContext context;
  for (const char* text : {R"({"temperature": -0.1})",
                           R"({"temperature": 101})",
                           R"({"temperature": "hot"})",
                           R"({"top_p": 0})",
                           R"({"top_p": 1.1})",
                           R"({"top_k": -2})",
                           R"({"top_k": 1.5})",
                           R"({"min_p": 2})",
                           R"({"repetition_penalty": 0})",
                           R"({"frequency_penalty": 2.1})",
                           R"({"presence_penalty": -2.1})",
                           R"({"n": 0})",
                           R"({"n": 129})",
                           R"({"seed": 99999999999999999999})",
                           R"({"min_tokens": -1})",
                           R"({"priority": 1})",
                           R"({"cache_salt": ""})",
                           R"({"truncate_prompt_tokens": 0})",
                           R"({"truncation_side": "middle"})",
                           R"({"stop": [""]})",
                           R"({"stop": 5})",
                           R"({"stream": 1})",
                           R"({"prompt_logprobs": -2})",
                           R"({"prompt_logprobs": 21})",
                           R"({"ignore_eos": "no"})",
                           R"({"allowed_token_ids": []})",
                           R"({"bad_words": [""]})",
                           R"({"logit_bias": {"x": 1}})",
                           R"({"logit_bias": {"5": "x"}})",
                           R"({"logit_bias": {"999999": 1}})",
                           R"({"logit_bias": []})"}) {
    const std::string name = json(text).as_object().front().first;
    const std::string at = fault(context, text);
    EXPECT_TRUE(at == name || at.starts_with(name + "[")) << text << " -> " << at;
  }
}

TEST(SamplingParamsTest, WhatIsNotOfferedIsRefusedByName) {
  TestContext context;
  for (const char* text :
       {R"({"guided_json": {}})", R"({"guided_choice": ["a"]})", R"({"use_beam_search": true})",
        R"({"length_penalty": 2})", R"({"response_format": {"type": "xml"}})",
        R"({"structured_outputs": {}})", R"({"kv_transfer_params": {}})", R"({"logprob_token_ids": [1]})",
        R"({"repetition_detection": {}})", R"({"vllm_xargs": {"a": 1}})"}) {
    EXPECT_EQ(fault(context, text), json(text).as_object().front().first) << text;
  }
  for (const char* text : {R"({"use_beam_search": false})", R"({"length_penalty": 1.0})",
                           R"({"response_format": {"type": "text"}})", R"({"structured_outputs": null})",
                           R"({"vllm_xargs": {}})", R"({"no_such_field": 1})"}) {
    EXPECT_EQ(fault(context, text), "") << text;
  }
}

TEST(SamplingParamsTest, BiasesAreClampedAndKeyedByIds) {
  TestContext context;
  const GenerationParams params = read(context, R"({"logit_bias": {"65": 1000, "66": -1.5}})");
  ASSERT_EQ(params.spec.logit_bias.size(), 2u);
  EXPECT_EQ(params.spec.logit_bias[0].token, 65);
  EXPECT_EQ(params.spec.logit_bias[0].bias, 100.0f);
  EXPECT_EQ(params.spec.logit_bias[1].bias, -1.5f);
}

TEST(SamplingParamsTest, ABadWordIsBadAfterASpaceToo) {
  TestContext context;
  // "the" is one token, and so is " the"; "x" and " x" differ in length.
  const GenerationParams params = read(context, R"({"bad_words": ["the", "x"]})");
  EXPECT_EQ(params.spec.bad_words, (std::vector<std::vector<engine::TokenId>>{{257}, {258}, {'x'}}));
}

TEST(SamplingParamsTest, AUsersBadWordIsNoMarker) {
  TestContext context;
  const GenerationParams params = read(context, R"({"bad_words": ["<think>"]})");
  EXPECT_GT(params.spec.bad_words.at(0).size(), 1u);
  EXPECT_EQ(context.tokenizer.decode(params.spec.bad_words.at(0), false), "<think>");
}

TEST(SamplingParamsTest, StopStringsAreLimited) {
  TestContext context;
  context.options.stop_strings_max = 2;
  context.options.stop_string_bytes_max = 10;
  EXPECT_EQ(fault(context, R"({"stop": ["a", "b"]})"), "");
  EXPECT_EQ(fault(context, R"({"stop": ["a", "b", "c"]})"), "stop");
  EXPECT_EQ(fault(context, R"({"stop": "12345678901"})"), "stop");
}

TEST(SamplingParamsTest, StreamOptionsNeedAStream) {
  TestContext context;
  EXPECT_EQ(fault(context, R"({"stream_options": {"include_usage": true}})"), "stream_options");
  EXPECT_EQ(fault(context, R"({"stream": true, "prompt_logprobs": 1})"), "prompt_logprobs");
  const GenerationParams params =
      read(context,
           R"({"stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true}})");
  EXPECT_TRUE(params.include_usage);
  EXPECT_TRUE(params.continuous_usage);
  context.options.force_include_usage = true;
  EXPECT_TRUE(read(context, R"({"stream": true})").include_usage);
}

TEST(SamplingParamsTest, AllLogprobsMeansTheVocabularyIfTheServerLets) {
  TestContext context;
  EXPECT_EQ(fault(context, R"({"prompt_logprobs": -1})"), "prompt_logprobs");
  context.options.logprobs_max = -1;
  EXPECT_EQ(read(context, R"({"prompt_logprobs": -1})").prompt_logprobs, context.tokenizer.size());
}

TEST(SamplingParamsTest, PriorityNeedsItsPolicy) {
  TestContext context;
  EXPECT_EQ(fault(context, R"({"priority": 0})"), "");
  context.options.priority_scheduling = true;
  EXPECT_EQ(read(context, R"({"priority": -3})").priority, -3);
}

TEST(SamplingParamsTest, TheHeadersIdIsTheRequestsId) {
  TestContext context;
  EXPECT_EQ(read(context, R"({"request_id": "mine"})").request_id, "mine");
  EXPECT_NE(read(context, "{}").request_id, read(context, "{}").request_id);
  context.header_id = "from-header";
  EXPECT_EQ(read(context, R"({"request_id": "mine"})").request_id, "from-header");
}

TEST(SamplingParamsTest, AnUnknownModelIsNotFound) {
  TestContext context;
  for (const char* text : {R"({"model": "m2"})", R"({"model": "other-name"})", R"({"model": null})", "{}"}) {
    EXPECT_EQ(fault(context, text), "") << text;
  }
  const Json body = json(R"({"model": "gpt"})");
  Fields fields(body);
  read_generation_params(fields, context.get());
  ASSERT_FALSE(fields.ok());
  EXPECT_EQ(fields.failure().kind, FailureKind::kNotFound);
  EXPECT_EQ(fields.failure().param, "model");
}

// ---------------------------------------------------------------------------------------------------------------

std::vector<engine::TokenId> ids(size_t count) {
  std::vector<engine::TokenId> out;
  for (size_t i = 0; i < count; ++i) out.push_back(static_cast<engine::TokenId>(i % 256));
  return out;
}

TEST(MakeGenerationTest, WithoutALimitTheContextIsTheLimit) {
  TestContext context;
  GenerationParams params = read(context, "{}");
  EXPECT_EQ(make_generation(params, ids(100), {}, context.get())->request.max_tokens, 900);
  EXPECT_EQ(make_generation(params, ids(100), 16, context.get())->request.max_tokens, 16);
  EXPECT_EQ(make_generation(params, ids(990), 16, context.get())->request.max_tokens, 10);
  params.max_tokens = 900;
  EXPECT_EQ(make_generation(params, ids(100), {}, context.get())->request.max_tokens, 900);
}

TEST(MakeGenerationTest, TheGenerationConfigCapsEveryRequest) {
  TestContext context;
  context.options.defaults.max_tokens = 50;
  GenerationParams params = read(context, "{}");
  EXPECT_EQ(make_generation(params, ids(100), {}, context.get())->request.max_tokens, 50);
  params.max_tokens = 60;
  EXPECT_EQ(make_generation(params, ids(100), {}, context.get())->request.max_tokens, 50);
}

TEST(MakeGenerationTest, WhatDoesNotFitIsRefusedWithTheNumbers) {
  TestContext context;
  GenerationParams params = read(context, "{}");
  const auto prompt = make_generation(params, ids(1000), {}, context.get());
  ASSERT_FALSE(prompt.ok());
  EXPECT_EQ(prompt.failure().param, "messages");
  EXPECT_NE(prompt.failure().message.find("1000 tokens"), std::string::npos) << prompt.failure().message;
  params.max_tokens = 901;
  const auto both = make_generation(params, ids(100), {}, context.get());
  ASSERT_FALSE(both.ok());
  EXPECT_EQ(both.failure().param, "max_tokens");
  for (const char* number : {"100", "901", "1001", "1000", "900"}) {
    EXPECT_NE(both.failure().message.find(number), std::string::npos) << both.failure().message;
  }
  EXPECT_FALSE(make_generation(read(context, "{}"), {}, {}, context.get()).ok());
}

TEST(MakeGenerationTest, PromptsAreCutOnTheSideAskedFor) {
  TestContext context;
  const auto left =
      make_generation(read(context, R"({"truncate_prompt_tokens": 3})"), {1, 2, 3, 4, 5}, {}, context.get());
  EXPECT_EQ(left->request.prompt, (std::vector<engine::TokenId>{3, 4, 5}));
  const auto right =
      make_generation(read(context, R"({"truncate_prompt_tokens": 3, "truncation_side": "right"})"),
                      {1, 2, 3, 4, 5}, {}, context.get());
  EXPECT_EQ(right->request.prompt, (std::vector<engine::TokenId>{1, 2, 3}));
  GenerationParams params = read(context, R"({"truncate_prompt_tokens": -1})");
  params.max_tokens = 10;
  EXPECT_EQ(make_generation(params, ids(5000), {}, context.get())->request.prompt.size(), 990u);
}

TEST(MakeGenerationTest, MinTokensMustBePossible) {
  TestContext context;
  GenerationParams params = read(context, R"({"min_tokens": 20})");
  params.max_tokens = 19;
  const auto result = make_generation(params, ids(5), {}, context.get());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.failure().param, "min_tokens");
}

}  // namespace
}  // namespace minimax::api
