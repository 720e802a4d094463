#include "model/shard.h"

#include <cstring>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

using testing::HasSubstr;

// So small that every element can be counted, with awkward numbers: an eighth of the expert width is 3, three
// quarters of a block; 37 vocabulary rows and 9 experts divide by nothing.
ModelShape toy_shape(int32_t kv_heads) {
  ModelShape shape;
  shape.hidden = 6;
  shape.layers = 1;
  shape.q_heads = 8;
  shape.kv_heads = kv_heads;
  shape.head_dim = 2;
  shape.experts = 9;
  shape.expert_width = 24;
  shape.vocab_rows = 37;
  shape.routing_bias = true;
  shape.qk_norm = true;
  shape.fp8_block_rows = 4;
  shape.fp8_block_cols = 4;
  return shape;
}

std::vector<ParallelLayout> layouts() {
  std::vector<ParallelLayout> all;
  for (const int32_t tp : {1, 2, 4, 8}) {
    for (const int32_t dp : {1, 2}) {
      for (const int32_t ep : {1, 2, 4, 8}) {
        if (tp * dp % ep == 0) all.push_back({tp, dp, ep});
      }
    }
  }
  return all;
}

std::string described(const ParallelLayout& layout, const std::string& name) {
  return fmt::format("tp {} dp {} ep {}: {}", layout.tp, layout.dp, layout.ep, name);
}

int64_t rows_of(const TensorSpec& spec) {
  return spec.shape[0];
}
int64_t cols_of(const TensorSpec& spec) {
  return spec.shape.size() == 2 ? spec.shape[1] : 1;
}

