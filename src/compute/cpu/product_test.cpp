// Products: the scalar kernels against sums in double over decoded weights, the vector kernels against the scalar ones.
#include <limits>

#include "compute/cpu/test_support.h"
#include "quant/decode.h"

namespace compute::cpu::test {
namespace {

std::vector<float> multiply(Device& device, const Matrix& w, std::span<const float> x) {
  const std::size_t n = x.size() / w.cols;
  const Buffer input = to_device(device, x, n);
  const auto activations = device.make_activations(n, w.cols);
  device.assign(input.view(), *activations);
  const Buffer y = device.allocate(n, w.rows);
  device.matmul(*activations, {{w, y.view()}});
  return from_device(device, y.view());
}

class ByType : public testing::TestWithParam<quant::Type> {};

// Activations that int8 holds exactly: multiples of a power of two up to 127 times it, the largest in every group
// of 32.
std::vector<float> exact_values(std::size_t count, Random& random) {
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int q = i % 32 == 5 ? 127 : static_cast<int>(random() % 255) - 127;
    x[i] = std::ldexp(static_cast<float>(q), static_cast<int>(i / 256 % 5) - 3);
  }
  return x;
}

TEST_P(ByType, ScalarAgreesWithSumsInDouble) {
  Random random(11);
  const auto device = make_cpu_device(2, Isa::Scalar);
  for (const std::size_t cols : {std::size_t{256}, std::size_t{1024}}) {
    for (const std::size_t n : {1, 3}) {
      const Weight w = random_weight(GetParam(), 13, cols, random);
      const std::vector<float> x = exact_values(n * cols, random);
      const std::vector<float> y = multiply(*device, w.matrix, x);
      const std::size_t row_bytes = w.bytes.size() / 13;
      for (std::size_t r = 0; r < 13; ++r) {
        std::vector<float> row(cols);
        quant::decode(GetParam(), std::span(w.bytes).subspan(r * row_bytes, row_bytes), row);
        for (std::size_t a = 0; a < n; ++a) {
          double sum = 0;
          double magnitude = 0;
          for (std::size_t i = 0; i < cols; ++i) {
            sum += double{row[i]} * double{x[a * cols + i]};
            magnitude += std::fabs(double{row[i]} * double{x[a * cols + i]});
          }
          // Scales and mins partly cancel within a weight: what is rounded may be larger than the decoded weight.
          ASSERT_NEAR(y[a * 13 + r], sum, 2e-6 * magnitude + 1e-6) << "row " << r << " of " << a;
        }
      }
    }
  }
}

TEST_P(ByType, RoundingOfActivationsIsBounded) {
  Random random(5);
  const auto device = make_cpu_device(1, Isa::Scalar);
  const Weight w = random_weight(GetParam(), 7, 512, random);
  const std::vector<float> x = random_values(512, random);
  const std::vector<float> y = multiply(*device, w.matrix, x);
  const std::size_t row_bytes = w.bytes.size() / 7;
  float amax = 0;
  for (const float v : x) amax = std::max(amax, std::fabs(v));
  for (std::size_t r = 0; r < 7; ++r) {
    std::vector<float> row(512);
    quant::decode(GetParam(), std::span(w.bytes).subspan(r * row_bytes, row_bytes), row);
    double sum = 0;
    double weights = 0;
    for (std::size_t i = 0; i < 512; ++i) {
      sum += double{row[i]} * double{x[i]};
      weights += std::fabs(double{row[i]});
    }
    EXPECT_NEAR(y[r], sum, weights * double{amax} / 127 * 0.501 + 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ByType, testing::ValuesIn(all_types()),
                         [](const auto& test) { return std::string(quant::type_info(test.param)->name); });

class ByIsaAndType : public testing::TestWithParam<std::tuple<Isa, quant::Type>> {};

TEST_P(ByIsaAndType, GivesTheScalarBitsForEveryBatch) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(3);
  const auto scalar = make_cpu_device(2, Isa::Scalar);
  std::vector<std::unique_ptr<Device>> devices;
  for (int threads = 1; threads <= 5; ++threads) devices.push_back(make_cpu_device(threads, isa));
  for (std::size_t n = 1; n <= 40; ++n) {
    const std::size_t rows = 1 + random() % 70;
    const std::size_t cols = 256 * (1 + random() % 3);
    const Weight w = random_weight(type, rows, cols, random);
    const std::vector<float> x = random_values(n * cols, random);
    const std::vector<float> expected = multiply(*scalar, w.matrix, x);
    ASSERT_TRUE(same_bits(expected, multiply(*devices[n % 5], w.matrix, x))) << n << " × " << rows << " × " << cols;
  }
}

TEST_P(ByIsaAndType, GivesTheScalarBitsAcrossBlocksOfRows) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(4);
  for (const std::size_t n : {255, 256, 257, 300}) {
    const Weight w = random_weight(type, 37, 256, random);
    const std::vector<float> x = random_values(n * 256, random);
    ASSERT_TRUE(same_bits(multiply(*make_cpu_device(1, Isa::Scalar), w.matrix, x),
                          multiply(*make_cpu_device(3, isa), w.matrix, x)));
  }
}

TEST_P(ByIsaAndType, GivesTheScalarBitsForLongRows) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(8);
  const Weight w = random_weight(type, 18, 4352, random);
  const std::vector<float> x = random_values(35 * 4352, random);
  ASSERT_TRUE(same_bits(multiply(*make_cpu_device(2, Isa::Scalar), w.matrix, x),
                        multiply(*make_cpu_device(2, isa), w.matrix, x)));
}

