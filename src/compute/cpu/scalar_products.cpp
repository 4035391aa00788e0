// Products as docs/numerics.md defines them, in plain C++: the reference for every other instruction set.
//   y[a][r] = Σ_i w[r][i] x[a][i]
#include <array>
#include <cmath>
#include <cstring>

#include "compute/cpu/scalar.h"
#include "quant/blocks.h"
#include "quant/half.h"

namespace compute::cpu::scalar {
namespace {

// A block of 256 weights with its bits apart: w = d * scale[i / group] * q[i] - dmin * min[i / group].
struct Unpacked {
  std::array<std::int8_t, 256> q;
  std::array<int, 16> scale;
  std::array<int, 16> min;
  float d;
  float dmin;
};

// A block of 32: w = d * q[i] + m.
struct SmallUnpacked {
  std::array<std::int8_t, 32> q;
  float d;
  float m;
};

template <typename Block>
Block load(const std::uint8_t* bytes) {
  Block block;
  std::memcpy(&block, bytes, sizeof block);
  return block;
}

template <typename Block>
void unpack_scales(const Block& block, Unpacked& out) {
  for (std::size_t j = 0; j < 8; ++j) {
    const quant::GroupScale g = quant::group_scale(block.scales, static_cast<int>(j));
    out.scale[j] = g.scale;
    out.min[j] = g.min;
  }
  out.d = quant::half_to_float(block.d);
  out.dmin = quant::half_to_float(block.dmin);
}

struct Q2_K {
  using Block = quant::BlockQ2_K;
  static constexpr std::size_t group = 16;
  static constexpr bool has_mins = true;
  static void unpack(const Block& block, Unpacked& out) {
    for (std::size_t g = 0; g < 16; ++g) {
      out.scale[g] = block.scales[g] & 15;
      out.min[g] = block.scales[g] >> 4;
    }
    out.d = quant::half_to_float(block.d);
    out.dmin = quant::half_to_float(block.dmin);
    for (std::size_t i = 0; i < 256; ++i) {
      out.q[i] = static_cast<std::int8_t>(block.q[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3);
    }
  }
};

struct Q3_K {
  using Block = quant::BlockQ3_K;
  static constexpr std::size_t group = 16;
  static constexpr bool has_mins = false;
  static void unpack(const Block& block, Unpacked& out) {
    for (std::size_t g = 0; g < 16; ++g) out.scale[g] = quant::q3_k_scale(block.scales, g);
    out.d = quant::half_to_float(block.d);
    for (std::size_t i = 0; i < 256; ++i) {
      const int low = block.low[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
      const int high = block.high[i % 32] >> (i / 32) & 1;
      out.q[i] = static_cast<std::int8_t>((low | high << 2) - 4);
    }
  }
};

struct Q4_K {
  using Block = quant::BlockQ4_K;
  static constexpr std::size_t group = 32;
  static constexpr bool has_mins = true;
  static void unpack(const Block& block, Unpacked& out) {
    unpack_scales(block, out);
    for (std::size_t i = 0; i < 256; ++i) {
      out.q[i] = static_cast<std::int8_t>(block.q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15);
    }
  }
};

struct Q5_K {
  using Block = quant::BlockQ5_K;
  static constexpr std::size_t group = 32;
  static constexpr bool has_mins = true;
  static void unpack(const Block& block, Unpacked& out) {
    unpack_scales(block, out);
    for (std::size_t i = 0; i < 256; ++i) {
      const int low = block.q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
      out.q[i] = static_cast<std::int8_t>(low | (block.high[i % 32] >> (i / 32) & 1) << 4);
    }
  }
};

struct Q6_K {
  using Block = quant::BlockQ6_K;
  static constexpr std::size_t group = 16;
  static constexpr bool has_mins = false;
  static void unpack(const Block& block, Unpacked& out) {
    for (std::size_t g = 0; g < 16; ++g) out.scale[g] = block.scales[g];
    out.d = quant::half_to_float(block.d);
    for (std::size_t i = 0; i < 256; ++i) {
      const std::size_t half = i / 128;
      const std::size_t k = i % 128 / 32;
      const int low = block.low[half * 64 + k % 2 * 32 + i % 32] >> (k / 2 * 4) & 15;
      const int high = block.high[half * 32 + i % 32] >> (2 * k) & 3;
      out.q[i] = static_cast<std::int8_t>((low | high << 4) - 32);
    }
  }
};

struct IQ4_XS {
  using Block = quant::BlockIQ4_XS;
  static constexpr std::size_t group = 32;
  static constexpr bool has_mins = false;
  static void unpack(const Block& block, Unpacked& out) {
    for (std::size_t g = 0; g < 8; ++g) out.scale[g] = quant::iq4_xs_scale(block, g);
    out.d = quant::half_to_float(block.d);
    for (std::size_t i = 0; i < 256; ++i) {
      out.q[i] = quant::iq4_values[block.q[i / 32 * 16 + i % 16] >> (i / 16 % 2 * 4) & 15];
    }
  }
};

// The formats of 32 weights differ in what q a nibble, perhaps with a fifth bit, stands for, and whether there is an m.
template <typename BlockType>
struct Small {
  using Block = BlockType;
  static constexpr bool has_min = requires(const Block& block) { block.m; };
  static void unpack(const Block& block, SmallUnpacked& out) {
    out.d = quant::half_to_float(block.d);
    if constexpr (has_min) out.m = quant::half_to_float(block.m);
    for (std::size_t i = 0; i < 32; ++i) out.q[i] = static_cast<std::int8_t>(weight(block, i));
  }

