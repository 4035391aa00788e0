// Products of Precision::Fast, against sums in double over decoded weights.
#include <algorithm>
#include <cmath>

#include "compute/cpu/test_support.h"
#include "quant/decode.h"

namespace compute::cpu::test {
namespace {

std::vector<float> multiply(Device& device, const Matrix& w, std::span<const float> x,
                            const std::vector<float>* add = nullptr) {
  const std::size_t n = x.size() / w.cols;
  const Buffer input = to_device(device, x, n);
  const auto activations = device.make_activations(n, w.cols);
  device.assign(input.view(), *activations);
  const Buffer y = device.allocate(n, w.rows);
  if (add != nullptr) device.write(*add, y.view());
  device.matmul(*activations, {{w, y.view(), add != nullptr}});
  return from_device(device, y.view());
}

std::unique_ptr<Device> fast_device(int threads) {
  auto device = make_cpu_device(threads, Isa::Amx);
  device->set_precision(Precision::Fast);
  return device;
}

const std::vector<quant::Type>& super_types() {
  using enum quant::Type;
  static const std::vector<quant::Type> types = {Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS};
  return types;
}

class FastByType : public testing::TestWithParam<quant::Type> {
 protected:
  void SetUp() override { SMOLLM3_NEED_ISA(Isa::Amx); }
};

// What the largest magnitude of a block may be by its scales and mins: the magnitude of a weight is not above it, and
// rounding is to 127ths of it.
double largest_possible(quant::Type type, std::span<const std::byte> block) {
  std::vector<std::byte> bytes(block.begin(), block.end());
  double largest = 0;
  std::vector<float> row(256);
  // All q at either end of their range, scales as they are.
  const std::size_t scales_end = type == quant::Type::Q2_K ? 16 : type == quant::Type::IQ4_XS ? 8 : 16;
  for (const auto end : {std::byte{0x00}, std::byte{0xff}}) {
    switch (type) {
      case quant::Type::Q3_K:
        std::fill_n(bytes.begin(), 96, end);
        break;
      case quant::Type::Q6_K:
        std::fill_n(bytes.begin(), 192, end);
        break;
      case quant::Type::Q2_K:
        std::fill_n(bytes.begin() + 16, 64, end);
        break;
      default:
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(scales_end), bytes.end(), end);
    }
    quant::decode(type, bytes, row);
    for (const float w : row) largest = std::max(largest, std::fabs(double{w}));
  }
  return largest;
}

// Rounding moves an activation by half a 127th of the largest of its 512, and a weight by little more than half a 127th
// of the largest magnitude that its 512 columns' scales allow: the second half is for the fixed point with 8 bits.
TEST_P(FastByType, IsAsNearAsRoundingLeavesIt) {
  Random random(21);
  const quant::Type type = GetParam();
  const auto device = fast_device(2);
  for (const auto& [n, rows, cols] : {std::array<std::size_t, 3>{1, 5, 256},
                                      {3, 33, 512},
                                      {16, 16, 1280},
                                      {17, 40, 768},
                                      {33, 70, 2304},
                                      {40, 31, 1024},
                                      {100, 130, 512}}) {
    const Weight w = random_weight(type, rows, cols, random);
    const std::vector<float> x = random_values(n * cols, random);
    const std::vector<float> y = multiply(*device, w.matrix, x);
    const std::size_t row_bytes = w.bytes.size() / rows;
    const std::size_t block_bytes = row_bytes / (cols / 256);
    for (std::size_t r = 0; r < rows; ++r) {
      const auto bytes = std::span(w.bytes).subspan(r * row_bytes, row_bytes);
      std::vector<float> row(cols);
      quant::decode(type, bytes, row);
      std::vector<double> weight_error;
      for (std::size_t b = 0; b < cols / 256; ++b)
        weight_error.push_back(largest_possible(type, bytes.subspan(b * block_bytes, block_bytes)) / 127 * 1.01);
      for (std::size_t b = 0; b + 1 < cols / 256; b += 2)
        weight_error[b] = weight_error[b + 1] = std::max(weight_error[b], weight_error[b + 1]);
      for (std::size_t a = 0; a < n; ++a) {
        double sum = 0;
        double bound = 1e-6;
        for (std::size_t b = 0; b < cols / 256; ++b) {
          double amax = 0;
          for (std::size_t i = b / 2 * 512; i < std::min((b / 2 + 1) * 512, cols); ++i)
            amax = std::max(amax, std::fabs(double{x[a * cols + i]}));
          const double value_error = amax / 127 * 0.501;
          for (std::size_t i = b * 256; i < (b + 1) * 256; ++i) {
            const double value = std::fabs(double{x[a * cols + i]});
            sum += double{row[i]} * double{x[a * cols + i]};
            bound += (std::fabs(double{row[i]}) + weight_error[b]) * value_error + weight_error[b] * value;
          }
        }
        ASSERT_NEAR(y[a * rows + r], sum, bound) << n << " × " << rows << " × " << cols << ": row " << r << " of " << a;
      }
    }
  }
}

// In the mean over many weights, rounding them too costs little beside what rounding activations costs in the exact
// mode.
TEST_P(FastByType, ErrsLittleMoreThanTheExactProductInTheMean) {
  Random random(22);
  const quant::Type type = GetParam();
  constexpr std::size_t rows = 96;
  constexpr std::size_t cols = 1024;
  constexpr std::size_t n = 48;
  const Weight w = random_weight(type, rows, cols, random);
  const std::vector<float> x = random_values(n * cols, random);
  std::vector<float> weights(rows * cols);
  quant::decode(type, w.bytes, weights);
  const auto error = [&](const std::vector<float>& y) {
    double squares = 0;
    for (std::size_t a = 0; a < n; ++a) {
      for (std::size_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (std::size_t i = 0; i < cols; ++i) sum += double{weights[r * cols + i]} * double{x[a * cols + i]};
        squares += std::pow(double{y[a * rows + r]} - sum, 2);
      }
    }
    return std::sqrt(squares);
  };
  const double exact = error(multiply(*make_cpu_device(2, Isa::Scalar), w.matrix, x));
  const double fast = error(multiply(*fast_device(2), w.matrix, x));
  RecordProperty("ratio", testing::PrintToString(fast / exact));
  EXPECT_LT(fast, 1.6 * exact);
}

TEST_P(FastByType, BitsDoNotDependOnBatchOrThreads) {
  Random random(23);
  const auto one = fast_device(1);
  const auto five = fast_device(5);
  for (const auto& [n, rows, cols] : {std::array<std::size_t, 3>{40, 100, 1536}, {277, 40, 512}, {530, 160, 256}}) {
    const Weight w = random_weight(GetParam(), rows, cols, random);
    const std::vector<float> x = random_values(n * cols, random);
    const std::vector<float> all = multiply(*one, w.matrix, x);
    ASSERT_TRUE(same_bits(all, multiply(*five, w.matrix, x)));
    for (std::size_t at = 0; at < n;) {
      const std::size_t count = std::min<std::size_t>(1 + random() % 60, n - at);
      const std::vector<float> some = multiply(*five, w.matrix, std::span(x).subspan(at * cols, count * cols));
      ASSERT_TRUE(same_bits(std::span(all).subspan(at * rows, count * rows), some)) << at << " " << count;
      at += count;
    }
  }
}

TEST_P(FastByType, AddsToWhatIsThere) {
  Random random(24);
  const auto device = fast_device(2);
  for (const std::size_t n : {7, 37}) {
    const Weight w = random_weight(GetParam(), 50, 512, random);
    const std::vector<float> x = random_values(n * 512, random);
    const std::vector<float> before = random_values(n * 50, random);
    std::vector<float> expected = multiply(*device, w.matrix, x);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = before[i] + expected[i];
    ASSERT_TRUE(same_bits(expected, multiply(*device, w.matrix, x, &before)));
  }
}

TEST_P(FastByType, SwigluIsThatOfBothProducts) {
  Random random(25);
  const auto device = fast_device(3);
  constexpr std::size_t rows = 160;
  const Weight gate = random_weight(GetParam(), rows, 512, random);
  const Weight up = random_weight(GetParam(), rows, 512, random);
  for (const std::size_t n : {3, 45, 520}) {
    const std::vector<float> x = random_values(n * 512, random);
    const std::vector<float> g = multiply(*device, gate.matrix, x);
    const std::vector<float> u = multiply(*device, up.matrix, x);
    const Buffer input = to_device(*device, x, n);
    const auto activations = device->make_activations(n, 512);
    const auto hidden = device->make_activations(n, rows);
    device->assign(input.view(), *activations);
    device->swiglu(*activations, gate.matrix, up.matrix, *hidden);
    const std::vector<float> actual = contents(*device, *hidden);
    for (std::size_t i = 0; i < g.size(); ++i) {
      const double expected = double{g[i]} / (1 + std::exp(-double{g[i]})) * double{u[i]};
      ASSERT_NEAR(actual[i], expected, std::fabs(expected) * 1e-6 + 1e-30);
    }
  }
}

TEST_P(FastByType, NotANumberStaysOne) {
  Random random(26);
  const auto device = fast_device(1);
  const Weight w = random_weight(GetParam(), 20, 512, random);
  std::vector<float> x = random_values(3 * 512, random);
  x[512 + 300] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> y = multiply(*device, w.matrix, x);
  for (std::size_t r = 0; r < 20; ++r) {
    EXPECT_TRUE(std::isfinite(y[r]));
    EXPECT_TRUE(std::isnan(y[20 + r]));
    EXPECT_TRUE(std::isfinite(y[40 + r]));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, FastByType, testing::ValuesIn(super_types()),
                         [](const auto& test) { return std::string(quant::type_info(test.param)->name); });

// Weights that have no fast products are multiplied as exactly as ever.
TEST(Fast, OtherWeightsAreExact) {
  SMOLLM3_NEED_ISA(Isa::Amx);
  Random random(27);
  const auto exact = make_cpu_device(1, Isa::Scalar);
  for (const quant::Type type : {quant::Type::F32, quant::Type::Q8_0, quant::Type::Q4_0}) {
    const Weight w = random_weight(type, 40, 512, random);
    const std::vector<float> x = random_values(20 * 512, random);
    ASSERT_TRUE(same_bits(multiply(*exact, w.matrix, x), multiply(*fast_device(2), w.matrix, x)));
  }
}

}  // namespace
}  // namespace compute::cpu::test
