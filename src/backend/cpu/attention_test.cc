// The attention kernels over a KV pool against the oracle's attention, and what lies in the pool's bytes.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kv.h"
#include "backend/cpu/test_ops.h"
#include "backend/ref/forward.h"

namespace minimax::backend::cpu {
namespace {

using common::KvDtype;

constexpr int32_t kBlockTokens = 32;

model::ModelShape shape_of(int32_t q_heads, int32_t head_dim) {
  model::ModelShape shape;
  shape.layers = 2;
  shape.q_heads = q_heads;
  shape.kv_heads = 2;
  shape.head_dim = head_dim;
  return shape;
}

// `keys` positions of random K and V in layer 1, and queries of the last `rows` of them.
struct Scene {
  model::ModelShape shape;
  KvDtype dtype;
  int32_t keys, rows;
  std::vector<float> k, v, q;
  std::vector<executor::BlockId> table;

  Scene(const model::ModelShape& own_shape, KvDtype own_dtype, int32_t own_keys, int32_t own_rows)
      : shape(own_shape), dtype(own_dtype), keys(own_keys), rows(own_rows) {
    Values values(17);
    k = values.bf16(int64_t{keys} * shape.kv_width(), 2.0f);
    v = values.bf16(int64_t{keys} * shape.kv_width());
    q = values.bf16(int64_t{rows} * shape.q_width());
    const int32_t blocks = (keys + kBlockTokens - 1) / kBlockTokens;
    for (int32_t i = 0; i < blocks; ++i) table.push_back((i * 5 + 2) % (blocks + 3));
    if (blocks % 5 == 2) std::iota(table.begin(), table.end(), 1);  // where steps of 5 would meet again
  }
  int32_t pool_blocks() const { return static_cast<int32_t>(table.size()) + 3; }
  int32_t first_position() const { return keys - rows; }

  std::vector<float> oracle() const {
    ref::KvCache cache(shape, kBlockTokens, pool_blocks(), dtype);
    std::vector<ref::RowPlace> places, last;
    for (int32_t i = 0; i < keys; ++i) places.push_back({i, table});
    ref::write_kv(k, v, places, cache.layer(1));
    for (int32_t i = first_position(); i < keys; ++i) last.push_back({i, table});
    return ref::attention(q, last, cache.layer(1), shape.q_heads, shape.kv_heads, shape.head_dim);
  }

  void fill(const KvPool& pool, std::vector<float> own_k, std::vector<float> own_v) const {
    const std::vector<uint16_t> k_bits = to_bf16_bits(own_k), v_bits = to_bf16_bits(own_v);
    for (int32_t i = 0; i < keys; ++i)
      pool.write(1, table[static_cast<size_t>(i / kBlockTokens)], i % kBlockTokens,
                 k_bits.data() + int64_t{i} * shape.kv_width(),
                 v_bits.data() + int64_t{i} * shape.kv_width());
  }

  std::vector<float> attend(const KvPool& pool, const Kernels& kernels) const {
    const int32_t heads = shape.q_heads / shape.kv_heads, dim = shape.head_dim;
    const int64_t floats = state_floats(dim);
    std::vector<float> scratch(static_cast<size_t>(attention_scratch_floats(heads))), part, whole;
    std::vector<uint16_t> widened(static_cast<size_t>(widened_tile_values(dim)));
    const PaddedRows queries(q, shape.q_width());
    PaddedRows out(rows, shape.q_width());
    for (int32_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      part.assign(static_cast<size_t>(int64_t{rows} * heads * floats), 0.0f);
      whole = part;
      for (int64_t i = 0; i < int64_t{rows} * heads; ++i)
        whole[static_cast<size_t>(i * floats)] = -std::numeric_limits<float>::infinity();
      for (int32_t begin = 0; begin < keys; begin += kKeySplit) {
        kernels.attention(
            {.q = queries.row(0) + int64_t{kv_head} * heads * dim,
             .q_stride = queries.stride,
             .rows = rows,
             .heads = heads,
             .head_dim = dim,
             .first_position = first_position(),
             .key_begin = begin,
             .key_end = std::min(begin + kKeySplit, keys),
             .scale_log2 = static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(dim))),
             .pool = pool.base(1, kv_head),
             .fp8 = dtype == KvDtype::kFp8,
             .block_stride = pool.block_stride(),
             .block_table = table.data(),
             .block_tokens = kBlockTokens,
             .state = part.data(),
             .scratch = scratch.data(),
             .widened = widened.data()});
        for (int64_t i = 0; i < int64_t{rows} * heads; ++i)
          kernels.merge_attention(whole.data() + i * floats, part.data() + i * floats, dim);
      }
      for (int64_t i = 0; i < int64_t{rows} * heads; ++i)
        kernels.finish_attention(whole.data() + i * floats, dim,
                                 out.row(i / heads) + (int64_t{kv_head} * heads + i % heads) * dim);
    }
    return out.values();
  }
};

std::vector<Scene> scenes() {
  std::vector<Scene> all;
  for (const KvDtype dtype : {KvDtype::kBf16, KvDtype::kFp8}) {
    all.emplace_back(shape_of(2, 128), dtype, 1, 1);
    all.emplace_back(shape_of(12, 128), dtype, 77, 1);  // six query heads a KV head, as the family has
    all.emplace_back(shape_of(12, 128), dtype, 1100, 1);
    all.emplace_back(shape_of(12, 128), dtype, 600, 8);
    all.emplace_back(shape_of(14, 48), dtype, 130, 3);
    all.emplace_back(shape_of(4, 32), dtype, 70, 70);
  }
  return all;
}

