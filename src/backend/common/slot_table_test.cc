#include "backend/common/slot_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/common/arithmetic.h"
#include "base/error.h"

namespace minimax::backend::common {
namespace {

using executor::SampleSpec;
using testing::ElementsAre;

SampleSpec with_penalty() {
  SampleSpec spec;
  spec.presence_penalty = 0.5f;
  return spec;
}

TEST(SlotTable, CountsPromptAndOutputApart) {
  SlotTable slots(2, 10);
  slots.open({1, {3, 5, 3, 7, 5}, 3, with_penalty()});
  EXPECT_THAT(slots.at(1).counts,
              ElementsAre(TokenCount{3, true, 0}, TokenCount{5, true, 1}, TokenCount{7, false, 1}));
  slots.append(1, 5);
  slots.append(1, 4);
  EXPECT_THAT(slots.at(1).counts, ElementsAre(TokenCount{3, true, 0}, TokenCount{4, false, 1},
                                              TokenCount{5, true, 2}, TokenCount{7, false, 1}));
  EXPECT_EQ(slots.at(1).output_tokens(), 4);
  EXPECT_EQ(slots.last_token(1), 4);
}

TEST(SlotTable, ResumedSlotEqualsTheOneThatGrew) {
  SlotTable slots(2, 10);
  slots.open({0, {1, 2}, 2, with_penalty()});
  for (const int token : {2, 2, 9}) slots.append(0, token);
  slots.open({1, slots.at(0).tokens, 2, with_penalty()});
  EXPECT_EQ(slots.at(0).counts, slots.at(1).counts);
  EXPECT_EQ(slots.at(0).output_tokens(), slots.at(1).output_tokens());
}

TEST(SlotTable, ForkTakesTheHistoryAndItsOwnSpec) {
  SlotTable slots(2, 10);
  executor::StepBatch batch;
  batch.slot_opens.push_back({0, {1, 2}, 2, {}});
  batch.slot_forks.push_back({0, 1, with_penalty()});
  slots.apply(batch);
  EXPECT_TRUE(slots.at(0).counts.empty());
  EXPECT_THAT(slots.at(1).counts, ElementsAre(TokenCount{1, true, 0}, TokenCount{2, true, 0}));
  slots.append(1, 3);
  EXPECT_THAT(slots.at(0).tokens, ElementsAre(1, 2));
}

TEST(SlotTable, ClosesComeBeforeOpensOfTheSameStep) {
  SlotTable slots(1, 10);
  slots.open({0, {1}, 1, {}});
  executor::StepBatch batch;
  batch.slot_closes.push_back(0);
  batch.slot_opens.push_back({0, {4}, 1, {}});
  slots.apply(batch);
  EXPECT_THAT(slots.at(0).tokens, ElementsAre(4));
}

TEST(SlotTableDeathTest, RefusesWhatTheEngineMustNotDo) {
  SlotTable slots(1, 10);
  slots.open({0, {1}, 1, {}});
  EXPECT_DEATH(slots.open({0, {1}, 1, {}}), "open");
  EXPECT_DEATH(slots.at(1), "open");
  EXPECT_DEATH(slots.append(0, 10), "10 vs 10");
  EXPECT_DEATH(slots.close(-1), "slot");
  slots.close(0);
  EXPECT_DEATH(slots.close(0), "open");
}

TEST(Arithmetic, NamesReadBackAndOthersAreRefusedByName) {
  for (const Arithmetic arithmetic : {Arithmetic::kBf16, Arithmetic::kW8a16, Arithmetic::kW8a8})
    EXPECT_EQ(parse_arithmetic(name_of(arithmetic)), arithmetic);
  try {
    parse_arithmetic("int4");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("int4"), testing::HasSubstr("w8a16")));
  }
}

}  // namespace
}  // namespace minimax::backend::common
