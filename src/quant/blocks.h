// The blocks of quantised tensors, byte for byte as ggml lays them out (little-endian). Scales are binary16 bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quant {

// 32 weights: w = d * q.
struct BlockQ8_0 {
  std::uint16_t d;
  std::int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

// 32 weights: w = d * (q - 8). Byte i of q holds weight i in its low nibble and weight 16 + i in its high one, as in
// the four that follow.
struct BlockQ4_0 {
  std::uint16_t d;
  std::uint8_t q[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

// 32 weights: w = d * q + m.
struct BlockQ4_1 {
  std::uint16_t d;
  std::uint16_t m;
  std::uint8_t q[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

// 32 weights: w = d * (q - 16). Bit i % 8 of high[i / 8] is the fifth of weight i.
struct BlockQ5_0 {
  std::uint16_t d;
  std::uint8_t high[4];
  std::uint8_t q[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

// 32 weights: w = d * q + m, with a fifth bit as in Q5_0.
struct BlockQ5_1 {
  std::uint16_t d;
  std::uint16_t m;
  std::uint8_t high[4];
  std::uint8_t q[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

// What a nibble of IQ4_NL and IQ4_XS stands for: values that lie closer to each other near zero, where most weights
// are.
inline constexpr std::int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

// 32 weights: w = d * iq4_values[q].
struct BlockIQ4_NL {
  std::uint16_t d;
  std::uint8_t q[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

// 256 weights in 16 groups of 16: w = d * scale * q - dmin * min, q 2 bits. Byte j of scales has the scale of group j
// in its low nibble and the min in its high one. Each half of 128 weights has 32 bytes of q: weight 32k + i of the half
// (k 0 to 3, i 0 to 31) is bits 2k and 2k+1 of byte i.
struct BlockQ2_K {
  std::uint8_t scales[16];
  std::uint8_t q[64];
  std::uint16_t d;
  std::uint16_t dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

// 256 weights in 16 groups of 16: w = d * scale * (q - 4), q 3 bits, scale -32 to 31 (q3_k_scale unpacks it). The low
// two bits of q lie as in Q2_K; the third of weight i of group pair j (0 to 7, 32 weights each) is bit j of high[i].
struct BlockQ3_K {
  std::uint8_t high[32];
  std::uint8_t low[64];
  std::uint8_t scales[12];
  std::uint16_t d;
};
static_assert(sizeof(BlockQ3_K) == 110);

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

// 256 weights in 8 groups of 32: w = d * (scale_j - 32) * iq4_values[q], scale_j 6 bits: the low four are nibble j % 2
// of scales_low[j / 2], the high two bits 2j and 2j+1 of scales_high. Group j has bytes 16j to 16j+15 of q, which hold
// its weights as IQ4_NL's do.
struct BlockIQ4_XS {
  std::uint16_t d;
  std::uint16_t scales_high;
  std::uint8_t scales_low[4];
  std::uint8_t q[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

// The scale (6 bits) and the min (6 bits) of group j, 0 to 7, from the 12 bytes that Q4_K and Q5_K pack them into:
// groups 0 to 3 have a byte each, whose top two bits are those of groups 4 to 7.
struct GroupScale {
  std::uint8_t scale;
  std::uint8_t min;
};
GroupScale group_scale(const std::uint8_t (&packed)[12], int j);

// The scale of group j, 0 to 15, of Q3_K, -32 to 31: its low four bits are nibble j / 8 of byte j % 8, the high two
// bits 2(j / 4) and 2(j / 4) + 1 of byte 8 + j % 4; 32 is taken off.
int q3_k_scale(const std::uint8_t (&packed)[12], std::size_t j);

// The scale of group j, 0 to 7, of IQ4_XS, -32 to 31.
int iq4_xs_scale(const BlockIQ4_XS& block, std::size_t j);

}  // namespace quant
