// Random inputs for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "compute/compute.h"
#include "quant/blocks.h"
#include "quant/half.h"

namespace compute::cpu::test {

using Random = std::mt19937;

inline const std::vector<quant::Type>& all_types() {
  using enum quant::Type;
  static const std::vector<quant::Type> types = {F32,    F16,  BF16, Q8_0, Q4_0, Q4_1, Q5_0,  Q5_1,
                                                 IQ4_NL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS};
  return types;
}

// Those of them with blocks of 32, whose rows need not be multiples of 256.
inline const std::vector<quant::Type>& small_types() {
  using enum quant::Type;
  static const std::vector<quant::Type> types = {Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL};
  return types;
}

inline const std::vector<Isa>& vector_isas() {
  static const std::vector<Isa> isas = {Isa::Avx2, Isa::Avx512, Isa::Amx};
  return isas;
}

inline std::string isa_name(Isa isa) {
  static const char* const names[] = {"scalar", "avx2", "avx512", "amx"};
  return names[static_cast<std::size_t>(isa)];
}

// A weight that owns its bytes. Every bit of a quantised block is random, scales included, except that the binary16
// factors are finite; some are zero, negative or subnormal.
struct Weight {
  std::vector<std::byte> bytes;
  Matrix matrix;
};

inline std::uint16_t random_factor(Random& random) {
  switch (random() % 8) {
    case 0:
      return 0;
    case 1:
      return static_cast<std::uint16_t>(random() & 0x83ff);  // subnormal
    default:
      return quant::float_to_half(std::ldexp(static_cast<float>(random() % 2000) - 1000.0F, -20));
  }
}

template <typename Block>
void set_factors(Block& block, Random& random) {
  block.d = random_factor(random);
  if constexpr (requires { block.dmin; }) block.dmin = random_factor(random);
  if constexpr (requires { block.m; }) block.m = random_factor(random);
}

template <typename Block>
void fill_blocks(std::span<std::byte> bytes, Random& random) {
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, bytes.data() + at, sizeof block);
    // Every weight, scale and min at an end of its range.
    static constexpr int ends[] = {0xff, 0x00, 0x80};
    if (random() % 8 == 0) std::memset(&block, ends[random() % 3], sizeof block);
    set_factors(block, random);
    std::memcpy(bytes.data() + at, &block, sizeof block);
  }
}

inline Weight random_weight(quant::Type type, std::size_t rows, std::size_t cols, Random& random) {
  const auto info = *quant::type_info(type);
  Weight w;
  w.bytes.resize(rows * cols / info.block * info.block_bytes);
  std::normal_distribution<float> normal;
  switch (type) {
    case quant::Type::Q8_0:
      fill_blocks<quant::BlockQ8_0>(w.bytes, random);
      break;
    case quant::Type::Q4_0:
      fill_blocks<quant::BlockQ4_0>(w.bytes, random);
      break;
    case quant::Type::Q4_1:
      fill_blocks<quant::BlockQ4_1>(w.bytes, random);
      break;
    case quant::Type::Q5_0:
      fill_blocks<quant::BlockQ5_0>(w.bytes, random);
      break;
    case quant::Type::Q5_1:
      fill_blocks<quant::BlockQ5_1>(w.bytes, random);
      break;
    case quant::Type::IQ4_NL:
      fill_blocks<quant::BlockIQ4_NL>(w.bytes, random);
      break;
    case quant::Type::Q2_K:
      fill_blocks<quant::BlockQ2_K>(w.bytes, random);
      break;
    case quant::Type::Q3_K:
      fill_blocks<quant::BlockQ3_K>(w.bytes, random);
      break;
    case quant::Type::IQ4_XS:
      fill_blocks<quant::BlockIQ4_XS>(w.bytes, random);
      break;
    case quant::Type::Q4_K:
      fill_blocks<quant::BlockQ4_K>(w.bytes, random);
      break;
    case quant::Type::Q5_K:
      fill_blocks<quant::BlockQ5_K>(w.bytes, random);
      break;
    case quant::Type::Q6_K:
      fill_blocks<quant::BlockQ6_K>(w.bytes, random);
      break;
    default:
      for (std::size_t i = 0; i < rows * cols; ++i) {
        const float value = normal(random);
        const std::uint16_t half =
            type == quant::Type::F16 ? quant::float_to_half(value) : quant::float_to_bfloat(value);
        if (type == quant::Type::F32) std::memcpy(&w.bytes[i * 4], &value, 4);
        if (type != quant::Type::F32) std::memcpy(&w.bytes[i * 2], &half, 2);
      }
  }
  w.matrix = {type, rows, cols, w.bytes};
  return w;
}

// Normal values with outliers, and now and then a group of zeros.
inline std::vector<float> random_values(std::size_t count, Random& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& v : x) {
    v = normal(random);
    if (random() % 200 == 0) v *= 80;
  }
  for (std::size_t i = 0; i + 256 <= count; i += 256) {
    if (random() % 10 == 0) std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(i), 256, 0.0F);
  }
  return x;
}

inline Buffer to_device(Device& device, std::span<const float> x, std::size_t rows) {
  Buffer buffer = device.allocate(rows, x.size() / rows);
  device.write(x, buffer.view());
  return buffer;
}

inline std::vector<float> from_device(Device& device, View view) {
  const std::span<const float> x = device.read(view);
  return {x.begin(), x.end()};
}

// The content of activations, by way of a product with the identity.
inline std::vector<float> contents(Device& device, Activations& x) {
  std::vector<float> identity(x.cols() * x.cols());
  for (std::size_t i = 0; i < x.cols(); ++i) identity[i * x.cols() + i] = 1;
  const Matrix matrix{quant::Type::F32, x.cols(), x.cols(), std::as_bytes(std::span<const float>(identity))};
  Buffer y = device.allocate(x.rows(), x.cols());
  device.matmul(x, {{matrix, y.view()}});
  return from_device(device, y.view());
}

// Equal bits; any NaN equals any other.
inline testing::AssertionResult same_bits(std::span<const float> expected, std::span<const float> actual) {
  if (expected.size() != actual.size()) return testing::AssertionFailure() << "sizes differ";
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
    if (std::bit_cast<std::uint32_t>(expected[i]) != std::bit_cast<std::uint32_t>(actual[i])) {
      return testing::AssertionFailure() << "element " << i << ": " << expected[i] << " became " << actual[i];
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace compute::cpu::test

// For tests with the parameter Isa: skips where the machine cannot run it.
#define SMOLLM3_NEED_ISA(isa) \
  if (!compute::supported(isa)) GTEST_SKIP() << "this processor cannot run " << compute::cpu::test::isa_name(isa)
