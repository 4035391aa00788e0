#include "quant/encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "base/error.h"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/half.h"

namespace quant {
namespace {

int round_to(float value, int low, int high) { return std::clamp(static_cast<int>(std::nearbyint(value)), low, high); }

// 1 / x, or 0 for 0: a group of zeros has scale 0 and all its weights 0.
float inverse(float x) { return x == 0 ? 0.0F : 1.0F / x; }

BlockQ8_0 pack_q8_0(std::span<const float> x) {
  float amax = 0;
  for (const float v : x) amax = std::max(amax, std::fabs(v));
  BlockQ8_0 block;
  block.d = float_to_half(amax / 127);
  const float per_d = inverse(half_to_float(block.d));
  for (std::size_t i = 0; i < 32; ++i) block.q[i] = static_cast<std::int8_t>(round_to(x[i] * per_d, -127, 127));
  return block;
}

// What Q4_K and Q5_K share: d, dmin and the 8 packed scales and mins, and the weights as integers up to `top`.
template <typename Block>
std::array<std::uint8_t, 256> fit_groups(std::span<const float> x, int top, Block& block) {
  std::array<float, 8> scale;
  std::array<float, 8> min;
  for (std::size_t j = 0; j < 8; ++j) {
    const auto group = x.subspan(j * 32, 32);
    const float low = std::min(0.0F, *std::min_element(group.begin(), group.end()));
    const float high = std::max(low, *std::max_element(group.begin(), group.end()));
    scale[j] = (high - low) / static_cast<float>(top);
    min[j] = -low;
  }
  block.d = float_to_half(*std::max_element(scale.begin(), scale.end()) / 63);
  block.dmin = float_to_half(*std::max_element(min.begin(), min.end()) / 63);
  const float d = half_to_float(block.d);
  const float dmin = half_to_float(block.dmin);
  std::array<std::uint8_t, 256> q;
  std::fill(std::begin(block.scales), std::end(block.scales), std::uint8_t{0});
  for (std::size_t j = 0; j < 8; ++j) {
    const int s = round_to(scale[j] * inverse(d), 0, 63);
    const int m = round_to(min[j] * inverse(dmin), 0, 63);
    if (j < 4) {
      block.scales[j] = static_cast<std::uint8_t>(block.scales[j] | s);
      block.scales[j + 4] = static_cast<std::uint8_t>(block.scales[j + 4] | m);
    } else {
      block.scales[j + 4] = static_cast<std::uint8_t>((s & 15) | (m & 15) << 4);
      block.scales[j - 4] = static_cast<std::uint8_t>(block.scales[j - 4] | s >> 4 << 6);
      block.scales[j] = static_cast<std::uint8_t>(block.scales[j] | m >> 4 << 6);
    }
    const float step = inverse(d * static_cast<float>(s));
    const float offset = dmin * static_cast<float>(m);
    for (std::size_t i = j * 32; i < j * 32 + 32; ++i) {
      q[i] = static_cast<std::uint8_t>(round_to((x[i] + offset) * step, 0, top));
    }
  }
  return q;
}

// The low four bits of 256 weights, two groups of 32 to 32 bytes.
void pack_nibbles(const std::array<std::uint8_t, 256>& q, std::uint8_t (&out)[128]) {
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t first = i / 32 * 64 + i % 32;
    out[i] = static_cast<std::uint8_t>((q[first] & 15) | (q[first + 32] & 15) << 4);
  }
}

BlockQ4_K pack_q4_k(std::span<const float> x) {
  BlockQ4_K block;
  pack_nibbles(fit_groups(x, 15, block), block.q);
  return block;
}

BlockQ5_K pack_q5_k(std::span<const float> x) {
  BlockQ5_K block;
  const auto q = fit_groups(x, 31, block);
  pack_nibbles(q, block.q);
  for (std::size_t i = 0; i < 32; ++i) {
    int bits = 0;
    for (std::size_t group = 0; group < 8; ++group) bits |= (q[group * 32 + i] >> 4) << group;
    block.high[i] = static_cast<std::uint8_t>(bits);
  }
  return block;
}

BlockQ6_K pack_q6_k(std::span<const float> x) {
  // The value of largest magnitude becomes -32 steps, the end of the range that has one more.
  std::array<float, 16> scale;
  for (std::size_t group = 0; group < 16; ++group) {
    const auto part = x.subspan(group * 16, 16);
    const auto widest =
        std::max_element(part.begin(), part.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    scale[group] = -*widest / 32;
  }
  const auto widest =
      std::max_element(scale.begin(), scale.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  BlockQ6_K block{};
  block.d = float_to_half(-*widest / 128);
  const float d = half_to_float(block.d);
  for (std::size_t group = 0; group < 16; ++group) {
    block.scales[group] = static_cast<std::int8_t>(round_to(scale[group] * inverse(d), -128, 127));
  }
  for (std::size_t i = 0; i < 256; ++i) {
    const float step = d * static_cast<float>(block.scales[i / 16]);
    const int q = round_to(x[i] * inverse(step), -32, 31) + 32;
    const std::size_t half = i / 128;
    const std::size_t k = i % 128 / 32;
    std::uint8_t& low = block.low[half * 64 + k % 2 * 32 + i % 32];
    std::uint8_t& high = block.high[half * 32 + i % 32];
    low = static_cast<std::uint8_t>(low | (q & 15) << (k / 2 * 4));
    high = static_cast<std::uint8_t>(high | (q >> 4) << (2 * k));
  }
  return block;
}

template <typename Pack>
void each_block(std::span<const float> row, std::span<std::byte> out, std::size_t elements, Pack pack) {
  for (std::size_t i = 0; i * elements < row.size(); ++i) {
    const auto block = pack(row.subspan(i * elements, elements));
    std::memcpy(out.data() + i * sizeof block, &block, sizeof block);
  }
}

}  // namespace

bool can_encode(Type type) {
  switch (type) {
    case Type::F32:
    case Type::F16:
    case Type::BF16:
    case Type::Q8_0:
    case Type::Q4_K:
    case Type::Q5_K:
    case Type::Q6_K:
      return true;
    default:
      return false;
  }
}

void encode(Type type, std::span<const float> row, std::span<std::byte> out) {
  const auto info = type_info(type);
  if (!info || !can_encode(type)) {
    throw base::Error("tensor", "elements cannot be encoded as " + (info ? std::string(info->name) : "unknown type"),
                      "choose F32, F16, BF16, Q8_0, Q4_K, Q5_K or Q6_K");
  }
  if (row.size() % info->block != 0 || out.size() != row.size() / info->block * info->block_bytes) {
    throw base::Error("tensor", "a row of " + std::to_string(row.size()) + " " + std::string(info->name) +
                                    " elements cannot have " + std::to_string(out.size()) + " bytes");
  }
  switch (type) {
    case Type::F32:
      std::memcpy(out.data(), row.data(), out.size());
      break;
    case Type::F16:
      each_block(row, out, 1, [](std::span<const float> x) { return float_to_half(x[0]); });
      break;
    case Type::BF16:
      each_block(row, out, 1, [](std::span<const float> x) { return float_to_bfloat(x[0]); });
      break;
    case Type::Q8_0:
      each_block(row, out, 32, pack_q8_0);
      break;
    case Type::Q4_K:
      each_block(row, out, 256, pack_q4_k);
      break;
    case Type::Q5_K:
      each_block(row, out, 256, pack_q5_k);
      break;
    default:
      each_block(row, out, 256, pack_q6_k);
      break;
  }
}

}  // namespace quant
