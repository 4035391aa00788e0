// Each format against values worked out by hand from its definition, and encode against decode on random rows.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/error.h"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/encode.h"
#include "quant/half.h"
#include "quant/type.h"

namespace quant {
namespace {

template <typename Block>
std::span<const std::byte> bytes_of(const Block& block) {
  return std::as_bytes(std::span(&block, 1));
}

TEST(Half, EveryValueComesBack) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = half_to_float(half);
    const int exponent = half >> 10 & 31;
    const int fraction = half & 1023;
    if (exponent == 31 && fraction != 0) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value))));
      continue;
    }
    const double magnitude = exponent == 31  ? std::numeric_limits<double>::infinity()
                             : exponent == 0 ? std::ldexp(fraction, -24)
                                             : std::ldexp(1024 + fraction, exponent - 25);
    ASSERT_EQ(static_cast<double>(value), (half & 0x8000) != 0 ? -magnitude : magnitude) << bits;
    ASSERT_EQ(float_to_half(value), half);
  }
}

TEST(Half, RoundsToNearestEven) {
  // Between every pair of neighbours: the midpoint goes to the even one, and one step of float either side of it does
  // not.
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = half_to_float(bits);
    const float high = half_to_float(static_cast<std::uint16_t>(bits + 1));
    const float middle = (low + high) / 2;
    ASSERT_EQ(float_to_half(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(float_to_half(std::nextafter(middle, low)), bits);
    ASSERT_EQ(float_to_half(std::nextafter(middle, high)), bits + 1);
  }
  EXPECT_EQ(float_to_half(65519.996F), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0F), 0x7c00);
  EXPECT_EQ(float_to_half(-1e30F), 0xfc00);
}

TEST(Bfloat, RoundsToNearestEven) {
  std::mt19937 random(1);
  for (int i = 0; i < 100000; ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    const float back = bfloat_to_float(float_to_bfloat(value));
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(back));
      continue;
    }
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const float below = std::bit_cast<float>(bits & 0xffff0000U);
    const float above = std::bit_cast<float>((bits & 0xffff0000U) + 0x10000U);
    if (std::isinf(above) || std::isnan(above)) continue;
    const double to_below = std::fabs(double{value} - double{below});
    const double to_above = std::fabs(double{above} - double{value});
    const float nearest = to_below < to_above || (to_below == to_above && (bits >> 16) % 2 == 0) ? below : above;
    ASSERT_EQ(back, nearest);
  }
}

TEST(Type, SizesOfBlocks) {
  EXPECT_EQ(type_info(Type::Q4_K)->block_bytes, 144U);
  EXPECT_EQ(type_info(Type::Q6_K)->block, 256U);
  EXPECT_EQ(type_info(Type::MXFP4)->name, "MXFP4");
  EXPECT_FALSE(type_info(static_cast<Type>(4)));
  EXPECT_FALSE(type_info(static_cast<Type>(31)));
}

TEST(Decode, Q4_K) {
  BlockQ4_K block{};
  block.d = float_to_half(0.5F);
  block.dmin = float_to_half(0.25F);
  // Group 1: scale 63, min 7. Group 6: scale 0b110101, min 0b101001.
  block.scales[1] = 63;
  block.scales[5] = 7;
  block.scales[10] = 0x95;
  block.scales[2] = 0xc0;
  block.scales[6] = 0x80;
  block.q[3] = 0xe2;        // weight 3 of group 0 is 2, of group 1 is 14
  block.q[96 + 31] = 0x1f;  // weight 31 of group 6 is 15, of group 7 is 1
  std::vector<float> out(256);
  decode(Type::Q4_K, bytes_of(block), out);
  EXPECT_EQ(out[3], 0);
  EXPECT_EQ(out[32 + 3], 0.5F * 63 * 14 - 0.25F * 7);
  EXPECT_EQ(out[32 + 4], -0.25F * 7);
  EXPECT_EQ(out[6 * 32 + 31], 0.5F * 53 * 15 - 0.25F * 41);
  EXPECT_EQ(out[7 * 32 + 31], 0);
}

