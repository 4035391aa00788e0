// Products of a few rows against sums in double over decoded weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "compute/cuda/products.h"
#include "quant/decode.h"
#include "quant/half.h"

namespace compute::cuda {
namespace {

using Random = std::mt19937;
using quant::Type;

constexpr float untouched = -12345.0F;

// A weight whose scales are powers of two, so that its packed form has exactly the decoded values.
struct Weight {
  std::vector<float> decoded;  // {rows, cols}
  std::vector<float> extent;   // the same without cancellation between s q and m, for bounds of errors
  std::vector<std::byte> packed;
  PackedMatrix matrix;
};

std::uint16_t random_scale(Random& random) {
  return quant::float_to_half(std::ldexp(1.0F, -6 - static_cast<int>(random() % 4)));
}

Weight random_weight(Type type, std::size_t rows, std::size_t cols, Random& random) {
  const auto info = *quant::type_info(type);
  std::vector<std::byte> bytes(rows * cols / info.block * info.block_bytes);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() & 255);
  for (std::size_t block = 0; block < bytes.size(); block += info.block_bytes) {
    const auto put = [&](std::size_t at, std::uint16_t bits) { std::memcpy(bytes.data() + block + at, &bits, 2); };
    if (type == Type::Q4_K) {
      put(0, random_scale(random));
      put(2, random_scale(random));
    } else if (type == Type::Q6_K) {
      put(208, random_scale(random));
    } else {
      put(0, quant::float_to_half(std::ldexp(static_cast<float>(random() % 4095) - 2047.0F, -11)));
    }
  }
  Weight w;
  w.decoded.resize(rows * cols);
  const std::size_t row_bytes = bytes.size() / rows;
  for (std::size_t r = 0; r < rows; ++r) {
    quant::decode(type, std::span(bytes).subspan(r * row_bytes, row_bytes),
                  std::span(w.decoded).subspan(r * cols, cols));
  }
  w.extent = w.decoded;
  for (float& value : w.extent) value = std::abs(value) + (type == Type::Q4_K ? 1.0F : 0.0F);
  const Matrix matrix{type, rows, cols, bytes};
  w.packed = pack_rows(matrix, 0, rows);
  w.matrix = {packed_format(type), rows, cols, w.packed.data()};
  return w;
}

float random_value(Random& random) { return (static_cast<float>(random() % 20001) - 10000.0F) / 5000.0F; }

struct Expected {
  double value = 0;
  double error = 0;
};

// `exact`: x has the halves that the kernel multiplies; else single ones may have been rounded the other way.
Expected expect(const Weight& w, std::size_t row, const std::vector<double>& x, std::size_t activation, bool exact) {
  Expected result;
  double largest = 0;
  const std::size_t cols = w.matrix.cols;
  for (std::size_t c = 0; c < cols; ++c) {
    const double v = x[activation * cols + c];
    result.value += double{w.decoded[row * cols + c]} * v;
    result.error += std::abs(double{w.extent[row * cols + c]} * v) * 1e-6;
    largest = std::max(largest, std::abs(double{w.decoded[row * cols + c]} * v));
  }
  result.error += exact ? 1e-7 : 3 * 0x1p-10 * largest;
  return result;
}

double as_half(double value) { return quant::half_to_float(quant::float_to_half(static_cast<float>(value))); }

// Rows of halves, zero beyond `cols`.
struct Halves {
  std::vector<__half> bits;
  std::vector<double> values;  // {rows, cols}
  Input input;

  Halves(std::size_t rows, std::size_t cols, Random& random) {
    const std::size_t stride = round_up(cols, tile_cols) + tile_cols;
    bits.assign(rows * stride, __float2half(0.0F));
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t c = 0; c < cols; ++c) {
        bits[i * stride + c] = __float2half(random_value(random));
        values.push_back(double{__half2float(bits[i * stride + c])});
      }
    }
    input = {rows, bits.data(), stride};
  }
};

// Rows of floats of different sizes, and what the norm makes of them.
struct Normed {
  std::vector<float> x;
  std::vector<float> gain;
  std::vector<double> values;
  NormInput input;

  Normed(std::size_t rows, std::size_t cols, Random& random) {
    const std::size_t stride = cols + 4;
    x.assign(rows * stride, std::nanf(""));
    for (std::size_t c = 0; c < cols; ++c) gain.push_back(1.0F + random_value(random) / 4);
    const float epsilon = 1e-3F;
    for (std::size_t i = 0; i < rows; ++i) {
      double squares = 0;
      for (std::size_t c = 0; c < cols; ++c) {
        const float v = std::ldexp(random_value(random), static_cast<int>(i) * 3 - 6);
        x[i * stride + c] = v;
        squares += double{v} * double{v};
      }
      const double scale = 1 / std::sqrt(squares / static_cast<double>(cols) + double{epsilon});
      for (std::size_t c = 0; c < cols; ++c) {
        values.push_back(as_half(double{x[i * stride + c]} * scale * double{gain[c]}));
      }
    }
    input = {rows, cols, x.data(), stride, gain.data(), epsilon};
  }
};

