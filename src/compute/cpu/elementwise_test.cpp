// Everything that works on floats alone: norm, SwiGLU, RoPE, exp, conversions.
#include <array>
#include <limits>

#include "base/processor.h"
#include "compute/cpu/isa.h"
#include "compute/cpu/test_support.h"

namespace compute::cpu::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

float exponential(float x) {
  const base::FlushDenormals flush;
  alignas(64) std::array<float, 16> in{};
  alignas(64) std::array<float, 16> out{};
  in[0] = x;
  scalar_kernels().exponential(in.data(), 16, out.data());
  return out[0];
}

TEST(Exponential, ErrorIsBelowTheStatedBound) {
  double worst = 0;
  for (float x = -87.0F; x <= 88.0F; x += 0.00037F) {
    const double exact = std::exp(double{x});
    worst = std::max(worst, std::fabs(double{exponential(x)} - exact) / exact);
  }
  EXPECT_LT(worst, 1.2e-7);
  RecordProperty("worst_relative_error", testing::PrintToString(worst));
}

TEST(Exponential, EndsOfTheRange) {
  EXPECT_EQ(exponential(0), 1);
  EXPECT_EQ(exponential(-0.0F), 1);
  EXPECT_EQ(exponential(-88), 0);
  EXPECT_EQ(exponential(-1e30F), 0);
  EXPECT_EQ(exponential(-infinity), 0);
  EXPECT_EQ(exponential(88.1F), infinity);
  EXPECT_EQ(exponential(infinity), infinity);
  EXPECT_TRUE(std::isnan(exponential(std::numeric_limits<float>::quiet_NaN())));
}

class ByIsa : public testing::TestWithParam<Isa> {};

TEST_P(ByIsa, ExponentialHasTheScalarBits) {
  SMOLLM3_NEED_ISA(GetParam());
  const base::FlushDenormals flush;
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < 0x100000000ULL; bits += 5003)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  x.resize(x.size() / 16 * 16);
  std::vector<float> expected(x.size());
  std::vector<float> actual(x.size());
  scalar_kernels().exponential(x.data(), x.size(), expected.data());
  kernels_for(GetParam()).exponential(x.data(), x.size(), actual.data());
  EXPECT_TRUE(same_bits(expected, actual));
}

TEST_P(ByIsa, HalvesHaveTheScalarBits) {
  SMOLLM3_NEED_ISA(GetParam());
  const base::FlushDenormals flush;
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < 0x100000000ULL; bits += 5003)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  x.resize(x.size() / 16 * 16);
  std::vector<std::uint16_t> expected(x.size());
  std::vector<std::uint16_t> actual(x.size());
  scalar_kernels().to_half(x.data(), x.size(), expected.data());
  kernels_for(GetParam()).to_half(x.data(), x.size(), actual.data());
  EXPECT_EQ(expected, actual);
}

TEST_P(ByIsa, QuantisedActivationsHaveTheScalarBytes) {
  SMOLLM3_NEED_ISA(GetParam());
  const base::FlushDenormals flush;
  Random random(1);
  std::vector<float> x = random_values(2048, random);
  for (std::size_t i = 256; i < 512; ++i)
    x[i] = static_cast<float>(random() % 255) / 2 - 63.5F;    // ties when amax is 63.5
  for (std::size_t i = 512; i < 768; ++i) x[i] *= 0x1p-126F;  // zeros, denormals
  x[800] = infinity;
  x[1100] = std::numeric_limits<float>::quiet_NaN();
  x[1300] = std::numeric_limits<float>::max();
  std::vector<SuperRow> expected(8);
  std::vector<SuperRow> actual(8);
  scalar_kernels().quantise_super(x.data(), x.size(), expected.data(), 1);
  kernels_for(GetParam()).quantise_super(x.data(), x.size(), actual.data(), 1);
  for (std::size_t b = 0; b < 8; ++b) {
    EXPECT_EQ(std::memcmp(&expected[b], &actual[b], offsetof(SuperRow, d)), 0) << b;
    EXPECT_TRUE(same_bits({&expected[b].d, 1}, {&actual[b].d, 1})) << b;
  }
  std::vector<SmallRow> small_expected(64);
  std::vector<SmallRow> small_actual(64);
  scalar_kernels().quantise_small(x.data(), x.size(), small_expected.data(), 1);
  kernels_for(GetParam()).quantise_small(x.data(), x.size(), small_actual.data(), 1);
  for (std::size_t b = 0; b < 64; ++b) {
    EXPECT_EQ(std::memcmp(small_expected[b].q, small_actual[b].q, 32), 0) << b;
    EXPECT_EQ(small_expected[b].sum, small_actual[b].sum) << b;
    EXPECT_TRUE(same_bits({&small_expected[b].d, 1}, {&small_actual[b].d, 1})) << b;
  }
}

