// The packed form of weights, read word by word as packed.h says, against quant::decode.
#include "compute/cuda/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "quant/decode.h"
#include "quant/half.h"

namespace compute::cuda {
namespace {

using quant::Type;

template <typename T>
T read(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

float half_at(std::span<const std::byte> bytes, std::size_t at) {
  return quant::half_to_float(read<std::uint16_t>(bytes, at));
}

struct Element {
  float value = 0;
  float error = 0;  // by how much the rounding of scales, or of the value itself, can have moved it
};

// Half a unit in the last place of binary16 at `value`.
float half_rounding(float value) { return std::max(std::abs(value) * 0x1p-11F, 0x1p-25F); }

Element unpack(Format format, std::span<const std::byte> packed, std::size_t cols, std::size_t row, std::size_t col) {
  const std::size_t tile = row / 16 * (round_up(cols, tile_cols) / tile_cols) + col / 64;
  const auto bytes = packed.subspan(tile * tile_bytes(format), tile_bytes(format));
  const std::size_t r = row % 16;
  const std::size_t c = col % 64;
  const std::size_t step = c / 16;
  const std::size_t pair = (r >= 8 ? 1 : 0) + (c % 16 >= 8 ? 2 : 0);
  const std::size_t lane = 4 * (r % 8) + c % 8 / 2;
  const std::size_t second = c % 2;
  if (format == Format::F16) {
    const float value = half_at(bytes, step * 512 + lane * 16 + pair * 4 + second * 2);
    return {value, half_rounding(value)};
  }
  const auto word = read<std::uint32_t>(bytes, lane * 16 + step * 4);
  const std::uint32_t low = word >> (16 * second + 4 * pair) & 15;
  const std::size_t scale_row = (r % 8 * 2 + r / 8);
  if (format == Format::Q4) {
    const std::size_t at = 512 + (scale_row * 2 + c / 32) * 4;
    const float s = half_at(bytes, at);
    const float m = half_at(bytes, at + 2);
    const auto q = static_cast<float>(low);
    return {s * q - m, half_rounding(s) * q + half_rounding(m)};
  }
  const auto high_word = read<std::uint32_t>(bytes, 512 + lane * 8 + step / 2 * 4);
  const std::uint32_t high = high_word >> (16 * second + 8 * (step % 2) + 4 * (pair % 2) + 2 * (pair / 2)) & 3;
  const float s = half_at(bytes, 768 + (scale_row * 4 + c / 16) * 2);
  const float q = static_cast<float>(low | high << 4) - 32;
  return {s * q, half_rounding(s) * std::abs(q)};
}

// Random bytes, but scales (binary16, at these bytes of a block) between 2^-14 and 2^-6 so that products stay in range.
std::vector<std::byte> random_weight(Type type, std::size_t rows, std::size_t cols, std::mt19937& random) {
  const auto info = *quant::type_info(type);
  std::vector<std::byte> bytes(rows * cols / info.block * info.block_bytes);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() & 255);
  std::vector<std::size_t> scales;
  switch (type) {
    case Type::Q4_K:
    case Type::Q5_K: scales = {0, 2}; break;
    case Type::Q6_K: scales = {208}; break;
    case Type::Q8_0: scales = {0}; break;
    case Type::F16: scales = {0}; break;
    default: break;
  }
  for (std::size_t block = 0; block < bytes.size(); block += info.block_bytes) {
    for (const std::size_t at : scales) {
      const auto bits = static_cast<std::uint16_t>(0x0400 + random() % 0x2000);
      std::memcpy(bytes.data() + block + at, &bits, sizeof bits);
    }
  }
  return bytes;
}

void check_tiles(Type type, Format format, std::size_t rows, std::size_t cols) {
  SCOPED_TRACE(std::string(quant::type_info(type)->name) + " " + std::to_string(rows) + " x " + std::to_string(cols));
  ASSERT_EQ(packed_format(type), format);
  std::mt19937 random(static_cast<unsigned>(rows * 131 + cols));
  const auto bytes = random_weight(type, rows, cols, random);
  const Matrix weight{type, rows, cols, bytes};
  const PackedMatrix shape{format, rows, cols, nullptr};

  // In two pieces where there are rows enough: the second starts where the first one's tiles end.
  std::vector<std::byte> packed = pack_rows(weight, 0, std::min<std::size_t>(rows, 64));
  if (rows > 64) {
    const auto rest = pack_rows(weight, 64, rows - 64);
    packed.insert(packed.end(), rest.begin(), rest.end());
  }
  ASSERT_EQ(packed.size(), shape.bytes());

  std::vector<float> expected(cols);
  const std::size_t row_bytes = bytes.size() / rows;
  for (std::size_t r = 0; r < shape.padded_rows(); ++r) {
    if (r < rows) quant::decode(type, weight.data.subspan(r * row_bytes, row_bytes), expected);
    for (std::size_t c = 0; c < shape.padded_cols(); ++c) {
      const Element element = unpack(format, packed, cols, r, c);
      if (r < rows && c < cols) {
        // A little more for the arithmetic in float of both sides.
        ASSERT_NEAR(element.value, expected[c], element.error * 1.01F + std::abs(expected[c]) * 0x1p-20F)
            << "row " << r << ", column " << c;
      } else {
        ASSERT_EQ(element.value, 0) << "row " << r << ", column " << c;
      }
    }
  }
}

TEST(Packed, TilesHoldWhatTheWeightHolds) {
  for (const std::size_t rows : {1, 16, 64, 80, 129}) {
    for (const std::size_t cols : {256, 768}) {
      check_tiles(Type::Q4_K, Format::Q4, rows, cols);
      check_tiles(Type::Q6_K, Format::Q6, rows, cols);
      check_tiles(Type::Q5_K, Format::F16, rows, cols);
    }
    check_tiles(Type::Q8_0, Format::F16, rows, 96);
    check_tiles(Type::F16, Format::F16, rows, 7);
  }
}

TEST(Packed, FloatRowsStayAsTheyAre) {
  std::mt19937 random(1);
  for (const Type type : {Type::F32, Type::BF16}) {
    ASSERT_EQ(packed_format(type), Format::F32);
    const auto bytes = random_weight(type, 5, 33, random);
    const Matrix weight{type, 5, 33, bytes};
    const auto packed = pack_rows(weight, 1, 3);
    std::vector<float> expected(3 * 33);
    const std::size_t row_bytes = bytes.size() / 5;
    quant::decode(type, weight.data.subspan(row_bytes, 3 * row_bytes), expected);
    ASSERT_EQ(packed.size(), expected.size() * sizeof(float));
    EXPECT_EQ(std::memcmp(packed.data(), expected.data(), packed.size()), 0);
  }
}

}  // namespace
}  // namespace compute::cuda
