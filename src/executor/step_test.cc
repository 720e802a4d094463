#include "executor/step.h"

#include <functional>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/fake.h"

namespace minimax::executor {
namespace {

using testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Two sequences with all there is: a prompt of 5 in blocks 0 and 1, forked to slot 2, and a decode row.
StepBatch good_batch() {
  StepBatch batch;
  batch.slot_closes = {1};
  batch.slot_opens = {{.slot = 1, .tokens = {1, 2, 3, 4, 5}, .prompt_tokens = 5, .spec = {}}};
  batch.slot_forks = {{.src = 1, .dst = 2, .spec = {}}};
  batch.block_copies = {{.src = 7, .dst = 2}};
  batch.sequences = {
      {.slot = 1, .row_begin = 0, .row_count = 5, .first_position = 0, .block_begin = 0, .block_count = 2},
      {.slot = 0, .row_begin = 5, .row_count = 1, .first_position = 3, .block_begin = 2, .block_count = 1}};
  batch.row_tokens = {1, 2, 3, 4, 5, kLastSampledToken};
  batch.block_table = {0, 1, 2};
  batch.samples = {{.row = 4, .slot = 1},
                   {.row = 4, .slot = 2},
                   {.row = 5, .slot = 0, .output_position = 1, .mask_idx = 0}};
  batch.prompt_scores = {{.row = 0, .token = 2, .top_k = 1}};
  batch.masks = {1, 0};
  return batch;
}

TEST(FindViolation, AGoodBatchAndAnEmptyOneHaveNone) {
  EXPECT_EQ(find_violation(good_batch(), fake_limits()), "");
  EXPECT_EQ(find_violation(StepBatch{}, fake_limits()), "");
}

struct Case {
  std::function<void(StepBatch&)> spoil;
  std::string sentence;  // a part of it
};

void expect_sentences(const std::vector<Case>& cases) {
  for (const Case& wrong : cases) {
    StepBatch batch = good_batch();
    wrong.spoil(batch);
    EXPECT_THAT(find_violation(batch, fake_limits()), HasSubstr(wrong.sentence));
  }
}

TEST(FindViolation, SlotsExistAndBeginOnce) {
  expect_sentences({
      {[](StepBatch& b) { b.slot_closes = {8}; }, "closes slot 8, which does not exist"},
      {[](StepBatch& b) { b.slot_closes = {-1}; }, "closes slot -1, which does not exist"},
      {[](StepBatch& b) {
         b.slot_closes = {1, 1};
       },
       "closes slot 1 twice"},
      {[](StepBatch& b) { b.slot_opens[0].slot = 8; }, "opens slot 8, which does not exist"},
      {[](StepBatch& b) { b.slot_opens.push_back(b.slot_opens[0]); }, "opens slot 1 twice"},
      {[](StepBatch& b) { b.slot_opens[0].prompt_tokens = 6; }, "6 prompt tokens of 5"},
      {[](StepBatch& b) { b.slot_opens[0].prompt_tokens = 0; }, "0 prompt tokens of 5"},
      {[](StepBatch& b) { b.slot_opens[0].tokens[0] = 50; }, "token 50 is outside the vocabulary"},
      {[](StepBatch& b) { b.slot_opens[0].tokens.resize(65); }, "more than the context of 64"},
      {[](StepBatch& b) { b.slot_forks[0].src = 2; }, "forks slot 2 to 2"},
      {[](StepBatch& b) {
         b.slot_forks.push_back({3, 2, {}});
       },
       "forks to slot 2, which begins twice"},
      {[](StepBatch& b) {
         b.slot_forks.push_back({2, 1, {}});
       },
       "forks to slot 1, which begins twice"},
  });
}

TEST(FindViolation, BlocksExistAndHaveOneWriter) {
  expect_sentences({
      {[](StepBatch& b) { b.block_copies[0].dst = 16; }, "copies block 7 to 16"},
      {[](StepBatch& b) { b.block_copies[0].dst = 7; }, "copies block 7 to 7"},
      {[](StepBatch& b) {
         b.block_copies.push_back({5, 2});
       },
       "copies to block 2 twice"},
      {[](StepBatch& b) {
         b.block_copies.push_back({2, 6});
       },
       "copies block 2, which is itself a target"},
      {[](StepBatch& b) { b.block_table[1] = 16; }, "block 16 does not exist"},
      {[](StepBatch& b) { b.block_table[2] = 1; }, "block 1 is written twice"},
  });
}

TEST(FindViolation, RowsFollowEachOtherAndLieInTheirBlocks) {
  expect_sentences({
      {[](StepBatch& b) { b.row_tokens.resize(17); }, "17 rows, more than 16"},
      {[](StepBatch& b) { b.sequences.resize(9); }, "9 sequences, more than 8"},
      {[](StepBatch& b) { b.row_tokens.push_back(1); }, "sequences have 6 rows, but there are 7"},
      {[](StepBatch& b) { b.sequences[1].row_begin = 4; }, "do not follow row 5"},
      {[](StepBatch& b) { b.sequences[1].row_count = 0; }, "do not follow row 5"},
      {[](StepBatch& b) { b.sequences[1].slot = 1; }, "slot 1 has two sequences of rows"},
      {[](StepBatch& b) { b.sequences[1].slot = 8; }, "rows of slot 8, which does not exist"},
      {[](StepBatch& b) { b.slot_closes.push_back(0); }, "rows of slot 0, which this step closes"},
      {[](StepBatch& b) { b.sequences[1].first_position = 64; }, "leave the context of 64"},
      {[](StepBatch& b) { b.sequences[1].first_position = -1; }, "leave the context of 64"},
      {[](StepBatch& b) { b.sequences[1].first_position = 4; }, "1 blocks of 4 do not cover 5 positions"},
      {[](StepBatch& b) { b.sequences[1].block_count = 2; }, "leaves the table of 3"},
      {[](StepBatch& b) { b.row_tokens[0] = -2; }, "row token -2 is outside the vocabulary"},
      {[](StepBatch& b) { b.row_tokens[0] = kLastSampledToken; }, "but other rows follow"},
  });
}

TEST(FindViolation, SamplesAndScoresNameRowsSlotsAndMasks) {
  expect_sentences({
      {[](StepBatch& b) { b.samples[0].row = 6; }, "samples row 6 of 6"},
      {[](StepBatch& b) { b.samples[0].slot = 9; }, "samples for slot 9, which does not exist"},
      {[](StepBatch& b) { b.samples[1].slot = 1; }, "samples twice for slot 1"},
      {[](StepBatch& b) { b.samples[0].output_position = -1; }, "output position -1"},
      {[](StepBatch& b) { b.samples[0].mask_idx = 1; }, "mask 1 of 1"},
      {[](StepBatch& b) { b.masks.pop_back(); }, "no multiple of 2"},
      {[](StepBatch& b) { b.prompt_scores[0].row = -1; }, "scores row -1 of 6"},
      {[](StepBatch& b) { b.prompt_scores[0].token = 50; }, "scored token 50"},
      {[](StepBatch& b) { b.prompt_scores[0].top_k = 6; }, "top_k 6 is outside [0, 5]"},
      {[](StepBatch& b) { b.prompt_scores.resize(14); }, "3 samples and 14 prompt scores, more than 16"},
  });
}

TEST(FindViolation, SpecsAreFiniteAndWithinTheTables) {
  const auto spec = [](std::function<void(SampleSpec&)> spoil) {
    return [spoil](StepBatch& b) { spoil(b.slot_opens[0].spec); };
  };
  expect_sentences({
      {spec([](SampleSpec& s) { s.temperature = -1; }), "temperature -1"},
      {spec([](SampleSpec& s) { s.temperature = kNan; }), "temperature nan"},
      {spec([](SampleSpec& s) { s.top_p = 0; }), "top_p 0"},
      {spec([](SampleSpec& s) { s.top_p = kNan; }), "top_p nan"},
      {spec([](SampleSpec& s) { s.min_p = 2; }), "min_p 2"},
      {spec([](SampleSpec& s) { s.top_k = -1; }), "top_k -1"},
      {spec([](SampleSpec& s) { s.repetition_penalty = 0; }), "repetition_penalty 0"},
      {spec([](SampleSpec& s) { s.frequency_penalty = kNan; }), "frequency_penalty nan"},
      {spec([](SampleSpec& s) { s.presence_penalty = kNan; }), "presence_penalty nan"},
      {spec([](SampleSpec& s) { s.sample_idx = -1; }), "sample_idx -1"},
      {spec([](SampleSpec& s) { s.min_tokens = -1; }), "min_tokens -1"},
      {spec([](SampleSpec& s) { s.logprobs = 6; }), "logprobs 6 is outside [-1, 5]"},
      {spec([](SampleSpec& s) { s.stop_ids = {50}; }), "stop id 50"},
      {spec([](SampleSpec& s) { s.stop_ids.resize(129); }), "129 stop ids, more than 128"},
      {spec([](SampleSpec& s) {
         s.logit_bias = {{50, 1}};
       }),
       "logit bias token 50"},
      {spec([](SampleSpec& s) {
         s.logit_bias = {{1, kNan}};
       }),
       "logit bias nan of token 1"},
      {spec([](SampleSpec& s) { s.logit_bias.resize(1025); }), "1025 logit biases, more than 1024"},
      {spec([](SampleSpec& s) { s.allowed_ids = {-1}; }), "allowed id -1"},
      {spec([](SampleSpec& s) { s.bad_words = {{}}; }), "a bad word is empty"},
      {spec([](SampleSpec& s) { s.bad_words = {{50}}; }), "bad word token 50"},
      {spec([](SampleSpec& s) { s.bad_words = {std::vector<TokenId>(4097)}; }), "4097 tokens of bad words"},
  });
}

TEST(FindViolation, LimitsMustNotContradictThemselves) {
  const auto sentence = [](int32_t Limits::*field, int32_t value) {
    Limits limits = fake_limits();
    limits.*field = value;
    return find_violation(limits);
  };
  EXPECT_EQ(find_violation(fake_limits()), "");
  EXPECT_THAT(find_violation(Limits{}), HasSubstr("block_tokens is 0"));
  EXPECT_THAT(sentence(&Limits::pipeline_depth, 0), HasSubstr("pipeline_depth is 0"));
  EXPECT_THAT(sentence(&Limits::context_tokens_max, 1), HasSubstr("context_tokens_max is 1"));
  EXPECT_THAT(sentence(&Limits::mask_words, 1), HasSubstr("a vocabulary of 50 takes 2"));
  EXPECT_THAT(sentence(&Limits::mask_words, 3), HasSubstr("a vocabulary of 50 takes 2"));
  EXPECT_THAT(sentence(&Limits::logprobs_max, 51), HasSubstr("logprobs_max 51"));
}

TEST(StepBatch, ClearLeavesNothing) {
  StepBatch batch = good_batch();
  batch.clear();
  EXPECT_EQ(find_violation(batch, fake_limits()), "");
  EXPECT_TRUE(batch.slot_closes.empty() && batch.slot_opens.empty() && batch.slot_forks.empty() &&
              batch.block_copies.empty() && batch.sequences.empty() && batch.row_tokens.empty() &&
              batch.block_table.empty() && batch.samples.empty() && batch.prompt_scores.empty() &&
              batch.masks.empty());
}

}  // namespace
}  // namespace minimax::executor