TEST(Quantise, RoundsToNearestEvenWithin127) {
  const base::FlushDenormals flush;
  Random random(12);
  const std::vector<float> x = random_values(256 * 50, random);
  std::vector<SuperRow> rows(50);
  scalar_kernels().quantise_super(x.data(), x.size(), rows.data(), 1);
  for (std::size_t b = 0; b < 50; ++b) {
    float amax = 0;
    for (std::size_t i = 0; i < 256; ++i) amax = std::max(amax, std::fabs(x[b * 256 + i]));
    EXPECT_EQ(rows[b].d, amax / 127);
    for (std::size_t i = 0; i < 256; ++i) {
      ASSERT_NEAR(double{rows[b].d} * rows[b].q[i], double{x[b * 256 + i]}, double{rows[b].d} * 0.50001);
      ASSERT_GE(rows[b].q[i], -127);
    }
    int sum = 0;
    for (std::size_t i = 224; i < 256; ++i) sum += rows[b].q[i];
    EXPECT_EQ(rows[b].sums32[7], sum);
  }
}

std::vector<float> normed(Device& device, std::span<const float> x, std::span<const float> gain) {
  const Buffer input = to_device(device, x, x.size() / gain.size());
  const auto out = device.make_activations(input.view().rows, gain.size());
  device.rms_norm(input.view(), gain, 1e-6F, *out);
  return contents(device, *out);
}

TEST(RmsNorm, AgreesWithDouble) {
  Random random(2);
  const std::vector<float> gain = random_values(192, random);
  const std::vector<float> x = random_values(4 * 192, random);
  const auto device = make_cpu_device(1, Isa::Scalar);
  const std::vector<float> y = normed(*device, x, gain);
  for (std::size_t row = 0; row < 4; ++row) {
    double squares = 0;
    for (std::size_t i = 0; i < 192; ++i) squares += double{x[row * 192 + i]} * double{x[row * 192 + i]};
    for (std::size_t i = 0; i < 192; ++i) {
      const double exact = double{x[row * 192 + i]} / std::sqrt(squares / 192 + 1e-6) * double{gain[i]};
      ASSERT_NEAR(y[row * 192 + i], exact, std::fabs(exact) * 4e-7);
    }
  }
}

TEST_P(ByIsa, RmsNormHasTheScalarBits) {
  SMOLLM3_NEED_ISA(GetParam());
  Random random(2);
  const std::vector<float> gain = random_values(352, random);
  const std::vector<float> x = random_values(7 * 352, random);
  EXPECT_TRUE(
      same_bits(normed(*make_cpu_device(1, Isa::Scalar), x, gain), normed(*make_cpu_device(3, GetParam()), x, gain)));
}

std::vector<float> gated(Device& device, const Matrix& gate, const Matrix& up, std::span<const float> x) {
  const std::size_t n = x.size() / gate.cols;
  const Buffer input = to_device(device, x, n);
  const auto activations = device.make_activations(n, gate.cols);
  const auto hidden = device.make_activations(n, gate.rows);
  device.assign(input.view(), *activations);
  device.swiglu(*activations, gate, up, *hidden);
  return contents(device, *hidden);
}