// Where sums of 16 bits would overflow if anywhere: every activation at an end of its range.
TEST_P(ByIsaAndType, GivesTheScalarBitsForTheLargestActivations) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(10);
  const Weight w = random_weight(type, 200, 512, random);
  for (const float sign : {1.0F, -1.0F}) {
    for (const std::size_t n : {1, 6, 16}) {
      const std::vector<float> x(n * 512, sign);
      ASSERT_TRUE(same_bits(multiply(*make_cpu_device(1, Isa::Scalar), w.matrix, x),
                            multiply(*make_cpu_device(1, isa), w.matrix, x)));
    }
  }
}

TEST_P(ByIsaAndType, ARowDoesNotDependOnItsNeighbours) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(9);
  const auto device = make_cpu_device(2, isa);
  const Weight w = random_weight(type, 50, 512, random);
  const std::vector<float> x = random_values(21 * 512, random);
  const std::vector<float> all = multiply(*device, w.matrix, x);
  for (std::size_t i = 0; i < 21; ++i) {
    const std::vector<float> one = multiply(*device, w.matrix, std::span(x).subspan(i * 512, 512));
    ASSERT_TRUE(same_bits(std::span(all).subspan(i * 50, 50), one));
  }
}

TEST_P(ByIsaAndType, NotANumberStaysOne) {
  const auto [isa, type] = GetParam();
  SMOLLM3_NEED_ISA(isa);
  Random random(2);
  const auto device = make_cpu_device(1, isa);
  const Weight w = random_weight(type, 20, 512, random);
  for (const float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t n : {3, 18}) {
      std::vector<float> x = random_values(n * 512, random);
      x[512 + 300] = poison;
      const std::vector<float> y = multiply(*device, w.matrix, x);
      for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isfinite(y[i]), i / 20 != 1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, ByIsaAndType,
                         testing::Combine(testing::ValuesIn(vector_isas()), testing::ValuesIn(all_types())),
                         [](const auto& test) {
                           return isa_name(std::get<0>(test.param)) + "_" +
                                  std::string(quant::type_info(std::get<1>(test.param))->name);
                         });

TEST(BlocksOf32, RowsNeedNotBeMultiplesOf256) {
  Random random(6);
  for (const Isa isa : vector_isas()) {
    if (!supported(isa)) continue;
    for (const quant::Type type : small_types()) {
      for (const std::size_t cols : {32, 96, 288, 480}) {
        const Weight w = random_weight(type, 21, cols, random);
        const std::vector<float> x = random_values(5 * cols, random);
        ASSERT_TRUE(same_bits(multiply(*make_cpu_device(1, Isa::Scalar), w.matrix, x),
                              multiply(*make_cpu_device(2, isa), w.matrix, x)))
            << quant::type_info(type)->name;
      }
    }
  }
}

}  // namespace
}  // namespace compute::cpu::test
