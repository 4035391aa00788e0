// For tests of kernels: weights of random bytes, and what their packed form means, read word by word as packed.h says.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "compute/cuda/packed.h"
#include "quant/half.h"

namespace compute::cuda::test {

template <typename T>
T read(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

inline float half_at(std::span<const std::byte> bytes, std::size_t at) {
  return quant::half_to_float(read<std::uint16_t>(bytes, at));
}

struct Element {
  float value = 0;
  float error = 0;  // by how much the rounding of scales, or of the value itself, can have moved it
};

// Half a unit in the last place of binary16 at `value`.
inline float half_rounding(float value) { return std::max(std::abs(value) * 0x1p-11F, 0x1p-25F); }

inline Element unpack(Format format, std::span<const std::byte> packed, std::size_t cols, std::size_t row,
                      std::size_t col) {
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
  const std::size_t scale_row = r % 8 * 2 + r / 8;
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

// Random bytes, but scales (binary16, at the start or end of a block) between 2^-14 and 2^-6 so that products stay in
// range.
inline std::vector<std::byte> random_weight(quant::Type type, std::size_t rows, std::size_t cols,
                                            std::mt19937& random) {
  using quant::Type;
  const auto info = *quant::type_info(type);
  std::vector<std::byte> bytes(rows * cols / info.block * info.block_bytes);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() & 255);
  std::vector<std::size_t> scales;
  switch (type) {
    case Type::Q4_K:
    case Type::Q5_K:
      scales = {0, 2};
      break;
    case Type::Q6_K:
      scales = {208};
      break;
    case Type::Q8_0:
    case Type::F16:
      scales = {0};
      break;
    default:
      break;
  }
  for (std::size_t block = 0; block < bytes.size(); block += info.block_bytes) {
    for (const std::size_t at : scales) {
      const auto bits = static_cast<std::uint16_t>(0x0400 + random() % 0x2000);
      std::memcpy(bytes.data() + block + at, &bits, sizeof bits);
    }
  }
  return bytes;
}

// A packed weight of random bytes with all its rows, those of the padding too, as kernels take them apart: [row][col],
// each rounded to binary16.
struct RandomWeight {
  RandomWeight(quant::Type type, std::size_t rows, std::size_t cols, std::mt19937& random) {
    const auto raw = random_weight(type, rows, cols, random);
    bytes = pack_rows({type, rows, cols, raw}, 0, rows);
    matrix = {packed_format(type), rows, cols, bytes.data()};
    for (std::size_t r = 0; r < matrix.padded_rows(); ++r) {
      for (std::size_t c = 0; c < matrix.padded_cols(); ++c) {
        values.push_back(quant::half_to_float(quant::float_to_half(unpack(matrix.format, bytes, cols, r, c).value)));
      }
    }
  }
  float at(std::size_t row, std::size_t col) const { return values[row * matrix.padded_cols() + col]; }

  std::vector<std::byte> bytes;
  PackedMatrix matrix;
  std::vector<float> values;
};

}  // namespace compute::cuda::test
