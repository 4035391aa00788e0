#include "quant/encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string>

#include "base/error.h"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/fit.h"
#include "quant/half.h"

namespace quant {
namespace {

int round_to(float value, int low, int high) { return std::clamp(static_cast<int>(std::nearbyint(value)), low, high); }

// 1 / x, or 0 for 0: a group of zeros has scale 0 and all its weights 0.
float inverse(float x) { return x == 0 ? 0.0F : 1.0F / x; }

BlockQ8_0 pack_q8_0(std::span<const float> x) {
  float largest = 0;
  for (const float v : x) largest = std::max(largest, std::fabs(v));
  BlockQ8_0 block;
  block.d = scale_to_half(largest / 127);
  const float per_d = inverse(half_to_float(block.d));
  for (std::size_t i = 0; i < 32; ++i) block.q[i] = static_cast<std::int8_t>(round_to(x[i] * per_d, -127, 127));
  return block;
}

// What Q4_K and Q5_K share: d, dmin and the 12 bytes of scales and mins (GroupScale).
template <typename Block>
void pack_scales(const AffineBlock& fit, Block& block) {
  block.d = fit.d;
  block.dmin = fit.dmin;
  for (std::size_t j = 0; j < 4; ++j) {
    const int low_scale = fit.scale[j + 4] & 15;
    const int low_min = fit.min[j + 4] & 15;
    block.scales[j] = static_cast<std::uint8_t>(fit.scale[j] | fit.scale[j + 4] >> 4 << 6);
    block.scales[j + 4] = static_cast<std::uint8_t>(fit.min[j] | fit.min[j + 4] >> 4 << 6);
    block.scales[j + 8] = static_cast<std::uint8_t>(low_scale | low_min << 4);
  }
}

// The low four bits of 256 weights, two groups of 32 to 32 bytes.
void pack_nibbles(const std::array<std::uint8_t, 256>& q, std::uint8_t (&out)[128]) {
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t first = i / 32 * 64 + i % 32;
    out[i] = static_cast<std::uint8_t>((q[first] & 15) | (q[first + 32] & 15) << 4);
  }
}

BlockQ4_K pack_q4_k(std::span<const float> x) {
  const AffineBlock fit = fit_affine(x, 15);
  BlockQ4_K block;
  pack_scales(fit, block);
  pack_nibbles(fit.q, block.q);
  return block;
}

BlockQ5_K pack_q5_k(std::span<const float> x) {
  const AffineBlock fit = fit_affine(x, 31);
  BlockQ5_K block;
  pack_scales(fit, block);
  pack_nibbles(fit.q, block.q);
  for (std::size_t i = 0; i < 32; ++i) {
    int bits = 0;
    for (std::size_t group = 0; group < 8; ++group) bits |= (fit.q[group * 32 + i] >> 4) << group;
    block.high[i] = static_cast<std::uint8_t>(bits);
  }
  return block;
}

BlockQ6_K pack_q6_k(std::span<const float> x) {
  const SymmetricBlock fit = fit_symmetric(x);
  BlockQ6_K block{};
  block.d = fit.d;
  std::copy(fit.scale.begin(), fit.scale.end(), block.scales);
  for (std::size_t i = 0; i < 256; ++i) {
    const int q = fit.q[i] + 32;
    const std::size_t half = i / 128;
    const std::size_t k = i % 128 / 32;
    std::uint8_t& low = block.low[half * 64 + k % 2 * 32 + i % 32];
    std::uint8_t& high = block.high[half * 32 + i % 32];
    low = static_cast<std::uint8_t>(low | (q & 15) << (k / 2 * 4));
    high = static_cast<std::uint8_t>(high | (q >> 4) << (2 * k));
  }
  return block;
}

std::uint16_t pack_half(std::span<const float> x) { return float_to_half(x[0]); }
std::uint16_t pack_bfloat(std::span<const float> x) { return float_to_bfloat(x[0]); }

template <std::size_t elements, auto pack>
void encode_blocks(std::span<const float> row, std::span<std::byte> out) {
  for (std::size_t i = 0; i * elements < row.size(); ++i) {
    const auto block = pack(row.subspan(i * elements, elements));
    std::memcpy(out.data() + i * sizeof block, &block, sizeof block);
  }
}

void copy_floats(std::span<const float> row, std::span<std::byte> out) {
  std::memcpy(out.data(), row.data(), out.size());
}

struct Encoder {
  Type type;
  void (*encode)(std::span<const float> row, std::span<std::byte> out);
};

constexpr Encoder encoders[] = {
    {Type::F32, copy_floats},
    {Type::F16, encode_blocks<1, pack_half>},
    {Type::BF16, encode_blocks<1, pack_bfloat>},
    {Type::Q8_0, encode_blocks<32, pack_q8_0>},
    {Type::Q4_K, encode_blocks<256, pack_q4_k>},
    {Type::Q5_K, encode_blocks<256, pack_q5_k>},
    {Type::Q6_K, encode_blocks<256, pack_q6_k>},
};

const Encoder* find_encoder(Type type) {
  const Encoder* found = std::ranges::find(encoders, type, &Encoder::type);
  return found == std::end(encoders) ? nullptr : found;
}

}  // namespace

bool can_encode(Type type) { return find_encoder(type) != nullptr; }

void encode(Type type, std::span<const float> row, std::span<std::byte> out) {
  const auto info = type_info(type);
  const Encoder* encoder = find_encoder(type);
  if (!info || encoder == nullptr) {
    throw base::Error("tensor", "elements cannot be encoded as " + (info ? std::string(info->name) : "unknown type"),
                      "choose F32, F16, BF16, Q8_0, Q4_K, Q5_K or Q6_K");
  }
  if (row.size() % info->block != 0 || out.size() != row.size() / info->block * info->block_bytes) {
    throw base::Error(base::ErrorKind::Internal, "tensor",
                      "a row of " + std::to_string(row.size()) + " " + std::string(info->name) +
                          " elements cannot have " + std::to_string(out.size()) + " bytes");
  }
  encoder->encode(row, out);
}

}  // namespace quant
