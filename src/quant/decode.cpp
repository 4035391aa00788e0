#include "quant/decode.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "base/error.h"
#include "quant/blocks.h"
#include "quant/half.h"

namespace quant {

GroupScale group_scale(const std::uint8_t (&packed)[12], int j) {
  if (j < 4) return {static_cast<std::uint8_t>(packed[j] & 63), static_cast<std::uint8_t>(packed[j + 4] & 63)};
  return {static_cast<std::uint8_t>((packed[j + 4] & 15) | (packed[j - 4] >> 6 << 4)),
          static_cast<std::uint8_t>((packed[j + 4] >> 4) | (packed[j] >> 6 << 4))};
}

int q3_k_scale(const std::uint8_t (&packed)[12], std::size_t j) {
  return ((packed[j % 8] >> (j / 8 * 4) & 15) | (packed[8 + j % 4] >> (j / 4 * 2) & 3) << 4) - 32;
}

int iq4_xs_scale(const BlockIQ4_XS& block, std::size_t j) {
  return ((block.scales_low[j / 2] >> (j % 2 * 4) & 15) | (block.scales_high >> (2 * j) & 3) << 4) - 32;
}

namespace {

void expand_q8_0(const BlockQ8_0& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  for (std::size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.q[i]);
}

// Weight i of the 32 in 16 bytes.
int nibble(const std::uint8_t (&q)[16], std::size_t i) { return q[i % 16] >> (i / 16 * 4) & 15; }

int fifth_bit(const std::uint8_t (&high)[4], std::size_t i) { return (high[i / 8] >> (i % 8) & 1) << 4; }

void expand_q4_0(const BlockQ4_0& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  for (std::size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(nibble(block.q, i) - 8);
}

void expand_q4_1(const BlockQ4_1& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  const float m = half_to_float(block.m);
  for (std::size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(nibble(block.q, i)) + m;
}

void expand_q5_0(const BlockQ5_0& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  for (std::size_t i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>((nibble(block.q, i) | fifth_bit(block.high, i)) - 16);
  }
}

void expand_q5_1(const BlockQ5_1& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  const float m = half_to_float(block.m);
  for (std::size_t i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(nibble(block.q, i) | fifth_bit(block.high, i)) + m;
  }
}

void expand_iq4_nl(const BlockIQ4_NL& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  for (std::size_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(iq4_values[nibble(block.q, i)]);
}

void expand_q2_k(const BlockQ2_K& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  const float dmin = half_to_float(block.dmin);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::uint8_t scales = block.scales[i / 16];
    const int q = block.q[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
    out[i] = d * static_cast<float>(scales & 15) * static_cast<float>(q) - dmin * static_cast<float>(scales >> 4);
  }
}

void expand_q3_k(const BlockQ3_K& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  for (std::size_t i = 0; i < 256; ++i) {
    const int low = block.low[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
    const int high = block.high[i % 32] >> (i / 32) & 1;
    out[i] = d * static_cast<float>(q3_k_scale(block.scales, i / 16)) * static_cast<float>((low | high << 2) - 4);
  }
}

void expand_iq4_xs(const BlockIQ4_XS& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  for (std::size_t i = 0; i < 256; ++i) {
    const int q = block.q[i / 32 * 16 + i % 16] >> (i / 16 % 2 * 4) & 15;
    out[i] = d * static_cast<float>(iq4_xs_scale(block, i / 32)) * static_cast<float>(iq4_values[q]);
  }
}

void expand_q4_k(const BlockQ4_K& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  const float dmin = half_to_float(block.dmin);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t group = i / 32;
    const GroupScale g = group_scale(block.scales, static_cast<int>(group));
    const int q = (block.q[group / 2 * 32 + i % 32] >> (group % 2 * 4)) & 15;
    out[i] = d * static_cast<float>(g.scale) * static_cast<float>(q) - dmin * static_cast<float>(g.min);
  }
}

void expand_q5_k(const BlockQ5_K& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  const float dmin = half_to_float(block.dmin);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t group = i / 32;
    const GroupScale g = group_scale(block.scales, static_cast<int>(group));
    const int low = (block.q[group / 2 * 32 + i % 32] >> (group % 2 * 4)) & 15;
    const int q = low | ((block.high[i % 32] >> group & 1) << 4);
    out[i] = d * static_cast<float>(g.scale) * static_cast<float>(q) - dmin * static_cast<float>(g.min);
  }
}

void expand_q6_k(const BlockQ6_K& block, std::span<float> out) {
  const float d = half_to_float(block.d);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t half = i / 128;
    const std::size_t k = i % 128 / 32;
    const int low = (block.low[half * 64 + k % 2 * 32 + i % 32] >> (k / 2 * 4)) & 15;
    const int high = (block.high[half * 32 + i % 32] >> (2 * k)) & 3;
    out[i] = d * static_cast<float>(block.scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
  }
}

void expand_half(const std::uint16_t& bits, std::span<float> out) { out[0] = half_to_float(bits); }
void expand_bfloat(const std::uint16_t& bits, std::span<float> out) { out[0] = bfloat_to_float(bits); }

// Blocks may lie at any address, so they are copied out.
template <typename Block, std::size_t elements, void (*expand)(const Block&, std::span<float>)>
void decode_blocks(std::span<const std::byte> row, std::span<float> out) {
  for (std::size_t i = 0; i * elements < out.size(); ++i) {
    Block block;
    std::memcpy(&block, row.data() + i * sizeof block, sizeof block);
    expand(block, out.subspan(i * elements, elements));
  }
}

void copy_floats(std::span<const std::byte> row, std::span<float> out) {
  std::memcpy(out.data(), row.data(), row.size());
}

struct Decoder {
  Type type;
  void (*decode)(std::span<const std::byte> row, std::span<float> out);
};

constexpr Decoder decoders[] = {
    {Type::F32, copy_floats},
    {Type::F16, decode_blocks<std::uint16_t, 1, expand_half>},
    {Type::BF16, decode_blocks<std::uint16_t, 1, expand_bfloat>},
    {Type::Q8_0, decode_blocks<BlockQ8_0, 32, expand_q8_0>},
    {Type::Q4_0, decode_blocks<BlockQ4_0, 32, expand_q4_0>},
    {Type::Q4_1, decode_blocks<BlockQ4_1, 32, expand_q4_1>},
    {Type::Q5_0, decode_blocks<BlockQ5_0, 32, expand_q5_0>},
    {Type::Q5_1, decode_blocks<BlockQ5_1, 32, expand_q5_1>},
    {Type::IQ4_NL, decode_blocks<BlockIQ4_NL, 32, expand_iq4_nl>},
    {Type::Q2_K, decode_blocks<BlockQ2_K, 256, expand_q2_k>},
    {Type::Q3_K, decode_blocks<BlockQ3_K, 256, expand_q3_k>},
    {Type::Q4_K, decode_blocks<BlockQ4_K, 256, expand_q4_k>},
    {Type::Q5_K, decode_blocks<BlockQ5_K, 256, expand_q5_k>},
    {Type::Q6_K, decode_blocks<BlockQ6_K, 256, expand_q6_k>},
    {Type::IQ4_XS, decode_blocks<BlockIQ4_XS, 256, expand_iq4_xs>},
};

const Decoder* find_decoder(Type type) {
  const Decoder* found = std::ranges::find(decoders, type, &Decoder::type);
  return found == std::end(decoders) ? nullptr : found;
}

}  // namespace

bool can_decode(Type type) { return find_decoder(type) != nullptr; }

void decode(Type type, std::span<const std::byte> row, std::span<float> out) {
  const auto info = type_info(type);
  const Decoder* decoder = find_decoder(type);
  if (!info || decoder == nullptr) {
    throw base::Error("tensor",
                      "elements of type " + (info ? std::string(info->name) : "unknown") + " cannot be decoded",
                      "convert the model to Q2_K to Q6_K, Q4_0 to Q8_0, IQ4_NL, IQ4_XS, F16, BF16 or F32");
  }
  if (out.size() % info->block != 0 || row.size() != out.size() / info->block * info->block_bytes) {
    throw base::Error(base::ErrorKind::Internal, "tensor",
                      "a row of " + std::to_string(out.size()) + " " + std::string(info->name) +
                          " elements cannot have " + std::to_string(row.size()) + " bytes");
  }
  decoder->decode(row, out);
}

}  // namespace quant