TEST(Decode, Q5_K) {
  BlockQ5_K block{};
  block.d = float_to_half(2);
  block.scales[2] = 3;
  block.q[32 + 5] = 0x07;
  block.high[5] = 1 << 2;
  std::vector<float> out(256);
  decode(Type::Q5_K, bytes_of(block), out);
  EXPECT_EQ(out[64 + 5], 2.0F * 3 * 23);
  EXPECT_EQ(out[64 + 6], 0);
}

TEST(Decode, Q6_K) {
  BlockQ6_K block{};
  block.d = float_to_half(-1);
  block.scales[8 + 4] = -128;  // weights 64 to 79 of the second half: k = 2
  block.low[64 + 7] = 0x90;    // high nibble of the first 32 bytes belongs to k = 2
  block.high[32 + 7] = 3 << 4;
  std::vector<float> out(256);
  decode(Type::Q6_K, bytes_of(block), out);
  EXPECT_EQ(out[128 + 64 + 7], -1.0F * -128 * (0x39 - 32));
  EXPECT_EQ(out[128 + 64 + 8], -1.0F * -128 * -32);
  EXPECT_EQ(out[0], 0);
}

TEST(Decode, NibblesOf32) {
  std::vector<float> out(32);
  BlockQ4_0 q4_0{};
  q4_0.d = float_to_half(0.5F);
  q4_0.q[3] = 0xe2;  // weight 3 is 2, weight 19 is 14
  decode(Type::Q4_0, bytes_of(q4_0), out);
  EXPECT_EQ(out[3], 0.5F * (2 - 8));
  EXPECT_EQ(out[19], 0.5F * (14 - 8));
  EXPECT_EQ(out[4], 0.5F * -8);

  BlockQ4_1 q4_1{};
  q4_1.d = float_to_half(0.5F);
  q4_1.m = float_to_half(-3);
  q4_1.q[15] = 0xe2;
  decode(Type::Q4_1, bytes_of(q4_1), out);
  EXPECT_EQ(out[15], 0.5F * 2 - 3);
  EXPECT_EQ(out[31], 0.5F * 14 - 3);
  EXPECT_EQ(out[0], -3);

  BlockIQ4_NL iq4_nl{};
  iq4_nl.d = float_to_half(2);
  iq4_nl.q[0] = 0xf8;
  decode(Type::IQ4_NL, bytes_of(iq4_nl), out);
  EXPECT_EQ(out[0], 2.0F * 1);
  EXPECT_EQ(out[16], 2.0F * 113);
  EXPECT_EQ(out[1], 2.0F * -127);
}

TEST(Decode, FifthBitsOf32) {
  std::vector<float> out(32);
  BlockQ5_0 q5_0{};
  q5_0.d = float_to_half(-1);
  q5_0.q[9] = 0x31;  // weight 9 has 1, weight 25 has 3
  q5_0.high[3] = 1 << 1;
  decode(Type::Q5_0, bytes_of(q5_0), out);
  EXPECT_EQ(out[9], -1.0F * (1 - 16));
  EXPECT_EQ(out[25], -1.0F * (16 + 3 - 16));

  BlockQ5_1 q5_1{};
  q5_1.d = float_to_half(2);
  q5_1.m = float_to_half(0.25F);
  q5_1.q[9] = 0x31;
  q5_1.high[1] = 1 << 1;
  decode(Type::Q5_1, bytes_of(q5_1), out);
  EXPECT_EQ(out[9], 2.0F * 17 + 0.25F);
  EXPECT_EQ(out[25], 2.0F * 3 + 0.25F);
}

TEST(Decode, Q2_K) {
  BlockQ2_K block{};
  block.d = float_to_half(0.5F);
  block.dmin = float_to_half(0.25F);
  block.scales[8 + 5] = 0x7c;  // weights 80 to 95 of the second half: k = 2, i from 16
  block.q[32 + 17] = 0b11'10'01'00;
  std::vector<float> out(256);
  decode(Type::Q2_K, bytes_of(block), out);
  EXPECT_EQ(out[128 + 64 + 17], 0.5F * 12 * 2 - 0.25F * 7);
  EXPECT_EQ(out[128 + 64 + 18], -0.25F * 7);
  EXPECT_EQ(out[128 + 32 + 17], 0);
}

