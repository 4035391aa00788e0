// The numbers of a K-quant superblock that stand for 256 given weights with the least squared error. A search among
// good candidates: the best of all combinations would take far longer and gain little.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace quant {

// Q4_K and Q5_K: w = d * scale_j * q - dmin * min_j, in 8 groups of 32; scale_j and min_j 0 to 63. d and dmin are
// binary16 bits.
struct AffineBlock {
  std::uint16_t d;
  std::uint16_t dmin;
  std::array<std::uint8_t, 8> scale;
  std::array<std::uint8_t, 8> min;
  std::array<std::uint8_t, 256> q;
};

// Q6_K: w = d * scale_j * q, in 16 groups of 16; scale_j -128 to 127, q -32 to 31.
struct SymmetricBlock {
  std::uint16_t d;
  std::array<std::int8_t, 16> scale;
  std::array<std::int8_t, 256> q;
};

// The binary16 bits of a block's scale; throws base::Error if it is too large to be one.
std::uint16_t scale_to_half(float scale);

// `x` holds 256 finite weights; q goes up to `top`. Throws base::Error if they are too large for a binary16 d.
AffineBlock fit_affine(std::span<const float> x, int top);
SymmetricBlock fit_symmetric(std::span<const float> x);

}  // namespace quant
