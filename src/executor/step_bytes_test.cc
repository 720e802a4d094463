#include "executor/step_bytes.h"

#include <random>

#include <gtest/gtest.h>

#include "base/error.h"

namespace minimax::executor {
namespace {

SampleSpec spec() {
  return {.temperature = 0.5f,
          .top_p = 0.25f,
          .min_p = 0.125f,
          .top_k = 3,
          .repetition_penalty = 1.5f,
          .frequency_penalty = -1,
          .presence_penalty = 2,
          .seed = 0x123456789ABCDEF0,
          .sample_idx = 4,
          .min_tokens = 5,
          .stop_ids = {6, 7},
          .logit_bias = {{8, 0.75f}},
          .allowed_ids = {9, 10, 11},
          .bad_words = {{12}, {}, {13, 14}},
          .logprobs = 15};
}

StepBatch batch() {
  StepBatch out;
  out.slot_closes = {1, 2};
  out.slot_opens = {{.slot = 3, .tokens = {4, 5, 6}, .prompt_tokens = 2, .spec = spec()}, {}};
  out.slot_forks = {{.src = 7, .dst = 8, .spec = spec()}};
  out.block_copies = {{9, 10}};
  out.sequences = {{11, 12, 13, 14, 15, 16}};
  out.row_tokens = {17, kLastSampledToken};
  out.block_table = {18};
  out.samples = {{19, 20, 21, 22}};
  out.prompt_scores = {{23, 24, 25}};
  out.masks = {26, 0xFFFFFFFF};
  return out;
}

std::vector<std::byte> bytes_of(const StepBatch& batch) {
  std::vector<std::byte> out;
  to_bytes({31, 32}, batch, out);
  return out;
}

TEST(StepBytes, SayAllOfAStep) {
  StepBatch read;
  std::vector<TokenId> drawn;
  read.masks = {1, 2, 3};  // of an earlier step
  from_bytes(bytes_of(batch()), drawn, read);
  EXPECT_EQ(drawn, (std::vector<TokenId>{31, 32}));
  EXPECT_EQ(read.slot_closes, batch().slot_closes);
  ASSERT_EQ(read.slot_opens.size(), 2u);
  EXPECT_EQ(read.slot_opens[0].slot, 3);
  EXPECT_EQ(read.slot_opens[0].tokens, (std::vector<TokenId>{4, 5, 6}));
  EXPECT_EQ(read.slot_opens[0].prompt_tokens, 2);
  for (const SampleSpec* own : {&read.slot_opens[0].spec, &read.slot_forks.at(0).spec}) {
    EXPECT_EQ(own->temperature, 0.5f);
    EXPECT_EQ(own->top_p, 0.25f);
    EXPECT_EQ(own->min_p, 0.125f);
    EXPECT_EQ(own->top_k, 3);
    EXPECT_EQ(own->repetition_penalty, 1.5f);
    EXPECT_EQ(own->frequency_penalty, -1);
    EXPECT_EQ(own->presence_penalty, 2);
    EXPECT_EQ(own->seed, 0x123456789ABCDEF0u);
    EXPECT_EQ(own->sample_idx, 4);
    EXPECT_EQ(own->min_tokens, 5);
    EXPECT_EQ(own->stop_ids, (std::vector<TokenId>{6, 7}));
    EXPECT_EQ(own->logit_bias.at(0).token, 8);
    EXPECT_EQ(own->logit_bias.at(0).bias, 0.75f);
    EXPECT_EQ(own->allowed_ids, (std::vector<TokenId>{9, 10, 11}));
    EXPECT_EQ(own->bad_words, (std::vector<std::vector<TokenId>>{{12}, {}, {13, 14}}));
    EXPECT_EQ(own->logprobs, 15);
  }
  EXPECT_EQ(read.slot_forks[0].src, 7);
  EXPECT_EQ(read.slot_forks[0].dst, 8);
  EXPECT_EQ(read.block_copies.at(0).dst, 10);
  EXPECT_EQ(read.sequences.at(0).block_count, 16);
  EXPECT_EQ(read.row_tokens, batch().row_tokens);
  EXPECT_EQ(read.block_table, batch().block_table);
  EXPECT_EQ(read.samples.at(0).mask_idx, 22);
  EXPECT_EQ(read.prompt_scores.at(0).top_k, 25);
  EXPECT_EQ(read.masks, batch().masks);
  EXPECT_EQ(bytes_of(read), bytes_of(batch()));
}

TEST(StepBytes, WhatIsNoStepIsRefused) {
  const std::vector<std::byte> whole = bytes_of(batch());
  StepBatch read;
  std::vector<TokenId> drawn;
  for (size_t bytes = 0; bytes < whole.size(); ++bytes)
    EXPECT_THROW(from_bytes(std::span(whole).first(bytes), drawn, read), Error) << bytes;
  std::vector<std::byte> longer = whole;
  longer.push_back({});
  EXPECT_THROW(from_bytes(longer, drawn, read), Error);
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::byte> spoilt = whole;
    for (int n = 0; n < 3; ++n) spoilt[random() % spoilt.size()] = static_cast<std::byte>(random());
    try {
      from_bytes(spoilt, drawn, read);
    } catch (const Error&) {  // or read as another step: sizes are all it knows
    }
  }
}

}  // namespace
}  // namespace minimax::executor