// Both round the same real number to bf16, which f32 sums know to about 2^-18 of the terms' size here.
TEST(CpuAttention, AgreesWithTheOracleOnEveryInstructionSet) {
  for (const Scene& scene : scenes()) {
    const std::vector<float> oracle = scene.oracle();
    KvPool pool(scene.shape, kBlockTokens, scene.pool_blocks(), scene.dtype);
    scene.fill(pool, scene.k, scene.v);
    for (const Isa isa : available_isas()) {
      SCOPED_TRACE(fmt::format("{}, KV in {}, {} keys, {} rows", name_of(isa), model::name_of(scene.dtype),
                               scene.keys, scene.rows));
      const std::vector<float> own = scene.attend(pool, kernels_of(isa));
      ASSERT_EQ(own.size(), oracle.size());
      int64_t unequal = 0;
      for (size_t i = 0; i < own.size(); ++i) {
        const double largest = std::max(std::fabs(own[i]), std::fabs(oracle[i]));
        ASSERT_LE(std::fabs(own[i] - oracle[i]), std::ldexp(largest, -7) + 0x1p-16) << i;
        unequal += own[i] != oracle[i];
      }
      EXPECT_LE(unequal, std::ssize(own) / 50 + 1);
    }
  }
}

// A block that another sequence has left: what lies behind the last key is no value of this one.
TEST(CpuAttention, WhatLiesBehindTheLastKeyIsNotSeen) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const KvDtype dtype : {KvDtype::kBf16, KvDtype::kFp8}) {
    const Scene scene(shape_of(12, 128), dtype, 77, 1);
    Scene before(scene.shape, dtype, 96, 1);  // the same blocks, to their end
    before.table = scene.table;
    for (const Isa isa : available_isas()) {
      SCOPED_TRACE(fmt::format("{}, KV in {}", name_of(isa), model::name_of(dtype)));
      KvPool fresh(scene.shape, kBlockTokens, scene.pool_blocks(), dtype);
      KvPool used(scene.shape, kBlockTokens, scene.pool_blocks(), dtype);
      before.fill(used, std::vector<float>(before.k.size(), nan), std::vector<float>(before.v.size(), nan));
      for (const KvPool* pool : {&fresh, &used}) scene.fill(*pool, scene.k, scene.v);
      EXPECT_EQ(scene.attend(used, kernels_of(isa)), scene.attend(fresh, kernels_of(isa)));
    }
  }
}

// A NaN or an infinity in one head of one token: the other head's attention keeps its bits.
TEST(CpuAttention, BadValuesStayInTheirHead) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const Scene scene(shape_of(4, 64), KvDtype::kFp8, 90, 1);
    std::vector<float> k = scene.k;
    k[40 * 128 + 5] = bad;  // token 40, head 0
    KvPool clean(scene.shape, kBlockTokens, scene.pool_blocks(), KvDtype::kFp8);
    KvPool dirty(scene.shape, kBlockTokens, scene.pool_blocks(), KvDtype::kFp8);
    scene.fill(clean, scene.k, scene.v);
    scene.fill(dirty, k, scene.v);
    for (const Isa isa : available_isas()) {
      SCOPED_TRACE(name_of(isa));
      const std::vector<float> a = scene.attend(clean, kernels_of(isa));
      const std::vector<float> b = scene.attend(dirty, kernels_of(isa));
      EXPECT_THAT(std::vector(b.begin(), b.begin() + 128), testing::Each(testing::IsNan()));
      EXPECT_TRUE(std::equal(a.begin() + 128, a.end(), b.begin() + 128));
    }
  }
}

TEST(KvPool, ABlockInFp8TakesAByteAValueAndAScaleAHead) {
  const model::ModelShape shape = shape_of(4, 128);
  EXPECT_EQ(KvPool::block_bytes(shape, 16), 2 * 2 * 2 * 16 * 128 * 2);
  EXPECT_EQ(KvPool::block_bytes(shape, 16, KvDtype::kFp8), 2 * 2 * 2 * 16 * (128 + 4));
  EXPECT_EQ(KvPool(shape, 16, 3, KvDtype::kFp8).bytes(), 3 * KvPool::block_bytes(shape, 16, KvDtype::kFp8));
}

TEST(KvPool, ACopyIsTheBlockInEveryLayerAndHead) {
  for (const KvDtype dtype : {KvDtype::kBf16, KvDtype::kFp8}) {
    const Scene scene(shape_of(4, 64), dtype, 40, 1);
    KvPool pool(scene.shape, kBlockTokens, scene.pool_blocks() + 1, dtype);
    scene.fill(pool, scene.k, scene.v);
    const executor::BlockId free = scene.pool_blocks();
    pool.copy({scene.table[1], free});
    Scene copied = scene;
    copied.table[1] = free;
    EXPECT_EQ(copied.attend(pool, kernels_of(Isa::kScalar)), scene.attend(pool, kernels_of(Isa::kScalar)));
  }
}

}  // namespace
}  // namespace minimax::backend::cpu