TEST(Decode, Q3_K) {
  BlockQ3_K block{};
  block.d = float_to_half(2);
  // Group 13 (weights 208 to 223): low bits from nibble 1 of byte 5, high bits 6 and 7 of byte 8 + 1.
  block.scales[5] = 0x90;
  block.scales[9] = 0xc0;
  block.low[32 + 20] = 2 << 4;  // weight 212 is 128 + 64 + 20: k = 2
  block.high[20] = 1 << 6;
  std::vector<float> out(256);
  decode(Type::Q3_K, bytes_of(block), out);
  EXPECT_EQ(out[212], 2.0F * (0x39 - 32) * (6 - 4));
  EXPECT_EQ(out[213], 2.0F * (0x39 - 32) * -4);
  EXPECT_EQ(out[0], 2.0F * -32 * -4);
}

TEST(Decode, IQ4_XS) {
  BlockIQ4_XS block{};
  block.d = float_to_half(0.5F);
  block.scales_low[2] = 0xa0;  // group 5
  block.scales_high = 2 << 10;
  block.q[5 * 16 + 3] = 0x4f;
  std::vector<float> out(256);
  decode(Type::IQ4_XS, bytes_of(block), out);
  EXPECT_EQ(out[5 * 32 + 3], 0.5F * (42 - 32) * 113);
  EXPECT_EQ(out[5 * 32 + 19], 0.5F * (42 - 32) * -49);
  EXPECT_EQ(out[4 * 32], 0.5F * -32 * -127);
}

TEST(Decode, RefusesWrongSizes) {
  std::vector<std::byte> row(143);
  std::vector<float> out(256);
  EXPECT_THROW(decode(Type::Q4_K, row, out), base::Error);
  EXPECT_THROW(decode(Type::IQ3_S, row, out), base::Error);
  EXPECT_THROW(decode(Type::Q8_0, row, std::span(out).first(31)), base::Error);
}

struct Bound {
  Type type;
  double step;  // largest error, as a share of the largest value's magnitude
};

class RoundTrip : public testing::TestWithParam<Bound> {};

TEST_P(RoundTrip, ErrorIsBounded) {
  const auto [type, bound] = GetParam();
  const auto info = *type_info(type);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (int shape = 0; shape < 6; ++shape) {
    std::vector<float> x(1024);
    for (float& v : x) v = normal(random) * std::ldexp(1.0F, 2 * shape - 8);
    if (shape == 1) std::fill(x.begin(), x.end(), 0.0F);
    if (shape == 2)
      for (float& v : x) v = std::fabs(v);
    if (shape == 3) x[77] *= 50;
    std::vector<std::byte> row(x.size() / info.block * info.block_bytes);
    encode(type, x, row);
    std::vector<float> back(x.size());
    decode(type, row, back);
    for (std::size_t block = 0; block < x.size(); block += 256) {
      float widest = 0;
      for (std::size_t i = block; i < block + 256; ++i) widest = std::max(widest, std::fabs(x[i]));
      for (std::size_t i = block; i < block + 256; ++i) {
        ASSERT_LE(std::fabs(double{x[i]} - double{back[i]}), bound * widest) << info.name << " at " << i;
      }
    }
  }
}

// K-quants: half a step (the range is up to twice the largest value), and the rounding of the 6- and 8-bit scales,
// which moves the ends of a group's range by up to half a unit in 63 each.
INSTANTIATE_TEST_SUITE_P(Types, RoundTrip,
                         testing::Values(Bound{Type::F32, 0}, Bound{Type::F16, 1.0 / 2048},
                                         Bound{Type::BF16, 1.0 / 256}, Bound{Type::Q8_0, 0.0045},
                                         Bound{Type::Q4_K, 2 * 0.5 / 15 + 0.02}, Bound{Type::Q5_K, 2 * 0.5 / 31 + 0.02},
                                         Bound{Type::Q6_K, 1.0 / 32 + 0.01}),
                         [](const auto& test) { return std::string(type_info(test.param.type)->name); });