struct Output {
  std::vector<float> before;
  std::vector<float> y;
  OutputProduct product;

  Output(const Weight& w, std::size_t rows, bool add, Random& random) {
    const std::size_t stride = w.matrix.rows + 3;
    before.assign(rows * stride, untouched);
    if (add) {
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t r = 0; r < w.matrix.rows; ++r) before[i * stride + r] = random_value(random);
      }
    }
    y = before;
    product = {w.matrix, y.data(), stride, add};
  }

  void check(const Weight& w, const std::vector<double>& x, float scale, bool exact) const {
    for (std::size_t at = 0; at < y.size(); ++at) {
      const std::size_t row = at % product.stride;
      if (row >= w.matrix.rows) {
        ASSERT_EQ(y[at], untouched) << "beyond row " << w.matrix.rows;
        continue;
      }
      const Expected sum = expect(w, row, x, at / product.stride, exact);
      const double old = product.add ? double{before[at]} : 0.0;
      ASSERT_NEAR(double{y[at]}, old + double{scale} * sum.value, double{scale} * sum.error + std::abs(old) * 1e-7)
          << "row " << row << ", activation " << at / product.stride;
    }
  }
};

std::string name(Type type, std::size_t weight_rows, std::size_t cols, std::size_t rows) {
  return std::string(quant::type_info(type)->name) + " " + std::to_string(weight_rows) + " x " + std::to_string(cols) +
         ", " + std::to_string(rows) + " rows";
}

void check_halves(Type type, std::size_t weight_rows, std::size_t cols, std::size_t rows, float scale, bool add) {
  SCOPED_TRACE(name(type, weight_rows, cols, rows));
  Random random(static_cast<unsigned>(weight_rows + cols * 3 + rows * 7));
  const Weight w = random_weight(type, weight_rows, cols, random);
  const Halves x(rows, cols, random);
  Output out(w, rows, add, random);
  multiply_few(nullptr, x.input, std::span(&out.product, 1), scale);
  out.check(w, x.values, scale, true);
}

TEST(MultiplyFew, EveryFormatAndNumberOfRows) {
  for (const Type type : {Type::Q4_K, Type::Q6_K, Type::F16}) {
    for (std::size_t rows = 1; rows <= few_rows; ++rows) check_halves(type, 80, 256, rows, 1, false);
  }
}

TEST(MultiplyFew, ShapesWithIncompleteTiles) {
  for (const std::size_t cols : {16, 64, 96, 832}) check_halves(Type::F16, 21, cols, 3, 1, false);
}

TEST(MultiplyFew, BlocksWithSeveralRowsOfTiles) {
  for (const Type type : {Type::Q4_K, Type::Q6_K, Type::F16}) {
    check_halves(type, 209, 768, 1, 1, true);
    check_halves(type, 209, 2816, 2, 1, true);
  }
}

TEST(MultiplyFew, LongRows) {
  for (const Type type : {Type::Q4_K, Type::Q6_K, Type::F16}) {
    check_halves(type, 48, 4608, 1, hidden_divisor, true);
    check_halves(type, 48, 4608, 5, 1, false);
    check_halves(type, 80, 8448, 8, 0.5F, true);  // more activations than are staged at once
  }
}

TEST(MultiplyFew, SeveralProductsOfOneInput) {
  for (const std::size_t rows : {1, 4}) {
    Random random(5);
    std::vector<Weight> weights;
    for (const auto& [type, weight_rows] :
         {std::pair{Type::Q4_K, 128}, {Type::Q6_K, 33}, {Type::F16, 64}, {Type::Q4_K, 1}}) {
      weights.push_back(random_weight(type, static_cast<std::size_t>(weight_rows), 512, random));
    }
    const Halves x(rows, 512, random);
    const Normed normed(rows, 512, random);
    // More than one launch takes.
    std::vector<Output> out;
    std::vector<Output> norm_out;
    for (std::size_t i = 0; i < 10; ++i) {
      out.emplace_back(weights[i % 4], rows, i % 3 == 0, random);
      norm_out.emplace_back(weights[i % 4], rows, i % 3 == 1, random);
    }
    std::vector<OutputProduct> products;
    std::vector<OutputProduct> norm_products;
    for (std::size_t i = 0; i < 10; ++i) {
      products.push_back(out[i].product);
      norm_products.push_back(norm_out[i].product);
    }
    multiply_few(nullptr, x.input, products, 2);
    multiply_few(nullptr, normed.input, norm_products);
    for (std::size_t i = 0; i < 10; ++i) {
      SCOPED_TRACE("product " + std::to_string(i));
      out[i].check(weights[i % 4], x.values, 2, true);
      norm_out[i].check(weights[i % 4], normed.values, 1, false);
    }
  }
}

