#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/test_ops.h"
#include "backend/ref/ops.h"

namespace minimax::backend::cpu {
namespace {

constexpr int32_t kBlock = 128;

// A random matrix of one kind, as kernels and oracle see it.
struct TestMatrix {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> bits;
  std::vector<float> floats;
  std::vector<float> scales;
  Matrix matrix;
  model::LinearView view;
  std::vector<float> magnitudes;  // |value| with its scale, [out, in]

  TestMatrix(WeightKind kind, int64_t out, int64_t in, Values& random) {
    matrix = {.out = out, .in = in, .block_rows = kBlock, .block_cols = kBlock, .kind = kind};
    view.weight.shape = {out, in};
    const auto value_of = [&](int64_t i) -> float {
      switch (kind) {
        case WeightKind::kF32:
          return floats[static_cast<size_t>(i)];
        case WeightKind::kBf16:
          return bf16_to_float(bits[static_cast<size_t>(i)]);
        default:
          return e4m3_to_float(codes[static_cast<size_t>(i)]) *
                 scales[static_cast<size_t>(i / in / kBlock * matrix.scale_cols() + i % in / kBlock)];
      }
    };
    if (kind == WeightKind::kF32) {
      floats = random.f32(out * in);
      matrix.data = reinterpret_cast<const std::byte*>(floats.data());
      view.weight.dtype = model::DType::kF32;
    } else if (kind == WeightKind::kBf16) {
      bits = to_bf16_bits(random.bf16(out * in));
      matrix.data = reinterpret_cast<const std::byte*>(bits.data());
      view.weight.dtype = model::DType::kBf16;
    } else {
      codes = random.e4m3(out * in);
      for (float& scale : scales = random.f32((out + kBlock - 1) / kBlock * matrix.scale_cols()))
        scale = 0.001f * (1.0f + std::fabs(scale));
      matrix.data = reinterpret_cast<const std::byte*>(codes.data());
      matrix.scales = scales.data();
      view.weight.dtype = model::DType::kE4m3;
      view.quantised = true;
      view.scale_inv.dtype = model::DType::kF32;
      view.scale_inv.shape = {(out + kBlock - 1) / kBlock, matrix.scale_cols()};
      view.scale_inv.data = reinterpret_cast<const std::byte*>(scales.data());
      view.scale_inv.bytes = scales.size() * sizeof(float);
    }
    view.weight.data = matrix.data;
    view.weight.bytes = static_cast<size_t>(out * in * matrix.element_bytes());
    for (int64_t i = 0; i < out * in; ++i) magnitudes.push_back(std::fabs(value_of(i)));
  }
};

// y of all rows of `matrix`, in the pieces of output rows that `cuts` say.
std::vector<float> run_linear(const Kernels& kernels, const Matrix& matrix, const PaddedRows& x,
                              const float* x_scales, int64_t rows, int64_t first_row, int64_t piece) {
  std::vector<float> y(static_cast<size_t>(rows * matrix.out), NAN);
  std::vector<uint16_t> scratch(static_cast<size_t>(kTileRows * round_up(matrix.in, kRowAlign)));
  LinearTask task{.weight = &matrix,
                  .rows = rows,
                  .x = x.row(first_row),
                  .x_stride = x.stride,
                  .x_scales = x_scales == nullptr ? nullptr : x_scales + first_row * matrix.scale_cols(),
                  .y_f32 = y.data(),
                  .y_stride = matrix.out,
                  .scratch = scratch.data()};
  for (int64_t row = 0; row < matrix.out; row += piece) {
    task.row_begin = row;
    task.row_end = std::min(row + piece, matrix.out);
    kernels.linear(task);
  }
  return y;
}

struct Shape {
  int64_t out, in;
};
// The model's proportions, and awkward ones: ragged blocks, fewer columns than a vector, odd tails.
constexpr Shape kShapes[] = {{64, 256}, {9, 384}, {5, 100}, {3, 7}, {130, 96}, {7, 200}, {1, 129}};
constexpr WeightKind kKinds[] = {WeightKind::kF32, WeightKind::kBf16, WeightKind::kE4m3};

// Error of a sum of products in f32, whatever its order: n * 2^-24 * sum |w x| (Higham, "Accuracy and
// Stability of Numerical Algorithms", section 3.1), n the longest chain of roundings. Lanes only shorten it.
TEST(Linear, AgreesWithTheOracleWithinTheErrorOfF32Sums) {
  Values random(1);
  for (const Isa isa : available_isas()) {
    for (const Shape shape : kShapes) {
      for (const WeightKind kind : kKinds) {
        const TestMatrix weight(kind, shape.out, shape.in, random);
        constexpr int64_t kRows = 7;
        const std::vector<float> values = random.bf16(kRows * shape.in);
        const PaddedRows x(values, shape.in);
        const std::vector<float> y =
            run_linear(kernels_of(isa), weight.matrix, x, nullptr, kRows, 0, shape.out);
        const std::vector<float> expected =
            ref::linear_f32(values, weight.view, {ref::Arithmetic::kW8a16, kBlock, kBlock});
        for (int64_t m = 0; m < kRows; ++m) {
          for (int64_t r = 0; r < shape.out; ++r) {
            double sum = 0;
            for (int64_t i = 0; i < shape.in; ++i)
              sum += static_cast<double>(weight.magnitudes[static_cast<size_t>(r * shape.in + i)]) *
                     std::fabs(values[static_cast<size_t>(m * shape.in + i)]);
            const double bound = (static_cast<double>(shape.in) + 8) * 0x1p-24 * sum;
            const auto at = static_cast<size_t>(m * shape.out + r);
            ASSERT_NEAR(y[at], expected[at], bound)
                << name_of(isa) << " kind " << static_cast<int>(kind) << " " << shape.out << "x" << shape.in
                << " row " << m << " out " << r;
          }
        }
      }
    }
  }
}

// The promise of kernels.h: the bits of a row do not depend on its company or on how the work was cut.
TEST(Linear, RowsHaveTheSameBitsInEveryBatchAndCut) {
  Values random(2);
  for (const Isa isa : available_isas()) {
    const Kernels& kernels = kernels_of(isa);
    for (const Shape shape : kShapes) {
      for (const WeightKind kind : kKinds) {
        const TestMatrix weight(kind, shape.out, shape.in, random);
        constexpr int64_t kRows = 13;
        const PaddedRows x(random.bf16(kRows * shape.in), shape.in);
        const std::vector<float> scales = random.f32(kRows * weight.matrix.scale_cols());
        for (const float* x_scales : {static_cast<const float*>(nullptr), scales.data()}) {
          if (x_scales != nullptr && kind != WeightKind::kE4m3) continue;
          const std::vector<float> alone = [&] {
            std::vector<float> out;
            for (int64_t m = 0; m < kRows; ++m) {
              const auto row = run_linear(kernels, weight.matrix, x, x_scales, 1, m, 4);
              out.insert(out.end(), row.begin(), row.end());
            }
            return out;
          }();
          for (const int64_t rows : {1, 2, 3, 4, 5, 8, 13}) {
            for (const int64_t piece : {4, 12, 1024}) {
              const auto y = run_linear(kernels, weight.matrix, x, x_scales, rows, kRows - rows, piece);
              const auto first = alone.end() - rows * shape.out;
              ASSERT_TRUE(std::equal(y.begin(), y.end(), first, alone.end()))
                  << name_of(isa) << " kind " << static_cast<int>(kind) << " " << shape.out << "x" << shape.in
                  << " rows " << rows << " piece " << piece;
            }
          }
        }
      }
    }
  }
}

TEST(Linear, WidensEveryE4m3CodeExactly) {
  // One column of each code against x = 1: y is the value itself.
  for (const Isa isa : available_isas()) {
    std::vector<uint8_t> codes(256);
    for (int i = 0; i < 256; ++i) codes[static_cast<size_t>(i)] = static_cast<uint8_t>(i);
    const std::vector<float> scale = {1.0f};
    const Matrix matrix{.data = reinterpret_cast<const std::byte*>(codes.data()),
                        .scales = scale.data(),
                        .out = 256,
                        .in = 1,
                        .block_rows = 256,
                        .block_cols = 64,
                        .kind = WeightKind::kE4m3};
    for (const int64_t rows : {1, 6}) {  // in registers, and through scratch
      const PaddedRows x(std::vector<float>(static_cast<size_t>(rows), 1.0f), 1);
      const std::vector<float> y = run_linear(kernels_of(isa), matrix, x, nullptr, rows, 0, 256);
      for (int i = 0; i < 256; ++i) {
        const float expected = e4m3_to_float(static_cast<uint8_t>(i));
        if (std::isnan(expected)) {
          EXPECT_TRUE(std::isnan(y[static_cast<size_t>(i)])) << name_of(isa) << " code " << i;
        } else {
          EXPECT_EQ(y[static_cast<size_t>(i)], expected) << name_of(isa) << " code " << i;
        }
      }
    }
  }
}

TEST(Linear, GathersAndScattersRows) {
  Values random(3);
  const TestMatrix weight(WeightKind::kBf16, 8, 64, random);
  const PaddedRows x(random.bf16(6 * 64), 64);
  for (const Isa isa : available_isas()) {
    const auto all = run_linear(kernels_of(isa), weight.matrix, x, nullptr, 6, 0, 8);
    const std::vector<int32_t> from = {4, 0, 5}, to = {2, 1, 0};
    PaddedRows y(3, 8);
    LinearTask task{.weight = &weight.matrix,
                    .row_end = 8,
                    .rows = 3,
                    .x = x.row(0),
                    .x_stride = x.stride,
                    .x_index = from.data(),
                    .y_bf16 = y.row(0),
                    .y_stride = y.stride,
                    .y_index = to.data()};
    kernels_of(isa).linear(task);
    for (size_t i = 0; i < 3; ++i)
      for (int64_t r = 0; r < 8; ++r)
        EXPECT_EQ(y.row(to[i])[r], float_to_bf16(all[static_cast<size_t>(from[i] * 8 + r)]));
  }
}

}  // namespace
}  // namespace minimax::backend::cpu
