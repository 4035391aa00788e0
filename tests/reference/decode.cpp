#include "reference/decode.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace reference {
namespace {

// 1 sign, 5 exponent (bias 15), 10 mantissa bits.
double half(const std::uint8_t* p) {
  const int bits = p[0] | p[1] << 8;
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                           : exponent == 31 ? (mantissa != 0 ? NAN : INFINITY)
                                            : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

double single(const std::uint8_t* p) {
  float value;
  std::memcpy(&value, p, 4);
  return value;
}

double brain(const std::uint8_t* p) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(p[0]) << 16 | static_cast<std::uint32_t>(p[1]) << 24);
}

double signed_byte(std::uint8_t b) { return std::bit_cast<std::int8_t>(b); }

struct ScaleAndMin {
  int scale;
  int min;
};

// The 12 bytes hold eight six-bit scales and eight six-bit mins. Those of groups 0 to 3 are the low six bits of bytes 0
// to 3 and 4 to 7. Those of group 4 + k have their low four bits in the nibbles of byte 8 + k (scale low, min high),
// and their high two in the top bits of byte k (scale) and 4 + k (min).
ScaleAndMin scale_and_min(const std::uint8_t* s, int group) {
  if (group < 4) return {s[group] & 63, s[group + 4] & 63};
  const int k = group - 4;
  return {(s[8 + k] & 15) | (s[k] >> 6) << 4, (s[8 + k] >> 4) | (s[4 + k] >> 6) << 4};
}

void decode_q8_0(const std::uint8_t* block, double* out) {
  for (int i = 0; i < 32; ++i) out[i] = half(block) * signed_byte(block[2 + i]);
}

constexpr int non_linear[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// d, then (types with an offset of their own) m, then (types of five bits) a 32-bit number with the highest bit of
// weight i in bit i, then 16 bytes: the low nibbles are the first 16 weights, the high nibbles the others.
void decode_32(Type type, const std::uint8_t* block, double* out) {
  const bool with_offset = type == Type::Q4_1 || type == Type::Q5_1;
  const bool five_bits = type == Type::Q5_0 || type == Type::Q5_1;
  const std::uint8_t* at = block + (with_offset ? 4 : 2);
  std::uint32_t high = 0;
  if (five_bits) {
    std::memcpy(&high, at, 4);
    at += 4;
  }
  for (int i = 0; i < 32; ++i) {
    int q = i < 16 ? at[i] % 16 : at[i - 16] / 16;
    if (high >> i & 1) q += 16;
    if (type == Type::IQ4_NL) q = non_linear[q];
    if (type == Type::Q4_0) q -= 8;
    if (type == Type::Q5_0) q -= 16;
    out[i] = half(block) * q + (with_offset ? half(block + 2) : 0);
  }
}

// A pair of bits of the 64 bytes that Q2_K and Q3_K have of them. The first 32 bytes hold weights 0 to 31 in their
// lowest pairs, 32 to 63 in the next, and so on; the other 32 bytes hold weights 128 to 255 in the same way.
int bit_pair(const std::uint8_t* bytes, int w) {
  const int row = w / 32;  // of eight, four to each 32 bytes
  return bytes[32 * (row / 4) + w % 32] / (1 << 2 * (row % 4)) % 4;
}

// 16 bytes of scale (low) and min (high nibble), 64 of bit pairs, d, dmin.
void decode_q2_k(const std::uint8_t* block, bool with_mins, double* out) {
  for (int w = 0; w < 256; ++w) {
    const int factors = block[w / 16];
    out[w] = half(block + 80) * (factors % 16) * bit_pair(block + 16, w) -
             (with_mins ? half(block + 82) * (factors / 16) : 0);
  }
}

// 32 bytes of third bits, 64 of bit pairs, 12 of scales, d. A weight is 0 to 3 if its third bit is set, else -4 to -1.
// Scales are six bits less 32: the low four of the first eight are the low nibbles of the first eight bytes, of the
// other eight the high nibbles; the last four bytes hold the high two bits, those of scales 0 to 3 in their lowest
// pairs.
void decode_q3_k(const std::uint8_t* block, double* out) {
  const std::uint8_t* packed = block + 96;
  for (int group = 0; group < 16; ++group) {
    const int low = group < 8 ? packed[group] % 16 : packed[group - 8] / 16;
    const int high = packed[8 + group % 4] / (1 << 2 * (group / 4)) % 4;
    const int scale = low + 16 * high - 32;
    for (int w = 16 * group; w < 16 * group + 16; ++w) {
      const bool third = (block[w % 32] >> (w / 32) & 1) != 0;
      out[w] = half(block + 108) * scale * (bit_pair(block + 32, w) - (third ? 0 : 4));
    }
  }
}

// d, 16 bits with the high two of each of eight scales, four bytes with the low four, then 16 bytes for each group
// of 32.
void decode_iq4_xs(const std::uint8_t* block, double* out) {
  const int high = block[2] + 256 * block[3];
  for (int group = 0; group < 8; ++group) {
    const int pair = block[4 + group / 2];
    const int scale = (group % 2 == 0 ? pair % 16 : pair / 16) + 16 * (high >> 2 * group & 3) - 32;
    const std::uint8_t* q = block + 8 + 16 * group;
    for (int i = 0; i < 16; ++i) {
      out[32 * group + i] = half(block) * scale * non_linear[q[i] % 16];
      out[32 * group + 16 + i] = half(block) * scale * non_linear[q[i] / 16];
    }
  }
}

// d, dmin, 12 bytes of scales, 32 bytes of fifth bits (Q5_K only), 128 bytes of nibbles.
void decode_q4_k_or_q5_k(const std::uint8_t* block, bool five_bits, bool with_mins, double* out) {
  const std::uint8_t* high = block + 16;
  const std::uint8_t* low = block + (five_bits ? 48 : 16);
  for (int group = 0; group < 8; ++group) {
    const auto [scale, min] = scale_and_min(block + 4, group);
    for (int i = 0; i < 32; ++i) {
      const int byte = low[32 * (group / 2) + i];
      int q = group % 2 == 0 ? byte & 15 : byte >> 4;
      if (five_bits) q += (high[i] >> group & 1) * 16;
      out[32 * group + i] = half(block) * scale * q - (with_mins ? half(block + 2) * min : 0);
    }
  }
}

// 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d.
void decode_q6_k(const std::uint8_t* block, double* out) {
  for (int w = 0; w < 256; ++w) {
    const int part = w / 128;    // each has 64 bytes of low bits and 32 of high
    const int k = w % 128 / 32;  // quarter of the part
    const int i = w % 32;
    const int low = block[64 * part + 32 * (k % 2) + i] >> (4 * (k / 2)) & 15;
    const int high = block[128 + 32 * part + i] >> (2 * k) & 3;
    out[w] = half(block + 208) * signed_byte(block[192 + w / 16]) * (low + 16 * high - 32);
  }
}

}  // namespace