TEST(MultiplyFew, Norm) {
  const std::pair<Type, std::size_t> shapes[] = {{Type::F16, 60},    {Type::F16, 64},    {Type::Q4_K, 256},
                                                 {Type::Q6_K, 2048}, {Type::Q4_K, 2048}, {Type::Q4_K, 1792},
                                                 {Type::F16, 2048}};
  for (const auto& [type, cols] : shapes) {
    for (const std::size_t rows : {1, 2, 8}) {
      SCOPED_TRACE(name(type, 40, cols, rows));
      Random random(static_cast<unsigned>(cols + rows));
      const Weight w = random_weight(type, 40, cols, random);
      const Normed x(rows, cols, random);
      Output out(w, rows, false, random);
      multiply_few(nullptr, x.input, std::span(&out.product, 1));
      out.check(w, x.values, 1, false);
    }
  }
}

// What a row becomes does not depend on those beside it, unless it is alone: a single row is summed up otherwise.
TEST(MultiplyFew, RowsHaveTheSameBitsInABatch) {
  Random random(3);
  for (const Type type : {Type::Q4_K, Type::Q6_K, Type::F16}) {
    const Weight w = random_weight(type, 64, 1024, random);
    const Normed x(few_rows, 1024, random);
    Output all(w, few_rows, false, random);
    multiply_few(nullptr, x.input, std::span(&all.product, 1));
    for (std::size_t i = 0; i + 1 < few_rows; ++i) {
      Output two(w, 2, false, random);
      NormInput rows = x.input;
      rows.rows = 2;
      rows.x += i * rows.stride;
      multiply_few(nullptr, rows, std::span(&two.product, 1));
      for (std::size_t r = 0; r < 64; ++r) {
        ASSERT_EQ(two.y[r], all.y[i * all.product.stride + r]);
        ASSERT_EQ(two.y[two.product.stride + r], all.y[(i + 1) * all.product.stride + r]);
      }
    }
  }
}

TEST(MultiplyFew, RefusesANormItHasNoRoomFor) {
  Random random(4);
  const Weight w = random_weight(Type::F16, 16, 4160, random);
  const Normed x(1, 4160, random);
  Output out(w, 1, false, random);
  EXPECT_THROW(multiply_few(nullptr, x.input, std::span(&out.product, 1)), base::Error);
}

void check_swiglu(Type gate_type, Type up_type, std::size_t weight_rows, std::size_t cols, std::size_t rows) {
  SCOPED_TRACE(name(gate_type, weight_rows, cols, rows) + ", up " + std::string(quant::type_info(up_type)->name));
  Random random(static_cast<unsigned>(weight_rows * 5 + cols + rows));
  const Weight gate = random_weight(gate_type, weight_rows, cols, random);
  const Weight up = random_weight(up_type, weight_rows, cols, random);
  const Normed x(rows, cols, random);
  const std::size_t padded = round_up(weight_rows, row_unit);
  const std::size_t stride = padded + 64;
  std::vector<__half> hidden(rows * stride, __float2half(untouched));
  swiglu_few(nullptr, x.input, gate.matrix, up.matrix, hidden.data(), stride);
  for (std::size_t at = 0; at < hidden.size(); ++at) {
    const std::size_t row = at % stride;
    const double got = double{__half2float(hidden[at])};
    if (row >= weight_rows) {
      ASSERT_EQ(got, row < padded ? 0.0 : double{__half2float(__float2half(untouched))}) << "column " << row;
      continue;
    }
    const Expected g = expect(gate, row, x.values, at / stride, false);
    const Expected u = expect(up, row, x.values, at / stride, false);
    const double silu = g.value / (1 + std::exp(-g.value));
    // The derivative of silu is below 1.1.
    const double error = 1.1 * g.error * (std::abs(u.value) + u.error) + std::abs(silu) * u.error;
    ASSERT_NEAR(got * double{hidden_divisor}, silu * u.value,
                error + std::abs(silu * u.value) * 0x1p-11 + double{hidden_divisor} * 0x1p-25)
        << "column " << row << ", activation " << at / stride;
  }
}

TEST(SwigluFew, EveryPairOfFormats) {
  for (const Type gate : {Type::Q4_K, Type::Q6_K, Type::F16}) {
    for (const Type up : {Type::Q4_K, Type::Q6_K, Type::F16}) {
      for (const std::size_t rows : {1, 3}) check_swiglu(gate, up, 80, 512, rows);
    }
  }
}

TEST(SwigluFew, RowsAndShapes) {
  for (std::size_t rows = 1; rows <= few_rows; ++rows) check_swiglu(Type::Q4_K, Type::Q4_K, 176, 256, rows);
  check_swiglu(Type::Q4_K, Type::Q4_K, 209, 2048, 1);
  check_swiglu(Type::F16, Type::F16, 48, 1984, 8);
  check_swiglu(Type::Q6_K, Type::Q4_K, 48, 1792, 2);
}

}  // namespace
}  // namespace compute::cuda