TEST(SwiGlu, AgreesWithDouble) {
  Random random(3);
  const std::size_t cols = 64;
  const Weight gate = random_weight(quant::Type::F32, 64, cols, random);
  const Weight up = random_weight(quant::Type::F32, 64, cols, random);
  const std::vector<float> x = random_values(2 * cols, random);
  const auto device = make_cpu_device(1, Isa::Scalar);
  const std::vector<float> y = gated(*device, gate.matrix, up.matrix, x);
  const auto at = [&](const Weight& w, std::size_t r, std::size_t a) {
    double sum = 0;
    for (std::size_t i = 0; i < cols; ++i) {
      float value;
      std::memcpy(&value, &w.bytes[(r * cols + i) * 4], 4);
      sum += double{value} * double{x[a * cols + i]};
    }
    return sum;
  };
  for (std::size_t a = 0; a < 2; ++a) {
    for (std::size_t r = 0; r < 64; ++r) {
      const double g = at(gate, r, a);
      const double exact = g / (1 + std::exp(-g)) * at(up, r, a);
      ASSERT_NEAR(y[a * 64 + r], exact, std::fabs(exact) * 2e-4 + 1e-4);
    }
  }
}

TEST_P(ByIsa, SwiGluHasTheScalarBits) {
  SMOLLM3_NEED_ISA(GetParam());
  Random random(4);
  for (const quant::Type type : {quant::Type::Q4_K, quant::Type::Q8_0, quant::Type::BF16}) {
    for (const std::size_t n : {1, 2, 70}) {
      const Weight gate = random_weight(type, 160, 256, random);
      const Weight up = random_weight(quant::Type::Q6_K, 160, 256, random);
      const std::vector<float> x = random_values(n * 256, random);
      ASSERT_TRUE(same_bits(gated(*make_cpu_device(1, Isa::Scalar), gate.matrix, up.matrix, x),
                            gated(*make_cpu_device(3, GetParam()), gate.matrix, up.matrix, x)));
    }
  }
}

std::vector<float> turned(Device& device, std::span<const float> x, std::size_t rows, std::size_t head_size,
                          std::span<const float> cos_sin) {
  const Buffer input = to_device(device, x, rows);
  const Buffer angles = to_device(device, cos_sin, rows);
  device.rope(input.view(), head_size, angles.view());
  return from_device(device, input.view());
}

TEST(Rope, TurnsAdjacentPairs) {
  Random random(5);
  const std::size_t rows = 3;
  const std::size_t head_size = 32;
  std::vector<float> table(rows * head_size);
  std::vector<double> angle(rows * head_size / 2);
  for (std::size_t i = 0; i < angle.size(); ++i) {
    angle[i] = static_cast<double>(random() % 10000) / 100;
    table[2 * i] = static_cast<float>(std::cos(angle[i]));
    table[2 * i + 1] = static_cast<float>(std::sin(angle[i]));
  }
  const std::vector<float> x = random_values(rows * 4 * head_size, random);
  const std::vector<float> y = turned(*make_cpu_device(1, Isa::Scalar), x, rows, head_size, table);
  for (std::size_t i = 0; i < x.size(); i += 2) {
    const double theta = angle[i / (4 * head_size) * (head_size / 2) + i % head_size / 2];
    const double size = std::hypot(double{x[i]}, double{x[i + 1]});
    ASSERT_NEAR(y[i], double{x[i]} * std::cos(theta) - double{x[i + 1]} * std::sin(theta), 3e-7 * size);
    ASSERT_NEAR(y[i + 1], double{x[i]} * std::sin(theta) + double{x[i + 1]} * std::cos(theta), 3e-7 * size);
  }
  for (const Isa isa : vector_isas()) {
    if (!supported(isa)) continue;
    EXPECT_TRUE(same_bits(y, turned(*make_cpu_device(2, isa), x, rows, head_size, table)));
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, ByIsa, testing::ValuesIn(vector_isas()),
                         [](const auto& test) { return isa_name(test.param); });

}  // namespace
}  // namespace compute::cpu::test