BlockSize block_size(Type type) {
  switch (type) {
    case Type::F32:
      return {1, 4};
    case Type::F16:
    case Type::BF16:
      return {1, 2};
    case Type::Q4_0:
    case Type::IQ4_NL:
      return {32, 18};
    case Type::Q4_1:
      return {32, 20};
    case Type::Q5_0:
      return {32, 22};
    case Type::Q5_1:
      return {32, 24};
    case Type::Q8_0:
      return {32, 34};
    case Type::Q2_K:
      return {256, 84};
    case Type::Q3_K:
      return {256, 110};
    case Type::IQ4_XS:
      return {256, 136};
    case Type::Q4_K:
      return {256, 144};
    case Type::Q5_K:
      return {256, 176};
    case Type::Q6_K:
      return {256, 210};
  }
  throw std::invalid_argument("the reference has no decoder for tensor type " +
                              std::to_string(static_cast<std::uint32_t>(type)));
}

std::vector<double> decode_row(Type type, std::span<const std::uint8_t> row, std::size_t without_mins) {
  const auto [elements, bytes] = block_size(type);
  const std::size_t blocks = row.size() / bytes;
  std::vector<double> out(blocks * elements);
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::uint8_t* block = row.data() + b * bytes;
    double* to = out.data() + b * elements;
    const bool with_mins = without_mins != all && without_mins != b;
    switch (type) {
      case Type::F32:
        *to = single(block);
        break;
      case Type::F16:
        *to = half(block);
        break;
      case Type::BF16:
        *to = brain(block);
        break;
      case Type::Q4_0:
      case Type::Q4_1:
      case Type::Q5_0:
      case Type::Q5_1:
      case Type::IQ4_NL:
        decode_32(type, block, to);
        break;
      case Type::Q2_K:
        decode_q2_k(block, with_mins, to);
        break;
      case Type::Q3_K:
        decode_q3_k(block, to);
        break;
      case Type::IQ4_XS:
        decode_iq4_xs(block, to);
        break;
      case Type::Q8_0:
        decode_q8_0(block, to);
        break;
      case Type::Q4_K:
        decode_q4_k_or_q5_k(block, false, with_mins, to);
        break;
      case Type::Q5_K:
        decode_q4_k_or_q5_k(block, true, with_mins, to);
        break;
      case Type::Q6_K:
        decode_q6_k(block, to);
        break;
    }
  }
  return out;
}

}  // namespace reference