TEST(Shard, EveryElementIsHeldByExactlyTheRanksMeantToHoldIt) {
  int64_t checked = 0;
  for (const int32_t kv_heads : {1, 2, 4, 8}) {
    const ModelShape shape = toy_shape(kv_heads);
    const auto table = tensor_table(shape);
    for (const ParallelLayout& layout : layouts()) {
      check_layout(shape, layout);
      for (const TensorSpec& spec : table) {
        std::vector<int32_t> holders(static_cast<size_t>(rows_of(spec) * cols_of(spec)));
        for (int32_t rank = 0; rank < layout.ranks(); ++rank) {
          const Box box = box_of(spec, shape, layout, rank);
          ASSERT_GE(box.rows.begin, 0);
          ASSERT_GE(box.cols.begin, 0);
          ASSERT_LE(box.rows.end, rows_of(spec));
          ASSERT_LE(box.cols.end, cols_of(spec));
          for (int64_t row = box.rows.begin; row < box.rows.end; ++row) {
            for (int64_t col = box.cols.begin; col < box.cols.end; ++col)
              ++holders[static_cast<size_t>(row * cols_of(spec) + col)];
          }
        }
        for (const int32_t count : holders) {
          ++checked;
          if (spec.is_scale) {
            ASSERT_GE(count, copies_of(spec, shape, layout)) << described(layout, spec.name);
          } else {
            ASSERT_EQ(count, copies_of(spec, shape, layout)) << described(layout, spec.name);
          }
        }
      }
    }
  }
  EXPECT_GT(checked, 400'000);
}

TEST(Shard, ARankHoldsTheScaleOfEveryElementItHoldsAndNoOther) {
  const ModelShape shape = toy_shape(4);
  const auto table = tensor_table(shape);
  for (const ParallelLayout& layout : layouts()) {
    for (size_t i = 1; i < table.size(); ++i) {
      if (!table[i].is_scale) continue;
      ASSERT_EQ(table[i].name, table[i - 1].name + "_scale_inv");
      for (int32_t rank = 0; rank < layout.ranks(); ++rank) {
        const Box weight = box_of(table[i - 1], shape, layout, rank);
        const Box scale = box_of(table[i], shape, layout, rank);
        std::vector<bool> touched(static_cast<size_t>(rows_of(table[i]) * cols_of(table[i])));
        for (int64_t row = weight.rows.begin; row < weight.rows.end; ++row) {
          for (int64_t col = weight.cols.begin; col < weight.cols.end; ++col)
            touched[static_cast<size_t>(row / 4 * cols_of(table[i]) + col / 4)] = true;
        }
        for (int64_t row = 0; row < rows_of(table[i]); ++row) {
          for (int64_t col = 0; col < cols_of(table[i]); ++col)
            ASSERT_EQ(touched[static_cast<size_t>(row * cols_of(table[i]) + col)],
                      scale.rows.contains(row) && scale.cols.contains(col))
                << described(layout, table[i].name) << " rank " << rank;
        }
      }
    }
  }
}

TEST(Shard, EveryQueryHeadFindsItsKvHeadOnItsRank) {
  for (const int32_t kv_heads : {1, 2, 4, 8}) {
    const ModelShape shape = toy_shape(kv_heads);
    for (const ParallelLayout& layout : layouts()) {
      for (int32_t rank = 0; rank < layout.ranks(); ++rank) {
        const Range q = q_heads_of(shape, layout, rank);
        for (int64_t head = q.begin; head < q.end; ++head)
          EXPECT_TRUE(kv_heads_of(shape, layout, rank).contains(head * kv_heads / shape.q_heads));
      }
    }
  }
}

TEST(Shard, ExpertParallelSpreadsWholeExpertsEvenly) {
  const ModelShape shape = m2_shape();
  const ParallelLayout layout{.tp = 1, .dp = 8, .ep = 8};
  check_layout(shape, layout);
  for (int32_t rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(experts_of(shape, layout, rank), (Range{rank * 32, rank * 32 + 32}));
    EXPECT_EQ(expert_width_of(shape, layout, rank), (Range{0, 1536}));
    EXPECT_EQ(q_heads_of(shape, layout, rank), (Range{0, 48}));
  }
}

TEST(Shard, TensorParallelEightCutsBlocksAndSaysSoByPosition) {
  const ModelShape shape = m2_shape();
  const ParallelLayout layout{.tp = 8};
  check_layout(shape, layout);
  EXPECT_EQ(expert_width_of(shape, layout, 1), (Range{192, 384}));
  for (const TensorSpec& spec : tensor_table(shape)) {
    if (spec.name == "model.layers.0.block_sparse_moe.experts.0.w1.weight_scale_inv") {
      EXPECT_EQ(box_of(spec, shape, layout, 0), (Box{{0, 2}, {0, 24}}));
      EXPECT_EQ(box_of(spec, shape, layout, 1), (Box{{1, 3}, {0, 24}}));
      return;
    }
  }
  FAIL();
}

TEST(Shard, ImpossibleLayoutsAreRefusedByReason) {
  const auto error = [](const ParallelLayout& layout) -> std::string {
    try {
      check_layout(m2_shape(), layout);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error({.tp = 5}), HasSubstr("5 does not divide num_attention_heads, which is 48"));
  EXPECT_THAT(error({.tp = 5}), HasSubstr("Nearest that work: tensor parallel size 4, or 8."));
  EXPECT_THAT(error({.tp = 12, .ep = 12}), HasSubstr("Nearest that work: tensor parallel size 8, or 16."));
  EXPECT_THAT(error({.tp = 64}), HasSubstr("Nearest that works: tensor parallel size 48."));
  EXPECT_THAT(error({.tp = 3}), HasSubstr("3 does not divide num_key_value_heads, which is 8"));
  EXPECT_THAT(error({.tp = 12}), HasSubstr("num_key_value_heads 8 does not divide"));
  EXPECT_THAT(error({.tp = 0}), HasSubstr("at least 1"));
  EXPECT_THAT(error({.tp = 4, .ep = 3}), HasSubstr("Expert parallel size 3 does not divide"));
  EXPECT_THAT(error({.dp = 512, .ep = 512}), HasSubstr("more than num_local_experts"));
  EXPECT_THAT(error({.dp = 512, .ep = 512}), HasSubstr("Nearest that works: data parallel size 256."));
  EXPECT_THAT(error({.tp = 8, .dp = 64, .ep = 512}), HasSubstr("Nearest that works: tensor parallel size 4."));
  EXPECT_EQ(error({.tp = 16}), "") << "two ranks a KV head";
}

// What a rank's synthetic checkpoint holds, against the whole one cut by box_of: elements and scales, bit for
// bit, where no block is cut.
TEST(Shard, SynthesisedRankIsTheWholeCutByItsBoxes) {
  ModelShape shape = small_test_shape();
  shape.expert_width = 512;
  shape.q_heads = 8;
  const TestCheckpoint whole(shape, 5);
  for (const int32_t tp : {2, 4}) {
    const ParallelLayout layout{.tp = tp};
    for (int32_t rank = 0; rank < tp; ++rank) {
      SynthOptions options{.shape = shape, .seed = 5, .tp = tp, .rank = rank};
      const TestCheckpoint part(options);
      EXPECT_EQ(part.config().shape, shape_of_rank(shape, layout, rank));
      for (const TensorSpec& spec : tensor_table(shape)) {
        const Box box = box_of(spec, shape, layout, rank);
        const TensorView& from = *whole.checkpoint().find(spec.name);
        const TensorView& to = *part.checkpoint().find(spec.name);
        const size_t width = bytes_of(spec.dtype);
        ASSERT_EQ(to.bytes, static_cast<size_t>(box.elements()) * width) << spec.name;
        const auto run = static_cast<size_t>(box.cols.size()) * width;
        for (int64_t row = 0; row < box.rows.size(); ++row) {
          const auto at = static_cast<size_t>((box.rows.begin + row) * cols_of(spec) + box.cols.begin);
          ASSERT_EQ(std::memcmp(from.data + at * width, to.data + static_cast<size_t>(row) * run, run), 0)
              << spec.name << " rank " << rank << " row " << row;
        }
      }
    }
  }
}

TEST(Shard, ARankWhoseCutGoesThroughABlockStillStandsAlone) {
  const TestCheckpoint part(SynthOptions{.shape = small_test_shape(), .tp = 2, .rank = 1});
  EXPECT_EQ(part.config().shape.expert_width, 64);
  EXPECT_EQ(part.view().layers[0].experts[0].gate.scale_inv.shape, (std::vector<int64_t>{1, 2}));
}

}  // namespace
}  // namespace minimax::model
