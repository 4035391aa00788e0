// The products of many rows, carried out by the emulation, against sums in double of what the packed weights mean.
#include "compute/cuda/multiply_many.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "compute/cuda/packed_test_support.h"

namespace compute::cuda {
namespace {

using namespace test;
using quant::Type;

// Rows of halves whose stride has room beyond the weights' columns, zero there; more rows follow that must not matter.
struct Activations {
  Activations(std::size_t rows_, std::size_t cols, std::mt19937& random)
      : rows(rows_), stride(round_up(cols, tile_cols) + tile_cols), halves((rows + 3) * stride) {
    std::uniform_real_distribution<float> distribution(-1, 1);
    for (std::size_t r = 0; r < rows + 3; ++r) {
      for (std::size_t c = 0; c < (r < rows ? cols : stride); ++c) {
        halves[r * stride + c] = r < rows ? __float2half(distribution(random)) : __float2half(NAN);
      }
    }
  }
  Input input() const { return {rows, halves.data(), stride}; }
  float at(std::size_t row, std::size_t col) const { return __half2float(halves[row * stride + col]); }

  std::size_t rows;
  std::size_t stride;
  std::vector<__half> halves;
};

struct Sum {
  double value = 0;
  double magnitude = 0;  // the sum of its terms' magnitudes
};

Sum dot(const RandomWeight& weight, std::size_t row, const Activations& x, std::size_t activation) {
  Sum sum;
  for (std::size_t c = 0; c < weight.matrix.padded_cols(); ++c) {
    const double term = static_cast<double>(weight.at(row, c)) * static_cast<double>(x.at(activation, c));
    sum.value += term;
    sum.magnitude += std::abs(term);
  }
  return sum;
}

// Sums of a few thousand products in float.
double bound(const Sum& sum) { return sum.magnitude * 0x1p-18 + 1e-9; }

class Workspace {
 public:
  Workspace() : bytes_(many_workspace_bytes() / sizeof(uint4)) {}
  void* data() { return bytes_.data(); }
  bool used() const {
    return std::any_of(bytes_.begin(), bytes_.end(), [](const uint4& v) { return (v.x | v.y | v.z | v.w) != 0; });
  }

 private:
  std::vector<uint4> bytes_;
};

struct Shape {
  Type type;
  std::size_t rows;
  bool add;
};

constexpr float untouched = 12345;

void check_products(std::span<const Shape> shapes, std::size_t cols, std::size_t rows, float scale,
                    Instructions instructions, std::size_t gap = 1, bool cut = false, ManyPlan plan = {}) {
  std::mt19937 random(static_cast<unsigned>(cols * 1000 + rows));
  const Activations x(rows, cols, random);
  std::vector<RandomWeight> weights;
  std::vector<std::vector<float>> outputs;
  for (const Shape& shape : shapes) {
    weights.emplace_back(shape.type, shape.rows, cols, random);
    outputs.emplace_back((rows + 1) * (shape.rows + gap), untouched);
  }
  std::vector<OutputProduct> products;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    products.push_back({weights[i].matrix, outputs[i].data(), shapes[i].rows + gap, shapes[i].add});
  }
  Workspace workspace;
  multiply_many(nullptr, x.input(), products, scale, workspace.data(), instructions, plan);
  // A second time, with the workspace as it was left, it gives the same bits.
  const auto first = outputs;
  for (auto& output : outputs) std::fill(output.begin(), output.end(), untouched);
  multiply_many(nullptr, x.input(), products, scale, workspace.data(), instructions, plan);
  ASSERT_EQ(first, outputs);
  ASSERT_EQ(workspace.used(), cut);

