// Fast products to the bit, as docs/numerics.md states them, beside plain loops over the blocks' bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/processor.h"
#include "compute/cpu/isa.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/test_support.h"
#include "quant/blocks.h"
#include "quant/half.h"
#include "quant/type.h"

namespace compute::cpu {
namespace {

using quant::Type;
using test::Random;

constexpr std::size_t group_blocks = fast_columns / 256;

// A block of 256: w = d * scale * (u - zero) - dmin * min, the groups of equal size, 0 <= u <= largest.
struct Block {
  int groups = 8;
  int zero = 0;
  int largest = 0;
  bool has_mins = false;
  float d = 0;
  float dmin = 0;
  std::array<int, 16> scale{};
  std::array<int, 16> min{};
  std::array<int, 256> u{};

  int group_of(int i) const { return i / (256 / groups); }
};

template <typename T>
T load(const std::uint8_t* bytes) {
  T block;
  std::memcpy(&block, bytes, sizeof block);
  return block;
}

template <typename T>
void read_group_scales(const T& b, Block& out) {
  out.has_mins = true;
  out.dmin = quant::half_to_float(b.dmin);
  for (int g = 0; g < 8; ++g) {
    const quant::GroupScale s = quant::group_scale(b.scales, g);
    out.scale[static_cast<std::size_t>(g)] = s.scale;
    out.min[static_cast<std::size_t>(g)] = s.min;
  }
}

Block unpack(Type type, const std::uint8_t* bytes) {
  Block out;
  const auto fill = [&](auto value) {
    for (int i = 0; i < 256; ++i) out.u[static_cast<std::size_t>(i)] = value(i);
  };
  switch (type) {
    case Type::Q2_K: {
      const auto b = load<quant::BlockQ2_K>(bytes);
      out = {.groups = 16, .largest = 3, .has_mins = true};
      out.d = quant::half_to_float(b.d);
      out.dmin = quant::half_to_float(b.dmin);
      for (std::size_t g = 0; g < 16; ++g) {
        out.scale[g] = b.scales[g] & 15;
        out.min[g] = b.scales[g] >> 4;
      }
      fill([&](int i) { return b.q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3; });
      break;
    }
    case Type::Q3_K: {
      const auto b = load<quant::BlockQ3_K>(bytes);
      out = {.groups = 16, .zero = 4, .largest = 7};
      out.d = quant::half_to_float(b.d);
      for (std::size_t g = 0; g < 16; ++g) out.scale[g] = quant::q3_k_scale(b.scales, g);
      fill([&](int i) {
        return (b.low[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) | (b.high[i % 32] >> (i / 32) & 1) << 2;
      });
      break;
    }
    case Type::Q4_K: {
      const auto b = load<quant::BlockQ4_K>(bytes);
      out.largest = 15;
      out.d = quant::half_to_float(b.d);
      read_group_scales(b, out);
      fill([&](int i) { return b.q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15; });
      break;
    }
    case Type::Q5_K: {
      const auto b = load<quant::BlockQ5_K>(bytes);
      out.largest = 31;
      out.d = quant::half_to_float(b.d);
      read_group_scales(b, out);
      fill([&](int i) {
        return (b.q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15) | (b.high[i % 32] >> (i / 32) & 1) << 4;
      });
      break;
    }
    case Type::Q6_K: {
      const auto b = load<quant::BlockQ6_K>(bytes);
      out = {.groups = 16, .zero = 32, .largest = 63};
      out.d = quant::half_to_float(b.d);
      for (std::size_t g = 0; g < 16; ++g) out.scale[g] = b.scales[g];
      fill([&](int i) {
        const int half = i / 128;
        const int k = i % 128 / 32;
        return (b.low[half * 64 + k % 2 * 32 + i % 32] >> (k / 2 * 4) & 15) |
               (b.high[half * 32 + i % 32] >> (2 * k) & 3) << 4;
      });
      break;
    }
    default: {
      const auto b = load<quant::BlockIQ4_XS>(bytes);
      out = {.zero = 128, .largest = 127};  // 127: the largest of |u - zero|
      out.d = quant::half_to_float(b.d);
      for (std::size_t g = 0; g < 8; ++g) out.scale[g] = quant::iq4_xs_scale(b, g);
      fill([&](int i) { return quant::iq4_values[b.q[i / 32 * 16 + i % 16] >> (i % 32 / 16 * 4) & 15] + 128; });
    }
  }
  return out;
}

// The largest magnitude that a block's factors allow.
float largest_magnitude(Type type, const Block& b) {
  float most = 0;
  for (std::size_t g = 0; g < static_cast<std::size_t>(b.groups); ++g) {
    const float scale = b.d * static_cast<float>(b.scale[g]);
    const float min = b.dmin * static_cast<float>(b.min[g]);
    const int reach = type == Type::IQ4_XS ? b.largest : std::max(b.zero, b.largest - b.zero);
    const float size = b.has_mins ? std::max(std::abs(min), std::abs(scale * static_cast<float>(b.largest) - min))
                                  : std::abs(scale) * static_cast<float>(reach);
    most = std::max(most, size);
  }
  return most;
}

struct Requantised {
  std::array<int, 256> q{};
  float d = 0;
};

// most: the largest magnitude of all blocks that share a scale.
Requantised requantise(const Block& b, float most) {
  Requantised out;
  if (most < 0x1p-100F) return out;
  out.d = most * (1.0F / 127);
  const float inverse = 127.0F * 256 / most;
  for (int i = 0; i < 256; ++i) {
    const auto g = static_cast<std::size_t>(b.group_of(i));
    const long slope = std::lrintf(b.d * static_cast<float>(b.scale[g]) * inverse);
    const long offset =
        128 - (b.has_mins ? std::lrintf(b.dmin * static_cast<float>(b.min[g]) * inverse) : b.zero * slope);
    out.q[static_cast<std::size_t>(i)] = static_cast<int>((slope * b.u[static_cast<std::size_t>(i)] + offset) >> 8);
  }
  return out;
}

class FastBits : public testing::TestWithParam<Type> {};

TEST_P(FastBits, AreThoseOfTheirDefinition) {
  if (!supported(Isa::Amx)) GTEST_SKIP() << "this machine has no AMX";
  const base::FlushDenormals flush;
  const std::size_t block_bytes = quant::type_info(GetParam())->block_bytes;
  base::AlignedBuffer<std::byte> scratch(tiled_scratch_bytes);
  Random random(7);
  for (int round = 0; round < 30; ++round) {
    const std::size_t rows = 1 + random() % 70;
    const std::size_t blocks = 1 + random() % 5;
    const std::size_t groups = (blocks * 256 + fast_columns - 1) / fast_columns;
    const std::size_t n = round % 10 == 0 ? 250 + random() % 60 : 1 + random() % 50;
    SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(blocks) + " blocks, " + std::to_string(n));
    const test::Weight weight = test::random_weight(GetParam(), rows, blocks * 256, random);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(weight.bytes.data());
    const std::size_t tiles = (n + FastTile::rows - 1) / FastTile::rows;
    std::vector<FastTile> x(tiles * groups);
    for (FastTile& tile : x) {
      for (auto& columns : tile.q) {
        for (auto& row : columns) {
          for (std::int8_t& q : row) q = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
        }
      }
      for (float& d : tile.d) d = std::ldexp(1.0F + static_cast<float>(random() % 1000), -20);
    }
    std::vector<Requantised> requantised;
    for (std::size_t k = 0; k < rows * blocks; ++k) {
      const auto block = [&](std::size_t b) { return unpack(GetParam(), bytes + (k - k % blocks + b) * block_bytes); };
      const std::size_t first = k % blocks / group_blocks * group_blocks;
      float most = 0;
      for (std::size_t b = first; b < std::min(first + group_blocks, blocks); ++b)
        most = std::max(most, largest_magnitude(GetParam(), block(b)));
      requantised.push_back(requantise(block(k % blocks), most));
    }
    std::vector<float> y(n * rows);
    amx_kernels().fast_product(GetParam())({bytes, blocks * block_bytes, rows, blocks * 256}, x.data(), n,
                                           {y.data(), rows, false}, scratch.data());
    for (std::size_t a = 0; a < n; ++a) {
      for (std::size_t r = 0; r < rows; ++r) {
        float sum = 0;
        for (std::size_t g = 0; g < groups; ++g) {
          const FastTile& tile = x[g * tiles + a / FastTile::rows];
          const std::size_t row = a % FastTile::rows;
          const std::size_t columns = std::min(fast_columns, blocks * 256 - g * fast_columns);
          const Requantised* w = &requantised[r * blocks + g * group_blocks];
          int product = 0;
          for (std::size_t i = 0; i < columns; ++i) product += w[i / 256].q[i % 256] * tile.q[i / 64][row][i % 64];
          sum = std::fma(w->d * tile.d[row], static_cast<float>(product), sum);
        }
        ASSERT_EQ(y[a * rows + r], sum) << "row " << r << " of activations " << a;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, FastBits,
                         testing::Values(Type::Q2_K, Type::Q3_K, Type::Q4_K, Type::Q5_K, Type::Q6_K, Type::IQ4_XS),
                         [](const auto& type) { return std::string(quant::type_info(type.param)->name); });

}  // namespace
}  // namespace compute::cpu
