// What the bits of a tensor's row mean, in float64, written from the formats' descriptions and not from src/quant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace reference {

// ggml's numbers.
enum class Type : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ4_NL = 20,
  IQ4_XS = 23,
  BF16 = 30
};

struct BlockSize {
  std::size_t elements;
  std::size_t bytes;
};
BlockSize block_size(Type type);

// A mistake for decode_row: the mins of the `superblock`-th 256 weights of row `row` of a Q2_K, Q4_K or Q5_K tensor are
// taken as zero; of every superblock of every row if `everywhere`.
struct DroppedMins {
  std::string tensor;
  bool everywhere = false;
  std::size_t row = 0;
  std::size_t superblock = 0;
};

// `without_mins`: the superblock whose mins are dropped, `all` for every one, `none` as it should be.
inline constexpr std::size_t none = SIZE_MAX;
inline constexpr std::size_t all = SIZE_MAX - 1;
std::vector<double> decode_row(Type type, std::span<const std::uint8_t> row, std::size_t without_mins = none);

}  // namespace reference