  for (std::size_t i = 0; i < shapes.size(); ++i) {
    SCOPED_TRACE("product " + std::to_string(i) + ": " + std::to_string(shapes[i].rows) + " x " + std::to_string(cols) +
                 ", " + std::to_string(rows) + " rows");
    const std::size_t stride = shapes[i].rows + gap;
    for (std::size_t a = 0; a <= rows; ++a) {
      for (std::size_t r = 0; r < stride; ++r) {
        const float y = outputs[i][a * stride + r];
        if (a == rows || r >= shapes[i].rows) {
          ASSERT_EQ(y, untouched) << "row " << a << ", column " << r;
          continue;
        }
        const Sum sum = dot(weights[i], r, x, a);
        const double expected =
            sum.value * static_cast<double>(scale) + (shapes[i].add ? static_cast<double>(untouched) : 0);
        const double error = bound(sum) * static_cast<double>(scale) + (shapes[i].add ? 1e-3 : 0);
        ASSERT_NEAR(y, expected, error) << "row " << a << ", column " << r;
      }
    }
  }
}

TEST(MultiplyMany, EveryFormatAndTileOfRows) {
  for (const Instructions instructions : {Instructions::Warpgroup, Instructions::Warp}) {
    for (const std::size_t rows : {1, 17, 40, 64, 65, 128, 131}) {
      check_products(std::vector<Shape>{{Type::Q4_K, 80, false}}, 256, rows, 1, instructions);
      check_products(std::vector<Shape>{{Type::Q6_K, 80, false}}, 256, rows, 1, instructions);
      check_products(std::vector<Shape>{{Type::Q8_0, 80, false}}, 96, rows, 1, instructions);
    }
  }
}

TEST(MultiplyMany, SeveralProductsOfOneInput) {
  const std::vector<Shape> shapes = {{Type::Q4_K, 200, true},
                                     {Type::Q6_K, 64, false},
                                     {Type::Q4_K, 300, false},
                                     {Type::Q5_K, 70, true},
                                     {Type::Q6_K, 5, false}};
  for (const std::size_t rows : {30, 300}) {
    check_products(shapes, 256, rows, 64, Instructions::Warpgroup, 4);
    check_products(shapes, 256, rows, 64, Instructions::Warp, 4);
    check_products(std::span(shapes).first(3), 256, rows, 0.5F, Instructions::Warpgroup, 0);
  }
}

// As many columns as make it worth while to cut them.
TEST(MultiplyMany, CutColumns) {
  for (const std::size_t rows : {20, 60, 100}) {
    check_products(std::vector<Shape>{{Type::Q4_K, 130, true}}, 4096, rows, 1, Instructions::Warpgroup, 1, true);
    check_products(std::vector<Shape>{{Type::Q6_K, 130, false}}, 4096, rows, 1, Instructions::Warpgroup, 1, true);
  }
  check_products(std::vector<Shape>{{Type::Q8_0, 130, false}}, 4096, 20, 1, Instructions::Warpgroup, 1, true);
  check_products(std::vector<Shape>{{Type::Q4_K, 130, false}}, 4096, 20, 1, Instructions::Warp, 1, true);
}

TEST(MultiplyMany, EveryPlan) {
  for (const unsigned rows : {32, 64, 128}) {
    for (const unsigned strips : {1, 2}) {
      for (const unsigned splits : {1, 3}) {
        check_products(std::vector<Shape>{{Type::Q4_K, 150, false}, {Type::Q6_K, 130, true}}, 512, 70, 1,
                       Instructions::Warpgroup, 1, splits > 1, {rows, strips, splits});
      }
    }
  }
}

TEST(MultiplyMany, PlansOfSingleWarps) {
  const std::vector<Shape> shapes = {{Type::Q4_K, 150, false}, {Type::Q8_0, 130, true}};
  for (const unsigned splits : {1, 3, 8}) {
    check_products(shapes, 512, 70, 1, Instructions::Warp, 1, splits > 1, {64, 1, splits});
  }
}

TEST(MultiplyMany, RefusesAPlanThatItHasNoKernelFor) {
  std::mt19937 random(1);
  const Activations x(20, 2048, random);
  const RandomWeight quantised(Type::Q4_K, 64, 2048, random);
  const RandomWeight halves(Type::Q8_0, 64, 2048, random);
  std::vector<float> y(20 * 64);
  Workspace workspace;
  const auto multiply = [&](const RandomWeight& weight, Instructions instructions, ManyPlan plan) {
    const OutputProduct product{weight.matrix, y.data(), 64, false};
    multiply_many(nullptr, x.input(), std::span(&product, 1), 1, workspace.data(), instructions, plan);
  };
  for (const Instructions instructions : {Instructions::Warpgroup, Instructions::Warp}) {
    EXPECT_NO_THROW(multiply(quantised, instructions, {64, 1, 16}));
    EXPECT_THROW(multiply(quantised, instructions, {64, 1, 17}), base::Error);
    EXPECT_THROW(multiply(quantised, instructions, {64, 1, 0}), base::Error);
    EXPECT_THROW(multiply(quantised, instructions, {48, 1, 1}), base::Error);
    EXPECT_THROW(multiply(halves, instructions, {64, 2, 1}), base::Error);
  }
  EXPECT_THROW(multiply(quantised, Instructions::Warp, {32, 1, 1}), base::Error);
}

// More tiles than one band of the raster has.
TEST(MultiplyMany, ManyTilesOfActivations) {
  check_products(std::vector<Shape>{{Type::Q4_K, 300, false}}, 256, 17 * 128 + 5, 1, Instructions::Warpgroup);
}

void check_swiglu(Type gate_type, Type up_type, std::size_t hidden_cols, std::size_t cols, std::size_t rows,
                  Instructions instructions) {
  SCOPED_TRACE(std::to_string(hidden_cols) + " x " + std::to_string(cols) + ", " + std::to_string(rows) + " rows");
  std::mt19937 random(static_cast<unsigned>(cols * 1000 + rows));
  const Activations x(rows, cols, random);
  const RandomWeight gate(gate_type, hidden_cols, cols, random);
  const RandomWeight up(up_type, hidden_cols, cols, random);
  const std::size_t padded = gate.matrix.padded_rows();
  const std::size_t stride = padded + tile_cols;
  const __half blank = __float2half(7);
  std::vector<__half> hidden((rows + 1) * stride, blank);
  Workspace workspace;
  for (int i = 0; i < 2; ++i) {
    swiglu_many(nullptr, x.input(), gate.matrix, up.matrix, hidden.data(), stride, workspace.data(), instructions);
  }
  for (std::size_t a = 0; a <= rows; ++a) {
    for (std::size_t r = 0; r < stride; ++r) {
      const float value = __half2float(hidden[a * stride + r]);
      if (a == rows || r >= padded) {
        ASSERT_EQ(value, 7) << "row " << a << ", column " << r;
        continue;
      }
      if (r >= hidden_cols) {
        ASSERT_EQ(value, 0) << "row " << a << ", column " << r;
        continue;
      }
      const Sum g = dot(gate, r, x, a);
      const Sum u = dot(up, r, x, a);
      const double silu = g.value / (1 + std::exp(-g.value));
      const double expected = silu * u.value / static_cast<double>(hidden_divisor);
      // The slope of silu is at most 1.1.
      const double error =
          (1.1 * bound(g) * std::abs(u.value) + std::abs(silu) * bound(u)) / static_cast<double>(hidden_divisor);
      ASSERT_NEAR(value, expected, error + std::abs(expected) * 0x1p-11 * 1.01 + 0x1p-25)
          << "row " << a << ", column " << r;
    }
  }
}

TEST(SwigluMany, EveryFormatAndTileOfRows) {
  for (const Instructions instructions : {Instructions::Warpgroup, Instructions::Warp}) {
    for (const std::size_t rows : {3, 50, 129}) {
      check_swiglu(Type::Q4_K, Type::Q4_K, 80, 512, rows, instructions);
      check_swiglu(Type::Q6_K, Type::Q4_K, 200, 256, rows, instructions);
      check_swiglu(Type::Q8_0, Type::Q8_0, 64, 96, rows, instructions);
      check_swiglu(Type::Q4_K, Type::Q5_K, 64, 256, rows, instructions);
    }
  }
  check_swiglu(Type::Q4_K, Type::Q4_K, 80, 4096, 20, Instructions::Warpgroup);
}

}  // namespace
}  // namespace compute::cuda