std::vector<float> round_trip(Type type, const std::vector<float>& x) {
  const auto info = *type_info(type);
  std::vector<std::byte> row(x.size() / info.block * info.block_bytes);
  encode(type, x, row);
  std::vector<float> back(x.size());
  decode(type, row, back);
  return back;
}

double squared_error(const std::vector<float>& x, const std::vector<float>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(double{x[i]} - double{y[i]}, 2);
  return sum;
}

std::vector<float> normal_row(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(size);
  for (float& v : x) v = normal(random);
  return x;
}

// The plain way: a group's extremes get the ends of q's range; scales and mins are rounded to parts of the largest.
std::vector<float> by_extremes(std::vector<float> x, std::size_t group, int lowest, int highest, int parts) {
  for (std::size_t block = 0; block < x.size(); block += 256) {
    const std::size_t groups = 256 / group;
    std::vector<double> scale(groups);
    std::vector<double> min(groups);
    for (std::size_t j = 0; j < groups; ++j) {
      const auto [low, high] = std::minmax_element(&x[block + j * group], &x[block + j * group] + group);
      if (lowest < 0) {
        scale[j] = std::max(double{std::fabs(*low)}, double{std::fabs(*high)}) / -lowest;
      } else {
        min[j] = -std::min(0.0, double{*low});
        scale[j] = (std::max(0.0, double{*high}) + min[j]) / highest;
      }
    }
    const double d = *std::max_element(scale.begin(), scale.end()) / parts;
    const double dmin = *std::max_element(min.begin(), min.end()) / parts;
    for (std::size_t i = 0; i < 256; ++i) {
      const double s = d > 0 ? d * std::round(scale[i / group] / d) : 0;
      const double m = dmin > 0 ? dmin * std::round(min[i / group] / dmin) : 0;
      float& v = x[block + i];
      const double q = s > 0 ? std::clamp(std::round((double{v} + m) / s), double(lowest), double(highest)) : 0;
      v = static_cast<float>(s * q - m);
    }
  }
  return x;
}

TEST(Encode, SearchedScalesBeatTheExtremes) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform;
  for (int shape = 0; shape < 5; ++shape) {
    std::vector<float> x = normal_row(4096, 11);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (shape == 1) x[i] = uniform(random);       // nothing to cut off
      if (shape == 2 && i % 100 == 0) x[i] *= 50;   // outliers
      if (shape == 3) x[i] = std::pow(x[i], 3.0F);  // long tails
      if (shape == 4) x[i] = 1 + 0.01F * x[i];      // far from 0
    }
    EXPECT_LT(squared_error(x, round_trip(Type::Q4_K, x)), squared_error(x, by_extremes(x, 32, 0, 15, 63))) << shape;
    EXPECT_LT(squared_error(x, round_trip(Type::Q5_K, x)), squared_error(x, by_extremes(x, 32, 0, 31, 63))) << shape;
    EXPECT_LT(squared_error(x, round_trip(Type::Q6_K, x)), squared_error(x, by_extremes(x, 16, -32, 31, 128))) << shape;
  }
}

TEST(Encode, RelativeErrorOfNormalWeights) {
  const std::vector<float> x = normal_row(1 << 16, 3);
  const double size = squared_error(x, std::vector<float>(x.size()));
  const auto relative = [&](Type type) { return std::sqrt(squared_error(x, round_trip(type, x)) / size); };
  EXPECT_LT(relative(Type::Q4_K), 0.0706);
  EXPECT_LT(relative(Type::Q5_K), 0.0348);
  EXPECT_LT(relative(Type::Q6_K), 0.0168);
  EXPECT_LT(relative(Type::Q8_0), 0.0054);
}