 private:
  static int weight(const quant::BlockQ8_0& block, std::size_t i) { return block.q[i]; }
  static int weight(const quant::BlockQ4_0& block, std::size_t i) { return nibble(block, i) - 8; }
  static int weight(const quant::BlockQ4_1& block, std::size_t i) { return nibble(block, i); }
  static int weight(const quant::BlockQ5_0& block, std::size_t i) { return five_bits(block, i) - 16; }
  static int weight(const quant::BlockQ5_1& block, std::size_t i) { return five_bits(block, i); }
  static int weight(const quant::BlockIQ4_NL& block, std::size_t i) { return quant::iq4_values[nibble(block, i)]; }

  static int nibble(const auto& block, std::size_t i) { return block.q[i % 16] >> (i / 16 * 4) & 15; }
  static int five_bits(const auto& block, std::size_t i) {
    return nibble(block, i) | (block.high[i / 8] >> (i % 8) & 1) << 4;
  }
};

void put(const Output& out, std::size_t a, std::size_t r, float value) {
  float& y = out.y[a * out.stride + r];
  y = out.add ? y + value : value;
}

template <typename Format>
void product(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  for (std::size_t r = 0; r < w.rows; ++r) {
    std::array<float, block_rows> sum{};
    for (std::size_t b = 0; b < w.cols / 256; ++b) {
      Unpacked u;
      Format::unpack(load<typename Format::Block>(w.data + r * w.row_bytes + b * sizeof(typename Format::Block)), u);
      for (std::size_t a = 0; a < n; ++a) {
        const SuperRow& row = x[b * n + a];
        int isum = 0;
        for (std::size_t g = 0; g < 256 / Format::group; ++g) {
          int dot = 0;
          for (std::size_t i = g * Format::group; i < (g + 1) * Format::group; ++i) dot += u.q[i] * row.q[i];
          isum += u.scale[g] * dot;
        }
        sum[a] = std::fma(u.d * row.d, static_cast<float>(isum), sum[a]);
        if constexpr (Format::has_mins) {
          int msum = 0;
          for (std::size_t g = 0; g < 256 / Format::group; ++g) {
            msum += u.min[g] * (Format::group == 32 ? row.sums32[g] : row.sums16[g]);
          }
          sum[a] = std::fma(-(u.dmin * row.d), static_cast<float>(msum), sum[a]);
        }
      }
    }
    for (std::size_t a = 0; a < n; ++a) put(out, a, r, sum[a]);
  }
}

template <typename Format>
void product_small(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  using Block = typename Format::Block;
  for (std::size_t r = 0; r < w.rows; ++r) {
    std::array<float, block_rows> sum{};
    for (std::size_t b = 0; b < w.cols / 32; ++b) {
      SmallUnpacked u;
      Format::unpack(load<Block>(w.data + r * w.row_bytes + b * sizeof(Block)), u);
      for (std::size_t a = 0; a < n; ++a) {
        const SmallRow& row = x[b * n + a];
        int isum = 0;
        for (std::size_t i = 0; i < 32; ++i) isum += u.q[i] * row.q[i];
        sum[a] = std::fma(u.d * row.d, static_cast<float>(isum), sum[a]);
        if constexpr (Format::has_min) sum[a] = std::fma(u.m * row.d, static_cast<float>(row.sum), sum[a]);
      }
    }
    for (std::size_t a = 0; a < n; ++a) put(out, a, r, sum[a]);
  }
}

float load_f32(const std::uint8_t* bytes) { return load<float>(bytes); }
float load_f16(const std::uint8_t* bytes) { return quant::half_to_float(load<std::uint16_t>(bytes)); }
float load_bf16(const std::uint8_t* bytes) { return quant::bfloat_to_float(load<std::uint16_t>(bytes)); }

template <std::size_t element, float (*load_element)(const std::uint8_t*)>
void product_float(const WeightRows& w, const float* x, std::size_t n, const Output& out) {
  for (std::size_t r = 0; r < w.rows; ++r) {
    for (std::size_t a = 0; a < n; ++a) {
      std::array<float, 16> lanes{};
      for (std::size_t i = 0; i < w.cols; ++i) {
        lanes[i % 16] =
            std::fma(load_element(w.data + r * w.row_bytes + i * element), x[a * w.cols + i], lanes[i % 16]);
      }
      put(out, a, r, sum_tree(lanes));
    }
  }
}

}  // namespace

void product_q2_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  product<Q2_K>(w, x, n, out);
}
void product_q3_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  product<Q3_K>(w, x, n, out);
}
void product_q4_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  product<Q4_K>(w, x, n, out);
}
void product_q5_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  product<Q5_K>(w, x, n, out);
}
void product_q6_k(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  product<Q6_K>(w, x, n, out);
}
void product_iq4_xs(const WeightRows& w, const SuperRow* x, std::size_t n, const Output& out) {
  product<IQ4_XS>(w, x, n, out);
}

void product_q8_0(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  product_small<Small<quant::BlockQ8_0>>(w, x, n, out);
}
void product_q4_0(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  product_small<Small<quant::BlockQ4_0>>(w, x, n, out);
}
void product_q4_1(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  product_small<Small<quant::BlockQ4_1>>(w, x, n, out);
}
void product_q5_0(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  product_small<Small<quant::BlockQ5_0>>(w, x, n, out);
}
void product_q5_1(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  product_small<Small<quant::BlockQ5_1>>(w, x, n, out);
}
void product_iq4_nl(const WeightRows& w, const SmallRow* x, std::size_t n, const Output& out) {
  product_small<Small<quant::BlockIQ4_NL>>(w, x, n, out);
}

void product_f32(const WeightRows& w, const float* x, std::size_t n, const Output& out) {
  product_float<4, load_f32>(w, x, n, out);
}
void product_f16(const WeightRows& w, const float* x, std::size_t n, const Output& out) {
  product_float<2, load_f16>(w, x, n, out);
}
void product_bf16(const WeightRows& w, const float* x, std::size_t n, const Output& out) {
  product_float<2, load_bf16>(w, x, n, out);
}

}  // namespace compute::cpu::scalar
