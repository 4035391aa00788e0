// The reference's decoders and the program's were written apart from each other; on any bits they must agree.
#include "reference/decode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "quant/decode.h"
#include "quant/half.h"

namespace reference {
namespace {

class EveryType : public testing::TestWithParam<Type> {};

TEST_P(EveryType, DecodesRandomBitsAsTheProgramDoes) {
  const auto [elements, bytes] = block_size(GetParam());
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint8_t> row(bytes * 8);
    for (std::uint8_t& b : row) b = static_cast<std::uint8_t>(random());
    const std::vector<double> expected = decode_row(GetParam(), row);
    std::vector<float> got(expected.size());
    quant::decode(static_cast<quant::Type>(GetParam()), std::as_bytes(std::span(row)), got);
    double largest = 0;
    for (const double value : expected) {
      if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
    }
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (!std::isfinite(expected[i])) {
        EXPECT_FALSE(std::isfinite(got[i]));
      } else if (elements == 1) {
        EXPECT_EQ(got[i], expected[i]);
      } else {
        EXPECT_NEAR(got[i], expected[i], 1e-6 * largest);  // a difference of two products, each rounded
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, EveryType,
                         testing::Values(Type::F32, Type::F16, Type::BF16, Type::Q8_0, Type::Q4_0, Type::Q4_1,
                                         Type::Q5_0, Type::Q5_1, Type::IQ4_NL, Type::Q2_K, Type::Q3_K, Type::Q4_K,
                                         Type::Q5_K, Type::Q6_K, Type::IQ4_XS),
                         [](const auto& type) {
                           return std::string(quant::type_info(static_cast<quant::Type>(type.param))->name);
                         });

TEST(Decode, DropsTheMinsOfOneSuperblock) {
  std::mt19937_64 random(8);
  std::vector<std::uint8_t> row(144 * 3);
  for (std::uint8_t& b : row) b = static_cast<std::uint8_t>(random());
  for (std::size_t b = 0; b < 3; ++b) {
    row[144 * b] = row[144 * b + 2] = 0;  // d and dmin of 1 or -1
    row[144 * b + 1] = row[144 * b + 3] = 0x3c;
  }
  const std::vector<double> whole = decode_row(Type::Q4_K, row);
  const std::vector<double> damaged = decode_row(Type::Q4_K, row, 1);
  int changed = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (i < 256 || i >= 512)
      EXPECT_EQ(whole[i], damaged[i]);
    else
      changed += whole[i] != damaged[i];
  }
  EXPECT_GT(changed, 200);
}

}  // namespace
}  // namespace reference