TEST(Encode, WhatHasAnExactFormKeepsIt) {
  std::mt19937 random(9);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution(low, high)(random); };
  for (int round = 0; round < 50; ++round) {
    for (const auto& [type, top] : {std::pair(Type::Q4_K, 15), std::pair(Type::Q5_K, 31)}) {
      // Each group uses the ends of its range, and one the largest scale and min.
      std::vector<float> x(256);
      for (std::size_t j = 0; j < 8; ++j) {
        const auto scale = static_cast<float>(j == 3 ? 63 : pick(20, 62)) * 0.0117F;
        const auto min = static_cast<float>(j == 5 ? 63 : pick(0, 62)) * half_to_float(float_to_half(0.0032F));
        const float d = half_to_float(float_to_half(0.0117F));
        for (std::size_t i = 0; i < 32; ++i) {
          const int q = i == 0 ? 0 : i == 1 ? top : pick(0, top);
          x[j * 32 + i] = d * std::round(scale / 0.0117F) * static_cast<float>(q) - min;
        }
      }
      EXPECT_EQ(round_trip(type, x), x) << round;
    }
    std::vector<float> x(256);
    for (std::size_t i = 0; i < 256; ++i) {
      const std::size_t j = i / 16;
      const auto scale = static_cast<float>(j == 7 ? -128 : j % 2 == 0 ? 40 + static_cast<int>(j) : -100);
      x[i] = half_to_float(float_to_half(0.0007F)) * scale * static_cast<float>(i % 16 == 4 ? -32 : pick(-31, 31));
    }
    EXPECT_EQ(round_trip(Type::Q6_K, x), x) << round;
  }
}

const std::vector<Type> block_types = {Type::Q8_0, Type::Q4_K, Type::Q5_K, Type::Q6_K};

TEST(Encode, ZerosAndConstants) {
  for (const Type type : block_types) {
    const std::vector<float> zeros(512);
    EXPECT_EQ(round_trip(type, zeros), zeros);
    for (const float value : {1.0F, -1.0F, 0.37F, -123.4F}) {
      for (const float v : round_trip(type, std::vector<float>(256, value))) ASSERT_NEAR(v / value, 1, 1e-3);
      // One group of it among zeros.
      std::vector<float> x(256);
      std::fill(x.begin() + 64, x.begin() + 96, value);
      const std::vector<float> back = round_trip(type, x);
      for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(back[i] / value, x[i] / value, 1e-3);
    }
  }
}

TEST(Encode, PowersOfTwoChangeNothingElse) {
  const std::vector<float> x = normal_row(1024, 4);
  for (const Type type : block_types) {
    const std::vector<float> back = round_trip(type, x);
    for (const int power : {-2, 5, 12}) {
      std::vector<float> scaled = x;
      for (float& v : scaled) v = std::ldexp(v, power);
      scaled = round_trip(type, scaled);
      for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(scaled[i], std::ldexp(back[i], power));
    }
  }
}

TEST(Encode, TheEndsOfWhatScalesCanBe) {
  for (const Type type : block_types) {
    for (const float size : {1e9F, 1e20F, 3e38F}) {
      std::vector<float> x = normal_row(256, 6);
      x[100] = size;
      std::vector<std::byte> row(256 / type_info(type)->block * type_info(type)->block_bytes);
      EXPECT_THROW(encode(type, x, row), base::Error);
      x[100] = -size;
      EXPECT_THROW(encode(type, x, row), base::Error);
    }
    // Scales that are subnormal, or round to nothing: never worse than zeros.
    for (const float size : {1e-5F, 1e-6F, 1e-7F, 1e-9F, 1e-30F, 1e-42F}) {
      std::vector<float> x = normal_row(256, 6);
      for (float& v : x) v *= size;
      EXPECT_LE(squared_error(x, round_trip(type, x)), squared_error(x, std::vector<float>(256)));
    }
  }
  std::vector<float> large = normal_row(256, 8);
  for (float& v : large) v *= 1e6F;
  EXPECT_LT(squared_error(large, round_trip(Type::Q4_K, large)),
            0.08 * 0.08 * squared_error(large, std::vector<float>(256)));
}

}  // namespace
}  // namespace quant
