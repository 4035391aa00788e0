// The blocks of quantised tensors, byte for byte as ggml lays them out (little-endian). Scales are binary16 bits.
#pragma once

#include <cstdint>

namespace quant {

// 32 weights: w = d * q.
struct BlockQ8_0 {
  std::uint16_t d;
  std::int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

// 256 weights in 8 groups of 32: w = d * scale_j * q - dmin * min_j, q 4 bits, scale_j and min_j 6 bits (group_scale
// unpacks them). Byte i of the k-th 32 bytes of q holds weight i of group 2k in its
// low nibble and weight i of group 2k+1 in its high one.
struct BlockQ4_K {
  std::uint16_t d;
  std::uint16_t dmin;
  std::uint8_t scales[12];
  std::uint8_t q[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

// As Q4_K, with a fifth bit of each weight: bit j of high[i] belongs to weight i of group j.
struct BlockQ5_K {
  std::uint16_t d;
  std::uint16_t dmin;
  std::uint8_t scales[12];
  std::uint8_t high[32];
  std::uint8_t q[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

// 256 weights in 16 groups of 16: w = d * scales[group] * (q - 32), q 6 bits. Each half of 128 weights has 64 bytes of
// low and 32 of high: weight 32k + i of the half (k 0 to 3, i 0 to 31) takes its low four bits from low[32 (k % 2) +
// i], nibble k / 2, and its high two from bits 2k and 2k+1 of high[i].
struct BlockQ6_K {
  std::uint8_t low[128];
  std::uint8_t high[64];
  std::int8_t scales[16];
  std::uint16_t d;
};
static_assert(sizeof(BlockQ6_K) == 210);

// The scale (6 bits) and the min (6 bits) of group j, 0 to 7, from the 12 bytes that Q4_K and Q5_K pack them into:
// groups 0 to 3 have a byte each, whose top two bits are those of groups 4 to 7.
struct GroupScale {
  std::uint8_t scale;
  std::uint8_t min;
};
GroupScale group_scale(const std::uint8_t (&packed)[12], int j);

}  // namespace quant
